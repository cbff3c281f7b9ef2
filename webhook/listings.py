"""From what an Alertmanager lists to what can be compared with the record: small values, read a piece at a time."""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from routing import model, peers, truth
from webhook import alertmanager_api

_MOST_STRANGERS = 1000
"""Alerts that are not on record and are kept whole, of one peer; the others have to wait for the next look."""


class Reading:
    """The list of one peer, while it is being read.

    Args:
        on_record: incidents in which an alert fires, by its fingerprint.
        receivers: Alertmanager's receivers that tell this service; the alerts of others are no strangers.
        partial: incidents of which every alert has to be known, muted or not.
        silences: by id.
    """

    def __init__(
        self,
        *,
        on_record: Mapping[str, Collection[str]],
        receivers: Collection[str],
        partial: Collection[str],
        silences: Mapping[str, alertmanager_api.Silence],
    ) -> None:
        self._on_record = on_record
        self._receivers = receivers
        self._partial = partial
        self._mutes = _Mutes(silences)
        self._alerts: dict[str, tuple[truth.Listed, ...]] = {}
        self._strangers: list[truth.Stranger] = []
        self._inhibited: list[str] = []
        self._knows_mutes = False
        self._complete = True
        self.watchdogs: dict[str, datetime] = {}

    def take(self, groups: Sequence[alertmanager_api.Group]) -> None:
        """Take in some whole groups."""
        for group in groups:
            incident_id = model.incident_id(group.labels)
            for alert in group.alerts:
                self._knows_mutes = self._knows_mutes or alert.status.muted_by is not None
                if model.is_watchdog(alert.labels):
                    self._hear(peers.source(alert.labels), alert.updated_at)
                else:
                    self._list(incident_id, group, alert)

    def listing(self, peer: peers.Peer) -> truth.Listing:
        """All that was read, of this peer."""
        for fingerprint in dict.fromkeys(self._inhibited):
            self._alerts[fingerprint] = tuple(self._with_names(one) for one in self._alerts[fingerprint])
        return truth.Listing(
            peer=peer,
            alerts=self._alerts,
            strangers=self._strangers,
            knows_mutes=self._knows_mutes,
            complete=self._complete,
        )

    def _with_names(self, listed: truth.Listed) -> truth.Listed:
        """People know an inhibiting alert by its name; the list says its fingerprint."""
        if listed.mute is None or listed.mute.kind is not model.MuteKind.INHIBITED:
            return listed
        names = {
            self._alerts[fingerprint][0].name if fingerprint in self._alerts else fingerprint
            for fingerprint in listed.mute.by.split(", ")
        }
        return listed._replace(mute=replace(listed.mute, by=", ".join(sorted(names))))

    def _hear(self, source: str, refreshed: datetime) -> None:
        self.watchdogs[source] = max(refreshed, self.watchdogs.get(source, refreshed))

    def _list(
        self, incident_id: str, group: alertmanager_api.Group, alert: alertmanager_api.ListedAlert
    ) -> None:
        listed = truth.Listed(
            incident_id=incident_id,
            receiver=sys.intern(group.receiver.name),
            name=sys.intern(alert.labels.get("alertname", "")),
            updated_at=alert.updated_at,
            mute=self._mutes.of(alert.status),
        )
        self._alerts[alert.fingerprint] = (*self._alerts.get(alert.fingerprint, ()), listed)
        if alert.status.inhibited_by:
            self._inhibited.append(alert.fingerprint)
        if listed.receiver not in self._receivers:
            return
        if incident_id in self._on_record.get(alert.fingerprint, ()):
            return
        if listed.mute is not None and incident_id not in self._partial:
            return  # nobody would be told of it
        if len(self._strangers) < _MOST_STRANGERS:
            self._strangers.append(
                truth.Stranger(group_labels=group.labels, alert=_alert(alert), listed=listed)
            )
        else:
            self._complete = False


class _Mutes:
    """Why alerts are not told, each reason once however many alerts share it."""

    def __init__(self, silences: Mapping[str, alertmanager_api.Silence]) -> None:
        self._silences = silences
        self._known: dict[tuple[str, ...], model.Mute] = {}

    def of(self, state: alertmanager_api.AlertState) -> model.Mute | None:
        if state.silenced_by:
            return self._once(model.MuteKind.SILENCED, state.silenced_by)
        if state.inhibited_by:
            return self._once(model.MuteKind.INHIBITED, state.inhibited_by)
        if state.muted_by:
            return self._once(model.MuteKind.MUTED, state.muted_by)
        return None

    def _once(self, kind: model.MuteKind, by: Sequence[str]) -> model.Mute:
        key = (kind.value, *by)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._mute(kind, by)
        return known

    def _mute(self, kind: model.MuteKind, by: Sequence[str]) -> model.Mute:
        if kind is not model.MuteKind.SILENCED:
            return model.Mute(kind=kind, by=", ".join(sorted(by)))
        # Of several silences the one that ends last says until when.
        found = [self._silences[one] for one in by if one in self._silences]
        last = max(found, key=lambda silence: (silence.ends_at, silence.id), default=None)
        if last is None:
            return model.Mute(kind=kind)
        return model.Mute(
            kind=kind, by=last.created_by, comment=last.comment, until=last.ends_at.astimezone(UTC)
        )


def _alert(listed: alertmanager_api.ListedAlert) -> model.Alert:
    return model.Alert(
        fingerprint=listed.fingerprint,
        status=model.AlertStatus.FIRING,
        labels=listed.labels,
        annotations=listed.annotations,
        starts_at=listed.starts_at.astimezone(UTC),
        ends_at=None,
        generator_url=listed.generator_url,
    )
