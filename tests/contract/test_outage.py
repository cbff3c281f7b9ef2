"""Both far ends down for an hour: real destinations and a real store, and a clock that jumps over what nobody does."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from routing import deciding, events, message, model, reconciler
from routing.destinations import contract, pagerduty, slack
from tests.standins import faults, server
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import build
from tests.world import jumping
from webhook.store import contract as store_contract
from webhook.store import sqlite

KEY = "s3cretkeys3cretkeys3cretkeys3cre"
OPS, INCIDENTS = "#ops", "#incidents"
HOUR = timedelta(hours=1)


@dataclasses.dataclass
class Rig:
    """A reconciler at work, its far ends, and the clock that all go by."""

    store: store_contract.Store
    pagerduty: pagerduty_standin.PagerDuty
    slack: slack_standin.Slack
    running: reconciler.Reconciler
    happened: list[events.Event]

    async def hear(self, name: str, alert: model.Alert) -> None:
        group = {"alertname": name, "cluster": "eu-1"}
        self.running.wake(await self.store.record(build.message(alert, group=group), now()))

    async def caught_up(self) -> timedelta:
        """How long it took until nothing was due any more."""
        began = now()
        async with asyncio.timeout(600):
            # The store gives no sign when an incident comes to rest; there is only asking.
            while await self.store.due(None, now()):  # noqa: ASYNC110
                await asyncio.sleep(1)
        return now() - began


def now() -> datetime:
    """The tests' present: it goes by the loop's time, which jumps."""
    return build.T0 + timedelta(seconds=asyncio.get_running_loop().time())


def firing(name: str, priority: str) -> model.Alert:
    return structs.replace(build.alert(name, priority=priority), starts_at=now())


def ended(alert: model.Alert) -> model.Alert:
    return structs.replace(alert, status=model.AlertStatus.RESOLVED, ends_at=now())


@asynccontextmanager
async def at_work(state_dir: Path) -> AsyncIterator[Rig]:
    async with AsyncExitStack() as stack:
        pager_end = await stack.enter_async_context(
            pagerduty_standin.serve(keys={KEY: "ops"}, rate_per_minute=None)
        )
        slack_end = await stack.enter_async_context(
            slack_standin.serve(channels={"opsTail": OPS, "incidentsTail": INCIDENTS}, burst=None)
        )
        store = await sqlite.open_store(state_dir)
        assert isinstance(store, sqlite._Sqlite)
        stack.push_async_callback(store.close)
        destinations: dict[str, contract.Destination] = {
            "pager": pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=pager_end.url),
            "incidents": slack.Slack(
                name="incidents", webhook_url=slack_end.webhook(INCIDENTS), channel=INCIDENTS
            ),
            "ops": slack.Slack(name="ops", webhook_url=slack_end.webhook(OPS), channel=OPS),
        }
        for one in destinations.values():
            stack.push_async_callback(one.close)
        since = await store.destinations_since(destinations, now())
        happened: list[events.Event] = []
        running = reconciler.Reconciler(
            ledger=store,
            route=lambda labels: ("pager", "incidents") if labels["priority"] == "P1" else ("ops",),
            targets={
                name: deciding.Target(destination=one, since=since[name])
                for name, one in destinations.items()
            },
            compose=lambda situation, step: message.compose(
                situation.incident, step, surroundings=message.Surroundings(), runbooks={}
            ),
            emit=happened.append,
            clock=now,
        )
        loop = asyncio.get_running_loop()
        assert isinstance(loop, jumping.Loop)
        loop.jump_unless(
            lambda: (
                store._writer._busy
                or store._readers._waiting > 0
                or jumping.any_thread("pager", "names")
                or any(isinstance(one, slack.Slack) and under_way(one) for one in destinations.values())
            )
        )
        task = asyncio.create_task(running.run())
        try:
            yield Rig(store, pager_end, slack_end, running, happened)
        finally:
            running.stop()
            await task


def under_way(channel: slack.Slack) -> bool:
    """Whether a request of its is."""
    session = channel._session
    return session is not None and session.connector is not None and bool(session.connector._acquired)


async def an_hour_of_trouble(rig: Rig) -> dict[str, model.Alert]:
    """One P1 fires 7 times and goes on, one fires 3 times and is over; two P2 go on, two are over."""
    went_on = {}
    for round_ in range(7):
        alert = firing("a", "P1")
        await rig.hear("Flapping", alert)
        await asyncio.sleep(60)
        if round_ < 6:
            await rig.hear("Flapping", ended(alert))
        if round_ < 3:
            brief = firing("b", "P1")
            await rig.hear("Brief", brief)
            await asyncio.sleep(60)
            await rig.hear("Brief", ended(brief))
        await asyncio.sleep(120)
        went_on["Flapping"] = alert
    for number in range(4):
        alert = firing(f"w{number}", "P2")
        await rig.hear(f"Warning{number}", alert)
        await asyncio.sleep(60)
        if number < 2:
            await rig.hear(f"Warning{number}", ended(alert))
        else:
            went_on[f"Warning{number}"] = alert
    return went_on


async def down(standins: list[server.Standin], kind: str) -> None:
    for one in standins:
        if kind == "refused":
            await one.stop()
        else:
            one.script(faults.server_error(503), times=None)


async def up(standins: list[server.Standin], kind: str) -> None:
    for one in standins:
        if kind == "refused":
            await one.start(port=one.port)
        else:
            one.clear_faults()


def plain(text: str) -> str:
    """The title without its place, and without what depends on the moment: that it flaps, and is over already."""
    return text.partition(" (")[0].replace(", flapping", "").replace(", resolved since", "")


def titles(rig: Rig, channel: str) -> list[str]:
    return sorted(plain(str(one.body["text"])) for one in rig.slack.posted(channel))


async def through_an_outage(state_dir: Path, kind: str) -> None:
    async with at_work(state_dir) as rig:
        ends: list[server.Standin] = [rig.pagerduty, rig.slack]
        began = now()
        await down(ends, kind)
        went_on = await an_hour_of_trouble(rig)
        await asyncio.sleep((began + HOUR - now()).total_seconds())
        assert rig.pagerduty.events == []
        assert rig.slack.messages == []
        assert any(isinstance(one, events.Retried) for one in rig.happened)
        await up(ends, kind)
        assert await rig.caught_up() <= timedelta(minutes=2)

        told = [
            (one.action, plain(one.body.get("payload", {}).get("summary", "")))
            for one in rig.pagerduty.events
        ]
        assert sorted(told) == [
            ("resolve", ""),
            ("trigger", "[P1, fired 3 times] Brief"),
            ("trigger", "[P1, fired 7 times] Flapping"),
        ]
        (still,) = rig.pagerduty.open_incidents()
        assert still.dedup_key == model.dedup_key(
            model.incident_id({"alertname": "Flapping", "cluster": "eu-1"})
        )
        assert titles(rig, INCIDENTS) == [
            "[P1 resolved] Brief",
            "[P1, fired 3 times] Brief",
            "[P1, fired 7 times] Flapping",
        ]
        assert titles(rig, OPS) == ["[P2] Warning2", "[P2] Warning3"]

        for name, alert in went_on.items():
            await rig.hear(name, ended(alert))
        assert await rig.caught_up() <= timedelta(minutes=1)
        assert titles(rig, OPS)[:2] == ["[P2 resolved] Warning2", "[P2 resolved] Warning3"]
        await asyncio.sleep(1_800)  # what flaps is closed once it has been calm for a while
        assert rig.pagerduty.open_incidents() == []


@pytest.mark.parametrize("kind", ["refused", "answers 503"])
def test_an_hour_without_far_ends_is_caught_up_and_each_incident_told_once(tmp_path: Path, kind: str) -> None:
    with asyncio.Runner(loop_factory=jumping.Loop) as runner:
        runner.run(through_an_outage(tmp_path, kind))
