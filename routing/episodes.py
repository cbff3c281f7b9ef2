"""How what is heard changes an incident: firings, resolves, late news, moves. Pure; stores call it.

Version 4 messages carry no sequence number and `startsAt` can move backwards, so late news is told from
fresh news by comparing an alert's start with the end that is on record (DESIGN: no order).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from msgspec import structs

from routing import model, truth

HOLD = timedelta(seconds=25)
"""A firing that may be stale counts after so long at the latest: one flush (group_interval, at least 10 s) and
15 s for a second Alertmanager. In doubt it pages."""

ONE_FLUSH = timedelta(seconds=10)
"""A held firing that is heard again after so long is no late message: it counts."""

_KEEP_ENDED = timedelta(hours=1)
_KEEP_OPENINGS = timedelta(hours=1)
_MOST_OPENINGS = 100


def absorb(known: model.Incident | None, notification: model.Notification, now: datetime) -> model.Incident:
    """The incident after a message about its group.

    Alerts that the message does not mention stay as they are. Where nothing about its state changed, the
    version is the same; where nothing changed at all, the very same object comes back.
    """
    before = known or _new(notification.group_labels, now)
    alerts = dict(before.alerts)
    for heard in notification.alerts:
        was = alerts.get(heard.fingerprint)
        after = _hear(was, heard, now, confirmable=notification.confirmable)
        if after != was:  # what did not change stays the very same object
            alerts[heard.fingerprint] = after
    return _conclude(_told(before, notification), _released(alerts, now), now)


def release(incident: model.Incident, now: datetime) -> model.Incident:
    """The incident after those of its held firings count whose hold has ended."""
    return _conclude(incident, _released(incident.alerts, now), now)


def move_away(incident: model.Incident, fingerprint: str, to: str, now: datetime) -> model.Incident:
    """The incident after one of its alerts was heard to fire in another one."""
    moved = structs.replace(
        incident.alerts[fingerprint],
        status=model.AlertStatus.MOVED,
        ends_at=now,
        held_until=None,
        moved_to=to,
        recovers_at=None,
        muted=None,
    )
    return _conclude(incident, {**incident.alerts, fingerprint: moved}, now)


def find(incident: model.Incident, findings: Mapping[str, truth.Finding], now: datetime) -> model.Incident:
    """The incident after what Alertmanager's lists say about its alerts.

    A finding about an alert that was heard of since counts for nothing.
    """
    alerts = dict(incident.alerts)
    for fingerprint, finding in findings.items():
        was = alerts.get(fingerprint)
        if was is not None and _rests_on(finding, was) and (now_is := _found(was, finding, now)) != was:
            alerts[fingerprint] = now_is
    after = _conclude(incident, alerts, now)
    if incident.open and not after.open and truth.Kind.GONE in {each.kind for each in findings.values()}:
        after = structs.replace(after, reconciled=True)
    return after


def list_strangers(
    known: model.Incident | None, strangers: Sequence[truth.Stranger], now: datetime
) -> model.Incident | None:
    """The incident after alerts that Alertmanager lists in its group and that no message told of.

    Args:
        known: the incident; None where there is none yet.
        strangers: of this group, at least one. One that ended since Prometheus last sent it is left out.
        now: the time.

    Returns:
        None where there was no incident and there is none now.
    """
    alerts = dict(known.alerts) if known else {}
    news = {
        each.alert.fingerprint: each
        for each in strangers
        if not _ended_since(alerts.get(each.alert.fingerprint), each.listed.updated_at)
    }
    if not news:
        return known
    before = known or structs.replace(
        _new(strangers[0].group_labels, now), receiver=strangers[0].listed.receiver
    )
    for fingerprint, stranger in news.items():
        was = alerts.get(fingerprint)
        alerts[fingerprint] = structs.replace(stranger.alert, episode=was.episode if was else 0)
    return _conclude(before, alerts, now)


def tell_whole(incident: model.Incident, now: datetime) -> model.Incident:
    """The incident once all of its alerts are known, whatever its last message left out."""
    if incident.truncated_alerts == 0:
        return incident
    after = _conclude(structs.replace(incident, truncated_alerts=0), incident.alerts, now)
    return structs.replace(after, reconciled=incident.open and not after.open)


def _new(group_labels: model.Labels, now: datetime) -> model.Incident:
    return model.Incident(
        id=model.incident_id(group_labels),
        group_labels=group_labels,
        episode=0,
        open=False,
        priority=model.Priority.P3,
        opened_at=now,
        changed_at=now,
        resolved_at=None,
        version=0,
        receiver="",
        external_url="",
        truncated_alerts=0,
        alerts={},
    )


def _rests_on(finding: truth.Finding, alert: model.Alert) -> bool:
    """Whether an alert still is as it was when Alertmanager was asked."""
    return (
        alert.status is model.AlertStatus.FIRING
        and alert.starts_at == finding.starts_at
        and (alert.recovers_at or alert.ends_at) == finding.end
    )


def _found(was: model.Alert, finding: truth.Finding, now: datetime) -> model.Alert:
    fires = structs.replace(was, held_until=None, ends_at=None, recovers_at=None, muted=finding.mute)
    if finding.kind is truth.Kind.FIRES:
        return fires
    return structs.replace(fires, status=model.AlertStatus.RESOLVED, ends_at=finding.end or now)


def _ended_since(known: model.Alert | None, updated_at: datetime) -> bool:
    return known is not None and (known.fires or (known.ends_at is not None and known.ends_at >= updated_at))


def _told(incident: model.Incident, notification: model.Notification) -> model.Incident:
    """The incident with what a message says of itself: mostly what the last one said."""
    said = (notification.receiver, notification.external_url, notification.truncated_alerts)
    if said == (incident.receiver, incident.external_url, incident.truncated_alerts):
        return incident
    receiver, external_url, truncated_alerts = said
    return structs.replace(
        incident, receiver=receiver, external_url=external_url, truncated_alerts=truncated_alerts
    )


def _hear(was: model.Alert | None, heard: model.Alert, now: datetime, *, confirmable: bool) -> model.Alert:
    if was is None:
        return heard
    if heard.status is model.AlertStatus.FIRING:
        return _hear_firing(was, heard, now)
    if confirmable and was.fires and model.priority_of(was.labels) is model.Priority.P1:
        return _hear_recovery(was, heard, now)
    return _hear_resolved(was, heard)


def _hear_firing(was: model.Alert, heard: model.Alert, now: datetime) -> model.Alert:
    if was.fires:
        # Alertmanager may move a start back; the latest one heard is what tells a late resolve from a fresh one.
        doubted = was.recovers_at is not None and heard.starts_at <= was.recovers_at
        return structs.replace(
            heard,
            episode=was.episode,
            starts_at=max(was.starts_at, heard.starts_at),
            recovers_at=was.recovers_at if doubted else None,
        )
    fires = structs.replace(heard, episode=was.episode)
    if was.status is model.AlertStatus.MOVED:
        return was if heard.starts_at <= was.starts_at else fires
    if was.ends_at is None or heard.starts_at > was.ends_at:
        return fires
    if was.held_until is None:
        return structs.replace(fires, ends_at=was.ends_at, held_until=now + HOLD)
    if now >= was.held_until - HOLD + ONE_FLUSH:
        return fires
    return structs.replace(fires, ends_at=was.ends_at, held_until=was.held_until)


def _hear_recovery(was: model.Alert, heard: model.Alert, now: datetime) -> model.Alert:
    """The end of a P1 may be blindness: it goes on counting as firing until it is proved that it is not."""
    ended = heard.ends_at or now
    if ended < was.starts_at:
        return was
    return structs.replace(
        was, annotations=heard.annotations, recovers_at=max(was.recovers_at or ended, ended)
    )


def _hear_resolved(was: model.Alert, heard: model.Alert) -> model.Alert:
    if was.status is model.AlertStatus.MOVED:
        return was
    ended = heard.ends_at
    if was.fires and ended is not None and ended < was.starts_at:
        return was
    if was.ends_at is not None and (ended is None or was.ends_at > ended):
        ended = was.ends_at
    return structs.replace(heard, ends_at=ended, episode=was.episode)


def _released(alerts: Mapping[str, model.Alert], now: datetime) -> Mapping[str, model.Alert]:
    over = {
        fingerprint: structs.replace(alert, held_until=None, ends_at=None)
        for fingerprint, alert in alerts.items()
        if alert.held_until is not None and alert.held_until <= now
    }
    return {**alerts, **over} if over else alerts


def _conclude(before: model.Incident, alerts: Mapping[str, model.Alert], now: datetime) -> model.Incident:
    """The incident with these alerts; the very same object where nothing changed."""
    heard = [alert for fingerprint, alert in alerts.items() if before.alerts.get(fingerprint) is not alert]
    is_open = any(alert.fires for alert in alerts.values()) or (before.open and before.truncated_alerts > 0)
    if is_open and not before.open:
        return _opened(before, alerts, now)
    firing = [alert for alert in heard if alert.fires]
    # Whatever else fires was counted when it was heard.
    priority = min([before.priority, *(model.priority_of(alert.labels) for alert in firing)])
    closes = before.open and not is_open
    if closes or priority != before.priority or any(map(_changes(before), heard)):
        return structs.replace(
            before,
            open=is_open,
            priority=priority,
            alerts=_numbered(alerts, firing, before.episode),
            resolved_at=now if closes else before.resolved_at,
            version=before.version + 1,
            changed_at=now,
        )
    return structs.replace(before, alerts=_numbered(alerts, firing, before.episode)) if heard else before


def _opened(before: model.Incident, alerts: Mapping[str, model.Alert], now: datetime) -> model.Incident:
    kept = {
        fingerprint: alert
        for fingerprint, alert in alerts.items()
        if alert.ends_at is None or alert.ends_at > now - _KEEP_ENDED
    }
    firing = [alert for alert in alerts.values() if alert.fires]
    recent = [opening for opening in before.openings if opening > now - _KEEP_OPENINGS]
    episode = before.episode + 1
    return structs.replace(
        before,
        episode=episode,
        open=True,
        priority=min(model.priority_of(alert.labels) for alert in firing),
        alerts=_numbered(kept, firing, episode),
        opened_at=now,
        resolved_at=None,
        reconciled=False,
        openings=(*recent[1 - _MOST_OPENINGS :], now),
        version=before.version + 1,
        changed_at=now,
    )


def _numbered(
    alerts: Mapping[str, model.Alert], firing: Iterable[model.Alert], episode: int
) -> Mapping[str, model.Alert]:
    """The alerts, of which these fire in this episode."""
    old = [alert for alert in firing if alert.episode != episode]
    if not old:
        return alerts
    return {**alerts, **{alert.fingerprint: structs.replace(alert, episode=episode) for alert in old}}


def _changes(before: model.Incident) -> Callable[[model.Alert], bool]:
    """Tells of an alert whether its state is another one than in this incident."""

    def changes(alert: model.Alert) -> bool:
        was = before.alerts.get(alert.fingerprint)
        return was is None or _state(was) != _state(alert)

    return changes


def _state(alert: model.Alert) -> object:
    return (alert.status, alert.held_until, alert.recovers_at, alert.muted and alert.muted.kind)
