"""Who is told in the place of a destination that does not take a P1 in time, and what is said about it. Pure.

The state is derived: a destination owes an incident while it should show a P1 and has no receipt for the present
episode. When it has owed it for long enough, or cannot take it at all, its backup stands in for it until the receipt.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from routing import desire, model, plan, wording

_ERROR_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """What happens when a destination does not take a P1.

    Attributes:
        to: name of the destination that is told instead.
        after_seconds: how long the destination is waited for.
        title: what people call the destination that is waited for.
        pages: whether that one pages people.
    """

    to: str
    after_seconds: float
    title: str
    pages: bool


Backups = Mapping[str, Backup]
"""By the name of the destination that is waited for."""


def owes(situation: model.Situation, name: str, want: desire.Desired) -> bool:
    """Whether a destination should show a P1 and has no receipt for the present episode, or for less than a P1."""
    if want.priority is not model.Priority.P1 or not want.firing:
        return False
    delivery = situation.deliveries.get(name)
    shown = delivery.shown if delivery else None
    is_p1 = shown is not None and shown.priority is model.Priority.P1
    return not (is_p1 and plan.shows_open(situation, name, want))


def stand_ins(
    situation: model.Situation,
    desired: Mapping[str, desire.Desired],
    backups: Backups,
    suspended: Collection[str],
    now: datetime,
) -> Mapping[str, desire.Desired]:
    """What every destination should show, those included that stand in for another.

    Args:
        situation: the incident and its deliveries.
        desired: what every destination should show by the routes.
        backups: who stands in for whom.
        suspended: destinations that are broken: nobody waits for these.
        now: the time.
    """
    told = dict(desired)
    for name, backup in _owing(situation, desired, backups).items():
        waited = now >= _due(situation, name, backup, now)
        if waited or name in suspended or _hopeless(situation, name) or _stands_in(situation, name, backup):
            told[backup.to] = _standing_in(told.get(backup.to), desired[name], name)
    return told


def look_again(
    situation: model.Situation, desired: Mapping[str, desire.Desired], backups: Backups, now: datetime
) -> datetime | None:
    """When the next destination will have been waited for long enough; None when none is waited for."""
    dues = (_due(situation, name, one, now) for name, one in _owing(situation, desired, backups).items())
    return min((due for due in dues if due > now), default=None)


def debts(
    situation: model.Situation, desired: Mapping[str, desire.Desired], backups: Backups, now: datetime
) -> Mapping[str, datetime | None]:
    """By destination, what `Delivery.owed_since` should become, where it is not that already."""
    owing = _owing(situation, desired, backups)
    changes: dict[str, datetime | None] = {}
    for name in backups.keys() & situation.deliveries.keys():
        if (name in owing) != (situation.deliveries[name].owed_since is not None):
            changes[name] = now if name in owing else None
    return changes


def sentences(
    situation: model.Situation, step: model.Step, backups: Backups, now: datetime
) -> tuple[str, ...]:
    """What a step says of the destinations in whose place it is told: who did not take it, why, who has it now."""
    return (
        *(_not_taken(situation, name, backups, now) for name in sorted(step.failed)),
        *(_taken(situation, name, backups) for name in sorted(step.taken)),
    )


def _owing(situation: model.Situation, desired: Mapping[str, desire.Desired], backups: Backups) -> Backups:
    return {
        name: backup
        for name, backup in backups.items()
        if (want := desired.get(name))
        and owes(situation, name, want)
        and not desire.is_about(situation.incident, backup.to)
    }


def _due(situation: model.Situation, name: str, backup: Backup, now: datetime) -> datetime:
    delivery = situation.deliveries.get(name)
    since = (delivery.owed_since if delivery else None) or now
    return since + timedelta(seconds=backup.after_seconds)


def _hopeless(situation: model.Situation, name: str) -> bool:
    """Whether the destination refused this episode for good."""
    delivery = situation.deliveries.get(name)
    dead = delivery.dead if delivery else None
    return dead is not None and bool(dead.firing) and dead.episode == situation.incident.episode


def _stands_in(situation: model.Situation, name: str, backup: Backup) -> bool:
    """Whether it was told already that the backup stands in: that ends with the receipt and not before."""
    delivery = situation.deliveries.get(backup.to)
    states = (delivery.shown, delivery.intent) if delivery else ()
    return any(
        state is not None and state.episode == situation.incident.episode and name in state.stands_in_for
        for state in states
    )


def _standing_in(own: desire.Desired | None, missed: desire.Desired, name: str) -> desire.Desired:
    """What the backup shows: what is its own concern, and what the other should be showing."""
    if own is None:
        return replace(missed, stands_in_for=frozenset({name}))
    return replace(
        own,
        firing=own.firing | missed.firing,
        fired=own.fired | missed.fired,
        priority=min(own.priority, missed.priority),
        ended=None,
        news=False,
        stands_in_for=own.stands_in_for | {name},
    )


def _not_taken(situation: model.Situation, name: str, backups: Backups, now: datetime) -> str:
    delivery = situation.deliveries.get(name)
    since = (delivery.owed_since if delivery else None) or situation.incident.opened_at
    error = wording.short(delivery.last_error, _ERROR_CHARACTERS) if delivery else ""
    why = f": {error.rstrip('.')}" if error else ""
    backup = backups[name]
    what = "page" if backup.pages else "P1"
    if _hopeless(situation, name):
        return f"{backup.title} has refused this {what} for good{why}."
    waited = now - since >= timedelta(seconds=backup.after_seconds)
    how_long = f" for {wording.duration(now - since)}" if waited else ""
    return f"{backup.title} has not taken this {what}{how_long}{why}."


def _taken(situation: model.Situation, name: str, backups: Backups) -> str:
    delivery, backup = situation.deliveries.get(name), backups.get(name)
    shown = delivery.shown if delivery else None
    if not (
        backup and delivery and delivery.shown_at and shown and shown.episode == situation.incident.episode
    ):
        return f"{backup.title if backup else name} is not waited for any more."
    done = "paged" if backup.pages else "told"
    return f"{backup.title} has been {done} now, at {wording.instant(delivery.shown_at)}."
