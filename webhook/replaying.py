"""`/api/v1/dead-letters`: what was refused for good, and letting it be told again."""

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web

from routing import alarms, ledger, model
from webhook import answers, guard, letters
from webhook.store import contract

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

MOST_LETTERS = 10_000
_BODY_BYTES = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which letters, and what to do with them.

    Attributes:
        ids: of incidents; none for all of them.
        destination: "" for every one.
        drop: nothing is told: a person saw to it.
    """

    ids: frozenset[str]
    destination: str
    drop: bool


def listing(store: contract.Store) -> Handler:
    """A handler: the dead letters as JSON."""

    async def handler(_request: web.BaseRequest) -> web.Response:
        try:
            found = letters.letters(await store.dead_letters(MOST_LETTERS))
        except ledger.Unavailable as error:
            return answers.unavailable(f"the record cannot be read now: {error}")
        return web.json_response({"dead_letters": letters.as_data(found)})

    return handler


def replaying(
    *,
    store: contract.Store,
    entrance: guard.Guard,
    wake: Callable[[Collection[str]], object],
    clock: Callable[[], datetime],
) -> Handler:
    """A handler: lets dead letters be told again, as the incident is by then, or takes them off the list."""

    async def handler(request: web.BaseRequest) -> web.Response:
        if refused := entrance.refused_change(request) or _misfit(request):
            return refused
        asked = _asked(await request.read())
        if isinstance(asked, str):
            return answers.refusal(400, asked)
        try:
            return await _replay(store, asked, wake, clock())
        except ledger.Unavailable as error:
            return answers.unavailable(f"it cannot be recorded now: {error}")

    return handler


def _misfit(request: web.BaseRequest) -> web.Response | None:
    """The answer to a head that announces nothing that could be understood."""
    if request.method != "POST":
        return answers.wrong_method("POST")
    if request.content_type != "application/json":
        return answers.refusal(415, "the Content-Type must be application/json")
    if request.content_length is None or request.content_length > _BODY_BYTES:
        return answers.refusal(413, f"the body must have a Content-Length of at most {_BODY_BYTES} bytes")
    return None


async def _replay(
    store: contract.Store, asked: Asked, wake: Callable[[Collection[str]], object], now: datetime
) -> web.Response:
    situations = await store.dead_letters(MOST_LETTERS)
    found = letters.letters(situations, ids=asked.ids, destination=asked.destination)
    by_id = {situation.incident.id: situation for situation in situations}
    for letter in found:
        dead = by_id[letter.incident_id].deliveries[letter.destination].dead
        if asked.drop and dead is not None:
            if await store.drop_letter(letter.incident_id, letter.destination, dead, now):
                wake(await _end_alarm(store, letter, now))
        else:
            await store.revive(letter.incident_id, letter.destination, now)
    wake({letter.incident_id for letter in found})
    return web.json_response(
        {
            "dropped" if asked.drop else "replayed": letters.as_data(found),
            "unknown": sorted(asked.ids - {letter.incident_id for letter in found}),
        }
    )


async def _end_alarm(store: contract.Store, letter: letters.Letter, now: datetime) -> Collection[str]:
    """This service's own incident about the letter has no cause any more; returns the incidents that changed."""
    alarm = model.incident_id(alarms.group_labels(alarms.REFUSED, letter.destination))
    for situation in (await store.situations([alarm])).values():
        over = alarms.resolved(situation.incident, now, letter.incident_id)
        if over:
            return await store.record(over, now)
    return ()


def _asked(body: bytes) -> Asked | str:
    """What the body asks for, or what is wrong with it."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return "the body is not JSON"
    if not isinstance(document, dict):
        return 'the body must be an object, like {"incidents": "all"}'
    unknown = document.keys() - {"incidents", "destination", "drop"}
    if unknown:
        return f"unknown key {min(unknown)!r}; there is incidents, destination, drop"
    ids = document.get("incidents")
    if ids != "all" and not (isinstance(ids, list) and ids and all(isinstance(one, str) for one in ids)):
        return '"incidents" must be a list of ids, or "all"'
    destination, drop = document.get("destination", ""), document.get("drop", False)
    if not isinstance(destination, str) or not isinstance(drop, bool):
        return '"destination" must be a text and "drop" true or false'
    return Asked(ids=frozenset() if ids == "all" else frozenset(ids), destination=destination, drop=drop)
