"""Dead letters: what a destination refused for good, as people and scripts see it. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing import message, model, wording
from webhook import shown

_ERROR_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One state of an incident that one destination refused.

    Attributes:
        refused_at: None for what an older version refused.
        error: the far end's words.
        missed: what should have been shown there, in words.
    """

    incident_id: str
    destination: str
    title: str
    tier: str
    refused_at: datetime | None
    error: str
    missed: str


def letters(
    situations: Sequence[model.Situation], *, ids: Collection[str] = (), destination: str = ""
) -> list[Letter]:
    """The dead letters of these incidents, the oldest first; only those of `ids` and `destination` if given."""
    found = [
        _letter(situation, delivery, delivery.dead)
        for situation in situations
        if not ids or situation.incident.id in ids
        for name, delivery in situation.deliveries.items()
        if delivery.dead is not None and destination in ("", name)
    ]
    return sorted(found, key=lambda one: (one.refused_at is not None, one.refused_at, one.incident_id))


def as_text(found: Sequence[Letter]) -> str:
    """A few lines a letter."""
    return "\n\n".join("\n".join(_lines(one)) for one in found) if found else "no dead letters"


def as_data(found: Sequence[Letter]) -> list[dict[str, Any]]:
    """The same for scripts; times in ISO 8601, UTC."""
    return [
        {
            "incident": one.incident_id,
            "destination": one.destination,
            "priority": one.tier,
            "title": one.title,
            "refused_at": one.refused_at.isoformat() if one.refused_at else None,
            "error": one.error,
            "missed": one.missed,
        }
        for one in found
    ]


def _lines(one: Letter) -> list[str]:
    when = f" at {wording.instant(one.refused_at)}" if one.refused_at else ""
    return [
        f"{one.tier} {one.title}",
        f"   {one.destination} refused{when}: {one.error}",
        f"   not shown there: {one.missed}",
        f"   {one.incident_id}",
    ]


def _letter(situation: model.Situation, delivery: model.Delivery, dead: model.Shown) -> Letter:
    card = shown.card(situation, surroundings=message.Surroundings(), pages={})
    ends = f"the end of episode {dead.episode}"
    fires = (
        f"{wording.plural(len(dead.firing), 'alert')} firing, episode {dead.episode}, {dead.priority.name}"
    )
    return Letter(
        incident_id=situation.incident.id,
        destination=delivery.destination,
        title=card.title,
        tier=card.tier,
        refused_at=delivery.dead_at,
        error=wording.short(delivery.last_error, _ERROR_CHARACTERS),
        missed=fires if dead.firing else ends,
    )
