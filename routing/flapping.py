"""An incident that opens and closes again and again: a fact to tell, and no reason to repeat messages. Pure.

From the third opening within 20 minutes it says so. A P2 or P3 is then shown as open until it was quiet for 10
minutes, and nothing but what is new in it is told. A P1 is told as ever: each trigger, each resolve (DESIGN:
invariant 4); a pager that stayed open for ten minutes longer would say what is not true.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from routing import desire, model, wording

OPENINGS = 3
WITHIN = timedelta(minutes=20)
QUIET = timedelta(minutes=10)

_CALM_ENDS = frozenset({None, model.Reason.RESOLVED, model.Reason.RECONCILED})
_COMES_AND_GOES = frozenset({model.Reason.RESOLVED, model.Reason.RECONCILED, model.Reason.PARTLY_RESOLVED})


def quiet_at(incident: model.Incident) -> datetime | None:
    """When it counts as quiet, if nothing changes until then; None where it does not flap."""
    openings = incident.openings[-OPENINGS:]
    if len(openings) < OPENINGS or openings[-1] - openings[0] > WITHIN:
        return None
    changed_at = openings[-1] if incident.open or incident.resolved_at is None else incident.resolved_at
    return changed_at + QUIET


def stays_shown(incident: model.Incident) -> bool:
    """Whether its end is told only when it was quiet."""
    return quiet_at(incident) is not None and incident.priority is not model.Priority.P1


def fact(incident: model.Incident) -> str:
    """`Flapping: 3 times in 20 minutes.`, as long as that is how its last openings were; else ""."""
    if quiet_at(incident) is None:
        return ""
    run = _run(incident.openings)
    ended_at = incident.changed_at if incident.open or incident.resolved_at is None else incident.resolved_at
    minutes = max(1, -(-(ended_at - run[0]) // timedelta(minutes=1)))
    return f"Flapping: {wording.plural(len(run), 'time')} in {wording.plural(minutes, 'minute')}."


def damp(
    step: model.Step | model.Wait | None,
    incident: model.Incident,
    delivery: model.Delivery | None,
    want: desire.Desired | None,
    *,
    now: datetime,
) -> model.Step | model.Wait | None:
    """What becomes of a step because the incident flaps.

    Only where the destination surely shows it as open: what begins is always told, and what is uncertain too.
    """
    due = quiet_at(incident)
    told = delivery.shown if delivery and delivery.intent is None else None
    if due is None or told is None or not told.firing or want is None or want.ended not in _CALM_ENDS:
        return step
    if model.Priority.P1 in (told.priority, want.priority):
        return step
    if told.episode < want.episode and not (want.ended and now < due):
        return _again(told, want)
    told_live = incident.resolved_at is None or (
        delivery is not None and delivery.shown_at is not None and delivery.shown_at < incident.resolved_at
    )
    repeats = isinstance(step, model.Step) and step.reason in _COMES_AND_GOES
    return model.Wait(until=due) if now < due and repeats and told_live else step


def _again(told: model.Shown, want: desire.Desired) -> model.Step:
    """It fires again, or did since, where it is still shown as open: the same goes on."""
    fires = want.firing or want.fired
    joined = fires - told.firing
    shows = replace(want.shows, firing=told.firing | fires, priority=min(told.priority, want.priority))
    if want.ended:
        return model.Step(
            act=model.Act.CLOSE,
            reason=want.ended,
            shows=replace(shows, firing=frozenset()),
            resolved=shows.firing,
        )
    is_raised = want.priority < told.priority
    is_muted_otherwise = (told.silenced, told.inhibited) != (want.silenced, want.inhibited)
    says = joined or is_raised or is_muted_otherwise
    return model.Step(
        act=model.Act.UPDATE if says else model.Act.FORGET,
        reason=model.Reason.RAISED if is_raised else model.Reason.FLAPPING,
        shows=shows,
        fired_times=want.episode - told.episode,
        joined=joined,
    )


def _run(openings: Sequence[datetime]) -> Sequence[datetime]:
    """The last openings that followed each other closely."""
    first = len(openings) - 1
    while first > 0 and openings[first] - openings[first - 1] <= WITHIN:
        first -= 1
    return openings[first:]
