"""An incident that opens and closes again and again: a fact to tell, and no reason to repeat messages. Pure.

From the third opening within 20 minutes until it was quiet for 10 it is shown as open, and says so. A pager still
hears of each firing, as news of the open incident and not as a new page (DESIGN: invariant 4); a channel hears
nothing but what is new.
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
    manner: model.Manner,
    now: datetime,
) -> model.Step | model.Wait | None:
    """What becomes of a step because the incident flaps.

    Only where the destination surely shows it as open: what begins is always told, and what is uncertain too.
    """
    due = quiet_at(incident)
    told = delivery.shown if delivery and delivery.intent is None else None
    if due is None or told is None or not told.firing or want is None or want.ended not in _CALM_ENDS:
        return step
    if want.stands_in_for != told.stands_in_for:
        return step
    if told.episode < want.episode and not (want.ended and now < due):
        return _again(told, want, manner)
    told_live = incident.resolved_at is None or (
        delivery is not None and delivery.shown_at is not None and delivery.shown_at < incident.resolved_at
    )
    repeats = isinstance(step, model.Step) and step.reason in _COMES_AND_GOES
    return model.Wait(until=due) if now < due and repeats and told_live else step


def _again(told: model.Shown, want: desire.Desired, manner: model.Manner) -> model.Step:
    """It fires again, or did since, where it is still shown as open: the same goes on."""
    fires = want.firing or want.fired
    joined = fires - told.firing
    is_page = manner.reassert_seconds is not None and want.priority is model.Priority.P1
    shows = replace(want.shows, firing=told.firing | fires, priority=min(told.priority, want.priority))
    if want.ended and not is_page:
        return model.Step(
            act=model.Act.CLOSE,
            reason=want.ended,
            shows=replace(shows, firing=frozenset()),
            resolved=shows.firing,
        )
    is_raised = want.priority < told.priority
    is_muted_otherwise = (told.silenced, told.inhibited) != (want.silenced, want.inhibited)
    says = joined or is_raised or is_page or is_muted_otherwise
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
