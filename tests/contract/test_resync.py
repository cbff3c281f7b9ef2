"""The four traps of Alertmanager, with real ones that send to the real intake and are asked by the real resync.

Only the intervals are shorter than an operator has them, and what Prometheus would send is sent from here; the real
Prometheus is in tests/acceptance/test_blindness.py.
"""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from routing import model, peers
from tests import parts
from tests.contract import served
from tests.world import alertmanager, ports, pulse
from webhook import health, receive, resync
from webhook.store import contract, opening, sqlite

pytestmark = pytest.mark.real

OLDEST, NEWEST = parts.GENERATIONS[0], parts.GENERATIONS[-1]
# As with an operator, a source is fresh for less time than Alertmanager remembers what is not sent again.
BOUNDS = peers.Bounds(
    grown_up=timedelta(seconds=4),
    fresh=timedelta(seconds=pulse.FORGOTTEN_SECONDS - pulse.RESEND_SECONDS),
    settled=timedelta(seconds=2),
    late=timedelta(seconds=2),
)
CADENCE = resync.Cadence(every_seconds=0.3, waiting_seconds=0.2)
GROUP_BY = ["alertname", "cluster"]
DOWN: Mapping[str, str] = {"alertname": "ServiceDown", "cluster": "eu-1", "priority": "P1"}
_DEADLINE_SECONDS = 45.0


@dataclass(kw_only=True)
class World:
    """A store that real Alertmanagers write to and resync keeps true."""

    store: contract.Store
    resyncing: resync.Resync
    folder: Path
    parts: parts.Parts
    url: str = ""

    def __post_init__(self) -> None:
        self._looked = asyncio.Condition()
        self.looks: list[resync.Looked] = []
        self._notified: set[asyncio.Task[None]] = set()

    def observe(self, look: resync.Looked) -> None:
        self.looks.append(look)
        self.stir()

    def stir(self, _changed: Collection[str] = ()) -> None:
        async def notify() -> None:
            async with self._looked:
                self._looked.notify_all()

        task = asyncio.create_task(notify())
        self._notified.add(task)
        task.add_done_callback(self._notified.discard)

    async def until(self, wanted: Callable[[Mapping[str, model.Incident]], object]) -> model.Incident:
        """Wait until the incidents, by their alert name, are as wanted; returns ServiceDown's, which must be there."""
        incidents: Mapping[str, model.Incident] = {}
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS), self._looked:
                while True:
                    incidents = await self.incidents()
                    if wanted(incidents):
                        return incidents["ServiceDown"]
                    await self._looked.wait()
        except TimeoutError:
            raise AssertionError(f"did not become so: {incidents}, {self.looks[-1:]}") from None

    async def until_seen(self, wanted: Callable[[Sequence[resync.Seen]], object]) -> None:
        """Wait until the peers look so."""
        async with asyncio.timeout(_DEADLINE_SECONDS), self._looked:
            await self._looked.wait_for(lambda: self.looks and wanted(self.looks[-1].seen))

    async def looks_on(self, count: int = 3) -> Mapping[str, model.Incident]:
        """What is on record after some more looks."""
        wanted = len(self.looks) + count
        async with asyncio.timeout(_DEADLINE_SECONDS), self._looked:
            await self._looked.wait_for(lambda: len(self.looks) >= wanted)
        return await self.incidents()

    async def incidents(self) -> Mapping[str, model.Incident]:
        found = [*await self.store.recent_incidents(10), *await self.store.open_incidents(10)]
        return {one.incident.group_labels["alertname"]: one.incident for one in found}

    def config(self, receiver: str = "phantommesh-alerts", group_by: Collection[str] = GROUP_BY) -> Path:
        file = self.folder / "alertmanager.yml"
        hook = {"url": f"{self.url}/webhook/alertmanager", "send_resolved": True}
        route = {
            "receiver": receiver,
            "group_by": list(group_by),
            "group_wait": "0s",
            "group_interval": "1s",
            "repeat_interval": "1h",
            "routes": [
                {"matchers": ['alertname="Watchdog"'], "group_interval": "1s", "repeat_interval": "1s"}
            ],
        }
        inhibits = {
            "source_matchers": ['alertname="DatabaseUnreachable"'],
            "target_matchers": ['alertname="ServiceDown"'],
        }
        file.write_text(
            json.dumps(
                {
                    "route": route,
                    "receivers": [{"name": receiver, "webhook_configs": [hook]}],
                    "inhibit_rules": [inhibits],
                }
            )
        )
        return file

    @asynccontextmanager
    async def start(
        self, name: str = "one", port: int | None = None
    ) -> AsyncIterator[alertmanager.Alertmanager]:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        async with alertmanager.run(self.parts, self.config(), folder=folder, port=port) as running:
            yield running

    def believes(self, *running: alertmanager.Alertmanager) -> None:
        """Ask these from now on."""
        self.resyncing.ask([one.url for one in running])


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    name = getattr(request, "param", NEWEST)
    found = parts.generation(name)
    if found is None:
        pytest.skip(f"./dev parts has not brought {name}'s Alertmanager here")
    async with AsyncExitStack() as running:
        store = await sqlite.open_store(tmp_path / "state")
        running.push_async_callback(store.close)
        resyncing = resync.Resync(
            store=store,
            wake=lambda changed: built.stir(changed),  # noqa: PLW0108  built comes after it
            observe=lambda look: built.observe(look),  # noqa: PLW0108
            clock=lambda: datetime.now(UTC),
            bounds=BOUNDS,
            cadence=CADENCE,
        )
        built = World(store=store, resyncing=resyncing, folder=tmp_path, parts=found)
        built.url = await running.enter_async_context(_intake(built))
        looking = asyncio.create_task(resyncing.run())
        running.callback(looking.cancel)
        yield built
        assert not looking.done() or looking.exception() is None


@asynccontextmanager
async def _intake(built: World) -> AsyncIterator[str]:
    """The real intake at an address of its own, for Alertmanager."""
    intake = receive.Intake(
        store=built.store,
        wake=built.stir,
        past_store=served.PastStore(),
        noted=health.Readiness(built.store).noted,
        clock=lambda: datetime.now(UTC),
        proof=built.resyncing,
    )

    async def take(request: web.Request) -> web.Response:
        await intake.receive(await request.read())
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhook/alertmanager", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def alert_of(incident: model.Incident) -> model.Alert:
    (one,) = incident.alerts.values()
    return one


def is_open(incidents: Mapping[str, model.Incident]) -> bool:
    return "ServiceDown" in incidents and incidents["ServiceDown"].open


def muted(incidents: Mapping[str, model.Incident]) -> model.Mute | None:
    return alert_of(incidents["ServiceDown"]).muted


BOTH = pytest.mark.parametrize("world", [OLDEST, NEWEST], indirect=True)


@BOTH
async def test_a_silence_is_seen_and_so_is_its_end(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        await running.silence("ServiceDown", 6, comment="new disk")
        incident = await world.until(muted)
        mute = alert_of(incident).muted
        assert mute is not None
        assert (mute.kind, mute.by, mute.comment) == (model.MuteKind.SILENCED, "ann", "new disk")
        assert mute.until is not None
        assert incident.open
        after = await world.until(lambda now: not muted(now))
        assert (after.open, after.episode) == (True, 1)


async def test_what_resolves_while_it_is_silenced_is_reconciled(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        await running.silence("ServiceDown", 3600)
        await world.until(muted)
        await source.resolve("ServiceDown")
        assert (await world.until(lambda now: not is_open(now))).reconciled


@BOTH
async def test_an_inhibition_is_seen_and_so_is_its_end(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        await source.fire(alertname="DatabaseUnreachable", cluster="eu-1", priority="P1")
        incident = await world.until(muted)
        assert alert_of(incident).muted == model.Mute(kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable")
        assert incident.open
        await source.resolve("DatabaseUnreachable")
        assert (await world.until(lambda now: not muted(now))).open


async def test_a_resolve_is_confirmed_by_the_watchdog(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        await source.resolve("ServiceDown")
        incident = await world.until(lambda now: not is_open(now))
        assert not incident.reconciled
        assert alert_of(incident).ends_at is not None


@BOTH
async def test_a_resolve_that_is_blindness_is_held_until_the_alert_is_seen_again(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        source.is_alive = False
        incident = await world.until(lambda now: alert_of(now["ServiceDown"]).recovers_at)
        assert incident.open
        await world.looks_on()
        source.is_alive = True
        incident = await world.until(lambda now: not alert_of(now["ServiceDown"]).recovers_at)
        assert (incident.open, incident.episode) == (True, 1)


async def test_a_resolve_that_was_blindness_is_confirmed_when_the_source_is_back_without_the_alert(
    world: World,
) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        source.is_alive = False
        await world.until(lambda now: alert_of(now["ServiceDown"]).recovers_at)
        source.forget("ServiceDown")
        source.is_alive = True
        back = datetime.now(UTC)
        incident = await world.until(lambda now: not is_open(now))
        assert incident.resolved_at is not None
        assert incident.resolved_at - back >= BOUNDS.settled


@BOTH
async def test_a_restarted_alertmanager_is_believed_only_when_it_has_grown_up(world: World) -> None:
    port = ports.free()
    async with world.start(port=port) as first, pulse.run(first) as source:
        world.believes(first)
        await source.fire(**DOWN)
        await world.until(is_open)
        source.is_alive = False
        await first.stop()
        # It starts without an alert, and the first thing that it hears is the Watchdog alone.
        source.only_watchdog = True
        async with world.start(port=port) as second:
            source.reaches = [second]
            source.is_alive = True
            await world.until_seen(lambda seen: "up for less than" in seen[0].doubts.get("eu-1", ""))
            assert is_open(await world.incidents())
            source.only_watchdog = False
            await world.until_seen(lambda seen: seen[0].believed)
            incidents = await world.looks_on(8)
            assert is_open(incidents)
            assert incidents["ServiceDown"].episode == 1


async def test_nothing_is_gone_while_one_of_a_pair_cannot_be_asked(world: World) -> None:
    port = ports.free()
    async with (
        world.start("one") as one,
        world.start("two", port) as two,
        pulse.run(one) as source,
    ):
        source.reaches = [one, two]
        world.believes(one, two)
        await source.fire(**DOWN)
        await world.until(is_open)
        await one.silence("ServiceDown", 3600)
        await two.silence("ServiceDown", 3600)
        await world.until(muted)
        source.reaches = [one]
        await two.stop()
        source.forget("ServiceDown")
        await world.until_seen(lambda seen: seen[1].error)
        incidents = await world.looks_on(15)
        assert is_open(incidents)
        async with world.start("two", port) as again:
            source.reaches = [one, again]
            assert (await world.until(lambda now: not is_open(now))).reconciled


async def test_a_pair_confirms_a_resolve_while_one_of_it_is_cut_off_from_prometheus(world: World) -> None:
    async with world.start("one") as one, world.start("two") as two, pulse.run(one) as source:
        source.reaches = [one, two]
        world.believes(one, two)
        await source.fire(**DOWN)
        await world.until(is_open)
        source.reaches = [one]
        await source.resolve("ServiceDown")
        assert not (await world.until(lambda now: not is_open(now))).reconciled


async def test_a_renamed_receiver_makes_nothing_vanish(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        world.config(receiver="renamed")
        await running.reload()
        await world.until(lambda now: now["ServiceDown"].receiver == "renamed")
        incidents = await world.looks_on(8)
        assert is_open(incidents)
        assert incidents["ServiceDown"].episode == 1
        await source.resolve("ServiceDown")
        assert not (await world.until(lambda now: not is_open(now))).reconciled


async def test_an_edited_grouping_moves_what_is_open(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        before = await world.until(is_open)
        world.config(group_by=[*GROUP_BY, "priority"])
        await running.reload()
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while before.id in {one.incident.id for one in await world.store.open_incidents(10)}:
                await world.looks_on(1)
        (now,) = await world.store.open_incidents(10)
        left = (await world.store.situations([before.id]))[before.id].incident
        assert (left.open, alert_of(left).moved_to) == (False, now.incident.id)
        await source.resolve("ServiceDown")
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while await world.store.open_incidents(10):
                await world.looks_on(1)


def forget_incidents(world: World) -> None:
    """As if the record had been lost while Alertmanager remembers that it told of everything."""
    with closing(sqlite3.connect(world.folder / "state" / opening.DATABASE)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM incident")


@BOTH
async def test_an_alert_that_no_message_tells_of_is_opened_where_mutes_can_be_seen(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        await source.fire(**DOWN)
        await world.until(is_open)
        forget_incidents(world)
        world.believes(running)
        if world.parts.name == NEWEST:
            incident = await world.until(is_open)
            assert incident.receiver == "phantommesh-alerts"
            assert alert_of(incident).annotations == {"summary": "ServiceDown in a test"}
        else:
            await world.until_seen(lambda seen: seen[0].believed)
            assert not is_open(await world.looks_on(20))


async def test_without_an_alertmanager_to_ask_a_resolve_counts_at_once(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        await source.fire(**DOWN)
        await world.until(is_open)
        await source.resolve("ServiceDown")
        assert alert_of(await world.until(lambda now: not is_open(now))).recovers_at is None


async def test_taking_the_alertmanager_away_lets_what_waits_count(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        source.is_alive = False
        await world.until(lambda now: alert_of(now["ServiceDown"]).recovers_at)
        world.believes()
        await world.until(lambda now: not is_open(now))


async def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**DOWN)
        await world.until(is_open)
        await world.until_seen(lambda seen: seen[0].believed)
        before = await world.looks_on(1)
        assert await world.looks_on(5) == before
        assert all(not any(look.found.values()) for look in world.looks[-5:])
