"""What a page says of an incident: plain words and numbers, made from the record. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from routing import message, model, runbooks, wording

_LONGEST_TEXT = 2_000
_LONGEST_SUMMARY = 240
_LONGEST_QUERY = 1_500
_MOST_ALERTS = 100
_MOST_LABELS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one destination was told.

    Attributes:
        state: one word: told, waiting, failing, refused.
        words: what that means here, as a sentence.
        at: of the last receipt.
    """

    destination: str
    state: str
    words: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One alert."""

    state: str
    summary: str
    description: str
    labels: Mapping[str, str]
    starts_at: datetime
    ends_at: datetime | None
    moved_to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One incident.

    Attributes:
        tier: P1, P2 or P3.
        summaries: what its alerts say, each once, with how many say so.
        lines: its alerts, firing ones first.
        hidden: how many alerts are not among the lines.
        runbook: path and query of its runbook here, "" where there is none.
        advice: what to do first.
        notes: facts for people.
    """

    id: str
    tier: str
    title: str
    open: bool
    opened_at: datetime
    resolved_at: datetime | None
    episode: int
    summaries: Mapping[str, int]
    lines: tuple[Line, ...]
    firing: int
    hidden: int
    told: tuple[Told, ...]
    links: message.Links
    runbook: str
    advice: message.Advice | None
    notes: tuple[str, ...]


def card(situation: model.Situation, *, surroundings: message.Surroundings, pages: message.Runbooks) -> Card:
    """What a page says of this incident."""
    incident = situation.incident
    composed = message.compose(incident, _as_it_is(incident), surroundings=surroundings, runbooks=pages)
    firing = incident.firing
    alerts = (*firing, *model.in_order(one for one in incident.alerts.values() if not one.fires))
    first = composed.shown_alerts[0] if composed.shown_alerts else None
    return Card(
        id=incident.id,
        tier=incident.priority.name,
        title=composed.title.partition("] ")[2],
        open=incident.open,
        opened_at=incident.opened_at,
        resolved_at=incident.resolved_at,
        episode=incident.episode,
        summaries=_summaries(firing or composed.shown_alerts),
        lines=tuple(_line(alert) for alert in alerts[:_MOST_ALERTS]),
        firing=len(firing),
        hidden=max(0, len(alerts) - _MOST_ALERTS),
        told=tuple(_told(incident, each) for _, each in sorted(situation.deliveries.items())),
        links=composed.links,
        runbook=_runbook(first, pages) if first else "",
        advice=composed.advice,
        notes=composed.notes,
    )


def _as_it_is(incident: model.Incident) -> model.Step:
    by_kind = {
        kind: frozenset(one.fingerprint for one in incident.firing if one.muted and one.muted.kind is kind)
        for kind in model.MuteKind
    }
    firing = frozenset(alert.fingerprint for alert in incident.firing)
    silenced = by_kind[model.MuteKind.SILENCED]
    return model.Step(
        act=model.Act.OPEN if incident.open else model.Act.CLOSE,
        reason=_reason(incident),
        shows=model.Shown(
            episode=incident.episode,
            firing=firing - silenced,
            priority=incident.priority,
            silenced=silenced,
            inhibited=by_kind[model.MuteKind.INHIBITED] | by_kind[model.MuteKind.MUTED],
            unconfirmed=frozenset(one.fingerprint for one in incident.firing if one.recovers_at),
        ),
        resolved=frozenset(
            alert.fingerprint for alert in incident.alerts.values() if alert.episode == incident.episode
        )
        - firing,
    )


def _reason(incident: model.Incident) -> model.Reason:
    if incident.open:
        return model.Reason.FIRED
    return model.Reason.RECONCILED if incident.reconciled else model.Reason.RESOLVED


def _summaries(alerts: Sequence[model.Alert]) -> Mapping[str, int]:
    texts = (alert.annotations.get("summary") or alert.annotations.get("description", "") for alert in alerts)
    return Counter(wording.short(text, _LONGEST_SUMMARY) for text in texts)


def _line(alert: model.Alert) -> Line:
    return Line(
        state=_alert_state(alert),
        summary=wording.short(alert.annotations.get("summary", ""), _LONGEST_TEXT),
        description=wording.block(alert.annotations.get("description", ""), _LONGEST_TEXT),
        labels=_labels(alert.labels),
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        moved_to=alert.moved_to,
    )


def _labels(labels: model.Labels) -> Mapping[str, str]:
    shown = {
        wording.short(name, _LONGEST_TEXT): wording.short(labels[name], _LONGEST_TEXT)
        for name in sorted(labels)[:_MOST_LABELS]
    }
    left_out = len(labels) - _MOST_LABELS
    return shown | ({wording.ELLIPSIS: f"{left_out:,} more"} if left_out > 0 else {})


def _alert_state(alert: model.Alert) -> str:
    if alert.status is not model.AlertStatus.FIRING:
        return alert.status.value
    if not alert.fires:
        return "held"
    if alert.recovers_at is not None:
        return "recovery unconfirmed"
    return alert.muted.kind.value if alert.muted else "firing"


def _told(incident: model.Incident, delivery: model.Delivery) -> Told:
    state, words = _in_words(incident, delivery)
    return Told(destination=delivery.destination, state=state, words=words, at=delivery.shown_at)


def _in_words(incident: model.Incident, delivery: model.Delivery) -> tuple[str, str]:
    error = wording.short(delivery.last_error, _LONGEST_TEXT)
    if delivery.dead is not None:
        return "refused", f"for good: {error}"
    if delivery.attempts:
        return "failing", f"{wording.plural(delivery.attempts, 'attempt')} failed, goes on trying: {error}"
    if delivery.shown is None:
        return "waiting", "not told yet"
    return _behind(incident, delivery.shown, delivery.intent) or (
        "told",
        _shows(incident, delivery.shown),
    )


def _shows(incident: model.Incident, seen: model.Shown) -> str:
    if not incident.open:
        return "it shows as resolved"
    return "it shows as firing" if seen.firing else "it shows as silenced"


def _behind(
    incident: model.Incident, seen: model.Shown, intent: model.Shown | None
) -> tuple[str, str] | None:
    """What the destination does not know yet, from what it shows."""
    if not incident.open:
        return ("waiting", "it shows as firing, the resolve waits") if seen.firing else None
    if seen.silenced and seen.episode == incident.episode:
        return None
    if not seen.firing or seen.episode != incident.episode:
        return "waiting", "it shows an earlier time, this one waits"
    return None if intent is None else ("waiting", "it shows as firing, a change is on its way")


def _runbook(alert: model.Alert, pages: message.Runbooks) -> str:
    name = runbooks.find(alert.labels, alert.annotations, pages.keys())
    if name is None:
        return ""
    path = f"/runbooks/{quote(name, safe='')}"
    if sum(map(len, alert.labels.values())) > _LONGEST_QUERY:
        return path
    query = urlencode(sorted(alert.labels.items()), errors="replace")
    return f"{path}?{query}" if len(query) <= _LONGEST_QUERY else path
