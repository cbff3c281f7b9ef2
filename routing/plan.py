"""The one next step at a destination, and why: what it should show against what it was told. Pure.

Each step is safe to repeat, and planning again after any of them, as if the process had died there,
leads to the same end. Two rules hold throughout (DESIGN: invariants 2 to 4):

- A P1's episodes are told one after the other: no trigger before the receipt of the last resolve; what fired and
  resolved while nothing could be told is told as one trigger and one resolve. P2 and P3 collapse to what is true now.
- A state whose sending has no known outcome may be shown: it is told again before anything rests on it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from routing import desire, flapping, model


def plan(
    destination: str,
    situation: model.Situation,
    desired: Mapping[str, desire.Desired],
    manner: model.Manner,
    now: datetime,
    *,
    moved_pending: frozenset[str] = frozenset(),
) -> model.Step | model.Wait | None:
    """The step that is due at a destination, an instant to look again at, or None when all is told.

    Args:
        destination: its name.
        situation: the incident and its deliveries.
        desired: what every destination should show of it.
        manner: how this destination likes to be told.
        now: the time.
        moved_pending: destinations that do not show yet the incident to which alerts of this one moved.
    """
    want = desired.get(destination)
    want = want and want.at(now)
    delivery = _past_a_refused_end(situation.deliveries.get(destination), want)
    told = (delivery.intent or delivery.shown) if delivery else None
    if delivery and delivery.intent and not delivery.intent.firing:
        step: model.Step | model.Wait | None = _close(
            delivery.intent, model.Reason.UNCERTAIN, delivery.intent.silenced
        )
    elif told and told.firing and want and want.news and (want.ended or told.episode < want.episode):
        step = replace(_close(told, model.Reason.NEWS_OVER), act=model.Act.FORGET)
    elif told and told.firing:
        assert delivery is not None
        step = _after_open(
            destination,
            situation,
            desired,
            want=want,
            delivery=delivery,
            told=told,
            manner=manner,
            now=now,
            moved_pending=moved_pending,
        )
    elif want:
        step = _after_closed(situation.incident, delivery, want, manner, told)
    else:
        step = None
    step = flapping.damp(step, situation.incident, delivery, want, now=now)
    if isinstance(step, model.Step) and delivery and delivery.dead == step.shows:
        return None
    return _with_failover(step, delivery) if isinstance(step, model.Step) else step


def _past_a_refused_end(
    delivery: model.Delivery | None, want: desire.Desired | None
) -> model.Delivery | None:
    """The delivery; as if the end had been told, where that was refused for good and a later episode runs.

    Else an end that a far end does not like would keep every later firing from being told there.
    """
    dead = delivery.dead if delivery else None
    if delivery is None or dead is None or dead.firing or want is None or want.episode <= dead.episode:
        return delivery
    return replace(delivery, shown=dead, intent=None)


def _after_open(
    destination: str,
    situation: model.Situation,
    desired: Mapping[str, desire.Desired],
    *,
    want: desire.Desired | None,
    delivery: model.Delivery,
    told: model.Shown,
    manner: model.Manner,
    now: datetime,
    moved_pending: frozenset[str],
) -> model.Step | model.Wait | None:
    """What follows where the incident is shown, or may be shown, as open."""
    if want is None:
        return _no_longer_routed(situation, desired, told)
    is_p1 = min(told.priority, want.priority) is model.Priority.P1
    over = want.ended or told.episode < want.episode
    if over and is_p1 and delivery.intent and not _has_open(delivery.shown, told.episode):
        return _again(delivery, want)
    if told.episode < want.episode and is_p1:
        return _close(told, model.Reason.RESOLVED)
    if want.ended:
        if want.ended is model.Reason.MOVED and destination in moved_pending:
            return model.Wait(until=now + timedelta(seconds=1))
        return _close(replace(told, episode=want.episode), want.ended, want.silenced)
    return _while_open(delivery, want, manner, now, told)


def _again(delivery: model.Delivery, want: desire.Desired) -> model.Step:
    """Nobody may have seen it begin, and it is over or began anew: told as one trigger with what came since."""
    shows = replace(want.shows, firing=want.firing or want.fired)
    return model.Step(
        act=model.Act.OPEN,
        reason=model.Reason.UNCERTAIN,
        shows=shows,
        fired_times=_fired_times(delivery, want.episode, want.priority),
        joined=shows.firing,
    )


def _no_longer_routed(
    situation: model.Situation, desired: Mapping[str, desire.Desired], told: model.Shown
) -> model.Step | None:
    if not situation.incident.open:
        return _close(told, model.Reason.RESOLVED)
    if any(not shows_open(situation, name, other) for name, other in desired.items()):
        return None
    return _close(told, model.Reason.TAKEN_BACK if told.stands_in_for else model.Reason.REROUTED)


def _while_open(
    delivery: model.Delivery,
    want: desire.Desired,
    manner: model.Manner,
    now: datetime,
    told: model.Shown,
) -> model.Step | model.Wait | None:
    joined = want.firing - told.firing
    resolved = told.firing - want.firing
    reason: model.Reason | None = None
    if want.stands_in_for - told.stands_in_for:
        reason = model.Reason.FAILED_OVER
    elif joined:
        reason = model.Reason.UNSILENCED if joined <= told.silenced else model.Reason.JOINED
    elif want.priority < told.priority:
        reason = model.Reason.RAISED
    elif manner.shows_partial_resolves and (change := _quiet_change(want, told)):
        reason = change
    elif told.stands_in_for - want.stands_in_for:
        reason = model.Reason.TAKEN_BACK
    elif delivery.intent:
        reason = model.Reason.UNCERTAIN
    elif resolved - want.silenced and not delivery.dead_at:
        # Nobody hears of it, but what fires again after that is news.
        return model.Step(act=model.Act.FORGET, reason=model.Reason.PARTLY_RESOLVED, shows=want.shows)
    else:
        due = _reassertion(delivery, want, manner)
        if due is None or now < due:
            return _wait([due, *want.unconfirmed_at.values()], now)
        reason = model.Reason.REASSERTED
    shown_before = delivery.shown is not None and bool(delivery.shown.firing)
    return model.Step(
        act=model.Act.UPDATE if shown_before else model.Act.OPEN,
        reason=reason,
        shows=_first_shown(delivery, want),
        fired_times=1 if shown_before else _fired_times(delivery, want.episode, want.priority),
        joined=joined,
        resolved=resolved,
    )


def _quiet_change(want: desire.Desired, told: model.Shown) -> model.Reason | None:
    """What changed that is no reason to disturb anyone, the weightiest first."""
    resolved = told.firing - want.firing
    changes = (
        (resolved - want.silenced, model.Reason.PARTLY_RESOLVED),
        (resolved, model.Reason.PARTLY_SILENCED),
        (want.unconfirmed - told.unconfirmed, model.Reason.UNCONFIRMED),
        ((told.unconfirmed - want.unconfirmed) & want.firing, model.Reason.STILL_FIRING),
        (want.inhibited - told.inhibited, model.Reason.INHIBITED),
        ((told.inhibited - want.inhibited) & want.firing, model.Reason.UNINHIBITED),
    )
    return next((reason for changed, reason in changes if changed), None)


def _reassertion(delivery: model.Delivery, want: desire.Desired, manner: model.Manner) -> datetime | None:
    """When an open P1 is told again; None for never. What is inhibited as a whole need not be."""
    asked = manner.reassert_seconds is not None and want.priority is model.Priority.P1
    if not asked or delivery.shown_at is None or want.firing <= want.inhibited:
        return None
    return delivery.shown_at + timedelta(seconds=manner.reassert_seconds or 0)


def _wait(instants: Iterable[datetime | None], now: datetime) -> model.Wait | None:
    first = min((instant for instant in instants if instant and instant > now), default=None)
    return None if first is None else model.Wait(until=first)


def _after_closed(
    incident: model.Incident,
    delivery: model.Delivery | None,
    want: desire.Desired,
    manner: model.Manner,
    told: model.Shown | None,
) -> model.Step | None:
    """What follows where nothing is shown as open: never told, or told its end."""
    fired_times = _fired_times(delivery, want.episode, want.priority)
    if want.firing:
        added_later = delivery is None and incident.opened_at < manner.since
        if added_later and want.priority is model.Priority.P3:
            return None
        was_silenced = told is not None and told.episode == want.episode and bool(told.silenced)
        return model.Step(
            act=model.Act.OPEN,
            reason=model.Reason.UNSILENCED if was_silenced else model.Reason.FIRED,
            shows=_first_shown(delivery, want),
            fired_times=fired_times,
            joined=want.firing,
        )
    over = want.ended in (model.Reason.RESOLVED, model.Reason.RECONCILED)
    was_missed = over and (told is None or want.episode > told.episode)
    if was_missed and want.priority is model.Priority.P1:
        return model.Step(
            act=model.Act.OPEN,
            reason=model.Reason.TOLD_LATE,
            shows=replace(want.shows, firing=want.fired),
            fired_times=fired_times,
            joined=want.fired,
        )
    if over and want.ended and told and told.silenced and manner.shows_partial_resolves and not want.news:
        return replace(_close(told, want.ended), resolved=told.silenced)
    return None


def _first_shown(delivery: model.Delivery | None, want: desire.Desired) -> model.Shown:
    """What fires, and every P1 of the episode that fired and resolved before anything of it could be told.

    As soon as it is shown, what resolved is taken back.
    """
    is_first = delivery is None or delivery.shown is None or delivery.shown.episode < want.episode
    if not (want.over and is_first):
        return want.shows
    return replace(want.shows, firing=want.firing | want.over, priority=model.Priority.P1)


def _fired_times(delivery: model.Delivery | None, episode: int, priority: model.Priority) -> int:
    """How many episodes of a P1 the destination hears of at once; for P2 and P3 only the present one counts."""
    if delivery is None or priority is not model.Priority.P1:
        return 1
    last_shown = delivery.shown.episode if delivery.shown else delivery.since_episode - 1
    return max(1, episode - last_shown)


def _close(told: model.Shown, reason: model.Reason, silenced: frozenset[str] = frozenset()) -> model.Step:
    nothing: frozenset[str] = frozenset()
    return model.Step(
        act=model.Act.CLOSE,
        reason=reason,
        shows=replace(
            told,
            firing=nothing,
            stands_in_for=nothing,
            silenced=silenced,
            inhibited=nothing,
            unconfirmed=nothing,
        ),
        resolved=told.firing,
    )


def _with_failover(step: model.Step, delivery: model.Delivery | None) -> model.Step:
    """What the step says of destinations in whose place it is told: all that has no receipt yet."""
    shown = delivery.shown if delivery and _has_open(delivery.shown, step.shows.episode) else None
    known = shown.stands_in_for if shown else frozenset()
    ends = step.act is model.Act.CLOSE and step.reason is not model.Reason.TAKEN_BACK
    maybe = delivery.intent.stands_in_for if delivery and delivery.intent else frozenset()
    return replace(
        step,
        failed=step.shows.stands_in_for - known,
        taken=frozenset() if ends else (known | maybe) - step.shows.stands_in_for,
    )


def shows_open(situation: model.Situation, destination: str, want: desire.Desired) -> bool:
    """Whether a destination has the incident's current episode on show, or need not.

    Of a P2 or P3 an earlier episode does as well: where the same fires as before, nothing is told of the new one.
    """
    delivery = situation.deliveries.get(destination)
    shown = delivery.shown if delivery else None
    if want.priority is not model.Priority.P1 and shown is not None and shown.firing:
        return True
    return not want.firing or _has_open(shown, want.episode)


def _has_open(shown: model.Shown | None, episode: int) -> bool:
    return shown is not None and bool(shown.firing) and shown.episode == episode
