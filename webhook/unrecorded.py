"""What was paged while the store could not take it: as much of it as is needed to record and close it later."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
from msgspec import structs

from routing import model, wording

_ALERTS = 20
"""So many of a message's alerts are kept; a page shows no more, and Alertmanager tells of the rest."""

_TEXT_CHARACTERS = 500
_LABELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One incident that was paged past the store.

    Attributes:
        notification: Alertmanager's, cut to the P1 that fire; long texts are cut too, but never what identifies.
        shown_at: names of the destinations that took the page.
        references: by destination, what it must be told again to find the page (`Delivery.reference`).
        recorded_at: when it was recorded after all, while it waits to be heard of again; None before.
    """

    notification: model.Notification
    shown_at: tuple[str, ...] = ()
    references: Mapping[str, str] = field(default_factory=dict)
    recorded_at: datetime | None = None

    @property
    def incident_id(self) -> str:
        """Of the incident that it is about."""
        return model.incident_id(self.notification.group_labels)

    @property
    def told(self) -> Mapping[str, str]:
        """The destinations that took the page, with their references."""
        return {name: self.references.get(name, "") for name in self.shown_at}

    @property
    def fingerprints(self) -> frozenset[str]:
        """Of its alerts."""
        return frozenset(alert.fingerprint for alert in self.notification.alerts)


def firing_p1(notification: model.Notification) -> tuple[model.Alert, ...]:
    """What a message holds that must page whatever the state of the store is."""
    return tuple(
        alert
        for alert in notification.alerts
        if alert.fires and model.priority_of(alert.labels) is model.Priority.P1
    )


def cut(notification: model.Notification, alerts: Sequence[model.Alert]) -> model.Notification:
    """A message with these alerts only, and no more of them than is worth keeping."""
    kept = tuple(
        structs.replace(alert, labels=_cut(alert.labels), annotations=_cut(alert.annotations))
        for alert in model.in_order(alerts)[:_ALERTS]
    )
    return structs.replace(notification, alerts=kept, truncated_alerts=0)


def _cut(labels: model.Labels) -> dict[str, str]:
    # Those that say what it is and where it goes come first; a rule's own are few.
    named = sorted(labels, key=lambda name: (name not in _ALWAYS, name))[:_LABELS]
    return {name: wording.cut(labels[name], _TEXT_CHARACTERS) for name in named}


_ALWAYS = frozenset({"alertname", "priority", "severity", "service", "cluster", "namespace", "team"})


def new_to(known: model.Incident | None, alerts: Iterable[model.Alert]) -> tuple[model.Alert, ...]:
    """Those of these firing alerts that an incident on record has not heard of in this or a later run."""
    heard = known.alerts if known is not None else {}
    return tuple(
        alert
        for alert in alerts
        if (was := heard.get(alert.fingerprint)) is None or was.starts_at < alert.starts_at
    )


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(list[Page])


class Unreadable(Exception):
    """These bytes are not what `encode` made."""


def encode(pages: Collection[Page]) -> bytes:
    """For the side file."""
    return _encoder.encode(list(pages))


def decode(content: bytes) -> list[Page]:
    """What `encode` made of it.

    Raises:
        Unreadable: it is something else.
    """
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(str(error)) from error
