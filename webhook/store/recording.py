"""What a batch of messages does to the record: loaded once, absorbed in memory, written once.

Requests of one batch were all made before any was answered, so they have no order among themselves that
anybody could rely on; they are taken in the order in which they came.
"""

import functools
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing import episodes, model, truth
from webhook.store import cache, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message to record. Without a body it is one of our own and is not kept for audit."""

    notification: model.Notification | None
    now: datetime
    body: bytes | None = None
    sources: Collection[str] = ()


def record(
    connection: sqlite3.Connection, known: cache.Cache, arrivals: Sequence[Arrival]
) -> list[Sequence[str]]:
    """Record messages; returns for each the ids of the incidents whose state it changed."""
    batch = _Batch(connection, known)
    heard = [
        (model.incident_id(arrival.notification.group_labels), arrival.notification, arrival.now)
        if arrival.notification is not None
        else None
        for arrival in arrivals
    ]
    by_incident: defaultdict[str, list[model.Notification]] = defaultdict(list)
    for message in filter(None, heard):
        by_incident[message[0]].append(message[1])
    batch.foresee(by_incident)
    changed: list[Sequence[str]] = [batch.record(*message) if message else () for message in heard]
    batch.write()
    _note_sources(connection, arrivals)
    return changed


def record_told(
    connection: sqlite3.Connection,
    known: cache.Cache,
    notification: model.Notification,
    told: Mapping[str, str],
    now: datetime,
) -> Sequence[str]:
    """Record a message whose firing alerts these destinations show already; returns the changed incidents.

    Each destination comes with its `Delivery.reference`.
    """
    (changed,) = record(connection, known, [Arrival(notification=notification, now=now)])
    incident_id = model.incident_id(notification.group_labels)
    situation = rows.situations(connection, [incident_id])[incident_id]
    named = {alert.fingerprint for alert in notification.alerts}
    firing = [alert for alert in situation.incident.firing if alert.fingerprint in named]
    if not firing:
        return changed
    shows = model.Shown(
        episode=situation.incident.episode,
        firing=frozenset(alert.fingerprint for alert in firing),
        priority=min(model.priority_of(alert.labels) for alert in firing),
    )
    for name, reference in told.items():
        delivery = situation.deliveries.get(name)
        shown = delivery and (delivery.intent or delivery.shown)
        if shown and shown.firing:
            continue
        micros = rows.to_micros(now)
        connection.execute(rows.SQL["expect"], (incident_id, name, shows.episode, micros))
        connection.execute(rows.SQL["settle"], (rows.to_json(shows), micros, reference, incident_id, name))
    return changed


def release(
    connection: sqlite3.Connection, known: cache.Cache, incident_id: str, now: datetime
) -> Sequence[str]:
    """Let the held firings of an incident count; returns the ids of the incidents whose state it changed."""
    batch = _Batch(connection, known)
    batch.load([incident_id])
    changed = batch.change(incident_id, lambda incident: episodes.release(incident, now), now)
    batch.write()
    return list(changed)


def reconcile(
    connection: sqlite3.Connection,
    known: cache.Cache,
    findings: truth.Findings,
    strangers: Sequence[truth.Stranger],
    told_whole: Collection[str],
    *,
    now: datetime,
) -> Sequence[str]:
    """Record what Alertmanager's lists say; returns the ids of the incidents whose state it changed."""
    by_incident: defaultdict[str, list[truth.Stranger]] = defaultdict(list)
    for stranger in strangers:
        by_incident[stranger.listed.incident_id].append(stranger)
    batch = _Batch(connection, known)
    batch.load([*findings, *by_incident, *told_whole])
    changed: dict[str, None] = {}
    for incident_id, found in findings.items():
        changed |= batch.change(incident_id, functools.partial(episodes.find, findings=found, now=now), now)
    for incident_id, listed in by_incident.items():
        changed |= batch.list_strangers(incident_id, listed, now)
    for incident_id in told_whole:
        changed |= batch.change(incident_id, lambda incident: episodes.tell_whole(incident, now), now)
    batch.write()
    return list(changed)


class _Batch:
    """Incidents as they are in the file, as they are after the batch so far, and where each alert fires."""

    def __init__(self, connection: sqlite3.Connection, known: cache.Cache) -> None:
        self._connection = connection
        self._known = known
        self._stored: dict[str, model.Incident | None] = {}
        self._newest: dict[str, model.Incident] = {}
        self._sizes_bytes: dict[str, int] = {}
        self._episodes: dict[tuple[str, int], tuple[object, ...]] = {}
        self._fires_in: defaultdict[str, dict[str, bool]] = defaultdict(dict)
        self._looked_up: set[str] = set()

    def load(self, ids: Iterable[str]) -> None:
        missing = [incident_id for incident_id in dict.fromkeys(ids) if incident_id not in self._stored]
        if not missing:
            return
        found = {incident_id: self._known.get(incident_id) for incident_id in missing}
        unknown = [incident_id for incident_id, known in found.items() if known is None]
        if unknown:
            found |= rows.known_incidents(self._connection, unknown)
        for incident_id, known in found.items():
            self._stored[incident_id] = known.incident if known else None
            if known:
                self._newest[incident_id] = known.incident
                self._sizes_bytes[incident_id] = known.size_bytes

    def foresee(self, notifications: Mapping[str, Sequence[model.Notification]]) -> None:
        """Load what these messages are about, by incident, with two or three statements for all of them."""
        self.load(notifications)
        self._look_up(
            alert.fingerprint
            for incident_id, messages in notifications.items()
            for message in messages
            for alert in message.alerts
            if not self._fires(incident_id, alert.fingerprint)
        )

    def record(self, incident_id: str, notification: model.Notification, now: datetime) -> list[str]:
        before = self._newest.get(incident_id)
        after = episodes.absorb(before, notification, now)
        changed = self._put(before, after, now)
        for heard in notification.alerts:
            known = after.alerts.get(heard.fingerprint)
            if known and known.moved_to and heard.status is model.AlertStatus.RESOLVED:
                changed |= self._resolve_there(known.moved_to, heard, now)
        return list(changed)

    def change(
        self, incident_id: str, how: Callable[[model.Incident], model.Incident], now: datetime
    ) -> dict[str, None]:
        """Change an incident, if it is known; returns the incidents whose state changed by it."""
        before = self._newest.get(incident_id)
        return self._put(before, how(before), now) if before else {}

    def list_strangers(
        self, incident_id: str, strangers: Sequence[truth.Stranger], now: datetime
    ) -> dict[str, None]:
        before = self._newest.get(incident_id)
        after = episodes.list_strangers(before, strangers, now)
        return self._put(before, after, now) if after else {}

    def write(self) -> None:
        incidents, alerts, fire, fire_no_more = [], [], [], []
        for incident_id, after in self._newest.items():
            before = self._stored[incident_id]
            if after is before:
                continue
            if before is None or not rows.same_head(before, after):
                incidents.append(rows.incident_row(after))
            known = before.alerts if before else {}
            if after.alerts is not known:
                text = rows.alerts_json(after)
                self._sizes_bytes[incident_id] = len(text)
                alerts.append((incident_id, text))
                fired, fires = _firing(known), _firing(after.alerts)
                fire += [(incident_id, fingerprint) for fingerprint in fires - fired]
                fire_no_more += [(incident_id, fingerprint) for fingerprint in fired - fires]
        for name, values in (
            ("save_incident", incidents),
            ("save_alerts", alerts),
            ("save_firing", fire),
            ("drop_firing", fire_no_more),
            ("save_episode", list(self._episodes.values())),
        ):
            rows.write_all(self._connection, name, values)
        for incident_id, after in self._newest.items():
            self._known.keep(cache.Known(after, self._sizes_bytes.get(incident_id, 0)))

    def _put(self, before: model.Incident | None, after: model.Incident, now: datetime) -> dict[str, None]:
        """Take a new state; returns the incidents whose state changed by it, this one first."""
        if after is before:
            return {}
        self._stored.setdefault(after.id, None)
        self._newest[after.id] = after
        changed: dict[str, None] = {}
        if after.version != (before.version if before else 0):
            changed[after.id] = None
            if after.episode:
                self._episodes[after.id, after.episode] = rows.episode_row(after)
        for fingerprint, alert in after.alerts.items():
            was = before.alerts.get(fingerprint) if before else None
            if was is alert:
                continue
            self._fires_in[fingerprint][after.id] = alert.status is model.AlertStatus.FIRING
            if alert.fires and not (was and was.fires):
                changed |= self._leave_elsewhere(fingerprint, after.id, now)
        return changed

    def _leave_elsewhere(self, fingerprint: str, here: str, now: datetime) -> dict[str, None]:
        self._look_up([fingerprint])
        elsewhere = [other for other, fires in self._fires_in[fingerprint].items() if fires and other != here]
        self.load(elsewhere)
        changed: dict[str, None] = {}
        for other in elsewhere:
            before = self._newest[other]
            changed |= self._put(before, episodes.move_away(before, fingerprint, here, now), now)
        return changed

    def _resolve_there(self, moved_to: str, heard: model.Alert, now: datetime) -> dict[str, None]:
        """The group that an alert left may be the only one that tells of its end."""
        while True:
            self.load([moved_to])
            there = self._newest.get(moved_to)
            known = there.alerts.get(heard.fingerprint) if there else None
            if there is None or known is None:
                return {}
            if known.moved_to is None:  # the last place that it moved to: it fires there, or did
                break
            moved_to = known.moved_to
        message = model.Notification(
            group_labels=there.group_labels,
            alerts=(heard,),
            receiver=there.receiver,
            external_url=there.external_url,
            truncated_alerts=there.truncated_alerts,
        )
        return self._put(there, episodes.absorb(there, message, now), now)

    def _fires(self, incident_id: str, fingerprint: str) -> bool:
        incident = self._newest.get(incident_id)
        alert = incident.alerts.get(fingerprint) if incident else None
        return alert is not None and alert.fires

    def _look_up(self, fingerprints: Iterable[str]) -> None:
        """Learn from the file where these alerts fire; what this batch changed since then stands."""
        unknown = list({fingerprint for fingerprint in fingerprints if fingerprint not in self._looked_up})
        if unknown:
            self._looked_up.update(unknown)
            for fingerprint, incident_id in rows.firing_elsewhere(self._connection, unknown):
                self._fires_in[fingerprint].setdefault(incident_id, True)


def _firing(alerts: Mapping[str, model.Alert]) -> set[str]:
    return {fingerprint for fingerprint, alert in alerts.items() if alert.status is model.AlertStatus.FIRING}


def _note_sources(connection: sqlite3.Connection, arrivals: Sequence[Arrival]) -> None:
    heard = {key: rows.to_micros(arrival.now) for arrival in arrivals for key in arrival.sources}
    rows.write_all(connection, "save_source", list(heard.items()))
