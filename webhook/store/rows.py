"""Rows to values and back. Times are whole microseconds since 1970, UTC; JSON is compact with sorted keys."""

import operator
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import structs

from routing import desire, model, peers, truth
from webhook.store import cache, statements

SQL = statements.named("sqlite.sql")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_encode = msgspec.json.Encoder(order="deterministic").encode
_encode_as_it_is = msgspec.json.Encoder().encode
_labels = msgspec.json.Decoder(dict[str, str]).decode
_shown = msgspec.json.Decoder(model.Shown).decode
_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_micros = msgspec.json.Decoder(list[int]).decode
_alerts = msgspec.json.Decoder(list[model.Alert]).decode
_PRIORITY = {priority.value: priority for priority in model.Priority}


def to_micros(instant: datetime) -> int:
    return (instant - _EPOCH) // _MICROSECOND


def duration_micros(duration: timedelta) -> int:
    return duration // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def to_json(value: object) -> str:
    return _encode(value).decode()


def _maybe_micros(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - _EPOCH) // _MICROSECOND


def _maybe_instant(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def incident_row(incident: model.Incident) -> tuple[object, ...]:
    """For `save_incident`: a change makes it due at the instant of the change."""
    changed_at = to_micros(incident.changed_at)
    return (
        incident.id,
        to_json(incident.group_labels),
        incident.episode,
        incident.open,
        incident.priority.value,
        to_micros(incident.opened_at),
        changed_at,
        _maybe_micros(incident.resolved_at),
        incident.version,
        incident.receiver,
        incident.external_url,
        incident.truncated_alerts,
        changed_at,
        incident.reconciled,
        to_json([to_micros(opening) for opening in incident.openings]),
    )


_head = operator.attrgetter(*(name for name in model.Incident.__struct_fields__ if name != "alerts"))


def same_head(one: model.Incident, other: model.Incident) -> bool:
    """Whether two states of an incident differ in nothing but its alerts."""
    return bool(_head(one) == _head(other))


def alerts_json(incident: model.Incident) -> str:
    """For `save_alerts`, after the id."""
    return _encode_as_it_is(list(incident.alerts.values())).decode()


def episode_row(incident: model.Incident) -> tuple[object, ...]:
    """For `save_episode`: the incident's current or last episode."""
    return (
        incident.id,
        incident.episode,
        to_micros(incident.opened_at),
        _maybe_micros(incident.resolved_at),
        incident.priority.value,
    )


def incidents(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, model.Incident]:
    """Those of these incidents that are in the file, in the order of the ids."""
    return {incident_id: known.incident for incident_id, known in known_incidents(connection, ids).items()}


def known_incidents(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, cache.Known]:
    """As `incidents`, each with the length of its alerts."""
    found = {
        row[0]: cache.Known(_incident(row), len(row[-1] or ""))
        for row in connection.execute(SQL["known_incidents"], (to_json(list(ids)),))
    }
    return {incident_id: found[incident_id] for incident_id in ids if incident_id in found}


def _incident(row: tuple[Any, ...]) -> model.Incident:
    (
        incident_id, labels, episode, is_open, priority, opened_at, changed_at, resolved_at, version, receiver,
        external_url, truncated_alerts, reconciled, openings, alerts,
    ) = row  # fmt: skip
    return model.Incident(
        id=incident_id,
        group_labels=_labels(labels),
        episode=episode,
        open=bool(is_open),
        priority=_PRIORITY[priority],
        opened_at=from_micros(opened_at),
        changed_at=from_micros(changed_at),
        resolved_at=_maybe_instant(resolved_at),
        version=version,
        receiver=receiver,
        external_url=external_url,
        truncated_alerts=truncated_alerts,
        alerts={alert.fingerprint: alert for alert in _alerts(alerts)} if alerts else {},
        reconciled=bool(reconciled),
        openings=() if openings == "[]" else tuple(from_micros(micros) for micros in _micros(openings)),
    )


def standing(connection: sqlite3.Connection, after: str, limit: int) -> Sequence[truth.Standing]:
    """Alerts from outside that fire or are held, in so many incidents after the id of one."""
    wanted = {"after": after, "own": desire.OWN_RECEIVER, "limit": limit}
    return [
        truth.Standing(
            incident_id=incident_id,
            fingerprint=alert.fingerprint,
            receiver=sys.intern(receiver),
            claims=sys.intern(peers.source(alert.labels)),
            starts_at=alert.starts_at,
            end=alert.recovers_at or alert.ends_at,
            held=alert.held_until is not None,
            muted=alert.muted,
        )
        for incident_id, receiver, alerts in connection.execute(SQL["standing"], wanted)
        for alert in _alerts(alerts)
        if alert.status is model.AlertStatus.FIRING
    ]


def rebase_held(connection: sqlite3.Connection, by: timedelta) -> None:
    """Move the instants along until which alerts are held."""
    for incident_id, alerts in connection.execute(SQL["held"]).fetchall():
        moved = [
            structs.replace(alert, held_until=alert.held_until and alert.held_until + by)
            for alert in _alerts(alerts)
        ]
        connection.execute(SQL["save_alerts"], (incident_id, _encode_as_it_is(moved).decode()))


def situations(connection: sqlite3.Connection, ids: Collection[str]) -> dict[str, model.Situation]:
    """All that a decision about each of these incidents rests on, in the order of the ids."""
    known = incidents(connection, ids)
    deliveries = _deliveries(connection, known)
    return {
        incident_id: model.Situation(incident=incident, deliveries=deliveries[incident_id])
        for incident_id, incident in known.items()
    }


def _deliveries(
    connection: sqlite3.Connection, ids: Iterable[str]
) -> defaultdict[str, dict[str, model.Delivery]]:
    found: defaultdict[str, dict[str, model.Delivery]] = defaultdict(dict)
    for row in connection.execute(SQL["deliveries"], (to_json(list(ids)),)):
        (
            incident_id, destination, since_episode, shown, shown_at, intent, dead, attempts, last_error,
            reference, dead_at, owed_since,
        ) = row  # fmt: skip
        found[incident_id][destination] = model.Delivery(
            incident_id=incident_id,
            destination=destination,
            since_episode=since_episode,
            shown=shown and _shown(shown),
            shown_at=_maybe_instant(shown_at),
            intent=intent and _shown(intent),
            dead=dead and _shown(dead),
            attempts=attempts,
            last_error=last_error,
            reference=reference,
            dead_at=_maybe_instant(dead_at),
            owed_since=_maybe_instant(owed_since),
        )
    return found


def firing_elsewhere(connection: sqlite3.Connection, fingerprints: Sequence[str]) -> list[tuple[str, str]]:
    """Where these alerts fire, as pairs of fingerprint and incident."""
    (found,) = connection.execute(SQL["firing_elsewhere"], (to_json(fingerprints),)).fetchone()
    return _pairs(found)


def last_body(connection: sqlite3.Connection) -> int:
    """The highest id of a body; 0 when there is none."""
    (found,) = connection.execute(SQL["last_body"]).fetchone()
    return int(found)


def write_all(connection: sqlite3.Connection, name: str, values: Sequence[tuple[object, ...]]) -> None:
    """Run a statement for each row of values."""
    if values:
        connection.executemany(SQL[name], values)
