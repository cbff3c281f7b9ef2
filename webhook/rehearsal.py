"""What a replay of dead letters would send, worked out beside the service. Nothing is sent and nothing changes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from routing import desire, failover, message, model, plan
from routing.destinations import contract
from webhook import config, delivering, letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What would become of one letter.

    Attributes:
        outcome: in words.
        request: what would be sent first; None where nothing would.
        fallback: what would be sent if that is refused again.
    """

    letter: letters.Letter
    outcome: str
    request: contract.Request | None = None
    fallback: contract.Request | None = None


async def rehearse(
    settings: config.Settings,
    runbooks: message.Runbooks,
    situations: Sequence[model.Situation],
    found: Sequence[letters.Letter],
    now: datetime,
) -> list[Rehearsed]:
    """What would become of each of these letters, by the configuration as it is now."""
    by_id = {situation.incident.id: situation for situation in situations}
    return [await _one(settings, runbooks, by_id[letter.incident_id], letter, now) for letter in found]


async def _one(
    settings: config.Settings,
    runbooks: message.Runbooks,
    situation: model.Situation,
    letter: letters.Letter,
    now: datetime,
) -> Rehearsed:
    entry = settings.destinations.get(letter.destination)
    if entry is None:
        return Rehearsed(letter=letter, outcome="nothing: the configuration has no such destination")
    if entry.dry:
        return Rehearsed(letter=letter, outcome=f"nothing: it is dry, {entry.secret_from} is not set")
    destination = delivering.build(entry, dry_run=False)
    try:
        revived = _revived(situation, letter.destination)
        step = _step(settings, revived, letter.destination, destination.traits, now)
        if step is None or step.act is model.Act.FORGET:
            return Rehearsed(letter=letter, outcome="nothing: there is nothing to tell there any more")
        compose = delivering.composer(settings, runbooks, dry_run=False, clock=lambda: now)
        told = compose(revived, step)
        return Rehearsed(
            letter=letter,
            outcome=f"{step.act}: {step.reason}",
            request=await destination.rehearse(told, plain=False),
            fallback=await destination.rehearse(told, plain=True),
        )
    finally:
        await destination.close()


def _revived(situation: model.Situation, name: str) -> model.Situation:
    deliveries = {**situation.deliveries, name: replace(situation.deliveries[name], dead=None)}
    return replace(situation, deliveries=deliveries)


def _step(
    settings: config.Settings,
    situation: model.Situation,
    name: str,
    traits: contract.Traits,
    now: datetime,
) -> model.Step | None:
    by_route = desire.desire(situation.incident, delivering.router(settings, dry_run=False))
    backups = delivering.backups(settings, dry_run=False)
    desired = failover.stand_ins(situation, by_route, backups, (), now)
    manner = model.Manner(
        shows_partial_resolves=traits.shows_partial_resolves,
        reassert_seconds=traits.reassert_seconds,
        since=situation.incident.opened_at,
    )
    step = plan.plan(name, situation, desired, manner, now)
    return step if isinstance(step, model.Step) else None


def as_text(rehearsed: Sequence[Rehearsed]) -> str:
    """Each request as it goes over the wire, secrets masked."""
    return "\n\n".join("\n".join(_lines(one)) for one in rehearsed) if rehearsed else "no dead letters"


def as_data(rehearsed: Sequence[Rehearsed]) -> list[dict[str, Any]]:
    """The same for scripts."""
    return [
        {
            "incident": one.letter.incident_id,
            "destination": one.letter.destination,
            "outcome": one.outcome,
            "request": _as_data(one.request),
            "if_refused_again": _as_data(one.fallback),
        }
        for one in rehearsed
    ]


def _lines(one: Rehearsed) -> list[str]:
    lines = [f"# {one.letter.incident_id} at {one.letter.destination}: {one.outcome}"]
    if one.request is not None:
        lines += _wire(one.request)
    if one.fallback is not None:
        lines += ["# if that is refused again:", *_wire(one.fallback)]
    return lines


def _wire(request: contract.Request) -> list[str]:
    headers = [f"{name}: {value}" for name, value in request.headers.items()]
    return [f"{request.method} {request.url}", *headers, "", request.body]


def _as_data(request: contract.Request | None) -> Mapping[str, Any] | None:
    if request is None:
        return None
    return {
        "method": request.method,
        "url": request.url,
        "headers": dict(request.headers),
        "body": json.loads(request.body),
    }
