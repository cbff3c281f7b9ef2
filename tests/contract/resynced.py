"""Real Alertmanagers that send to the real intake and are asked by the real resync: what the tests of resync start.

Only the intervals are shorter than an operator has them, and what Prometheus would send is sent from here; the real
Prometheus is in tests/acceptance/test_blindness.py.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from routing import ledger, model, peers
from tests import parts
from tests.contract import served
from tests.world import alertmanager, pulse
from webhook import health, receive, resync
from webhook.store import contract, sqlite

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
DEADLINE_SECONDS = 45.0


Incidents = Mapping[str, model.Incident]
"""By the alert's name."""


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
        self.changed: list[Callable[[Collection[str]], None]] = []
        """Who else hears which incidents changed."""
        self.past_store = served.PastStore()
        self._notified: set[asyncio.Task[None]] = set()

    def observe(self, look: resync.Looked) -> None:
        self.looks.append(look)
        self.stir()

    def stir(self, changed: Collection[str] = ()) -> None:
        for hear in self.changed:
            hear(changed)

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
            async with asyncio.timeout(DEADLINE_SECONDS), self._looked:
                while True:
                    incidents = await self.incidents()
                    if wanted(incidents):
                        return incidents["ServiceDown"]
                    await self._looked.wait()
        except TimeoutError:
            raise AssertionError(f"did not become so: {incidents}, {self.looks[-1:]}") from None

    async def until_seen(self, wanted: Callable[[Sequence[resync.Seen]], object]) -> None:
        """Wait until the peers look so."""
        async with asyncio.timeout(DEADLINE_SECONDS), self._looked:
            await self._looked.wait_for(lambda: self.looks and wanted(self.looks[-1].seen))

    async def looks_on(self, count: int = 3) -> Mapping[str, model.Incident]:
        """What is on record after some more looks."""
        wanted = len(self.looks) + count
        async with asyncio.timeout(DEADLINE_SECONDS), self._looked:
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


BOTH = pytest.mark.parametrize("world", [OLDEST, NEWEST], indirect=True)


@asynccontextmanager
async def run(folder: Path, name: str, bounds: peers.Bounds = BOUNDS) -> AsyncIterator[World]:
    """A world on the Alertmanager of a generation; skips where it is not here."""
    found = parts.generation(name)
    if found is None:
        pytest.skip(f"./dev parts has not brought {name}'s Alertmanager here")
    async with AsyncExitStack() as running:
        store = await sqlite.open_store(folder / "state")
        running.push_async_callback(store.close)
        resyncing = resync.Resync(
            store=store,
            wake=lambda changed: built.stir(changed),  # noqa: PLW0108  built comes after it
            observe=lambda look: built.observe(look),  # noqa: PLW0108
            clock=lambda: datetime.now(UTC),
            bounds=bounds,
            cadence=CADENCE,
        )
        built = World(store=store, resyncing=resyncing, folder=folder, parts=found)
        built.url = await running.enter_async_context(_intake(built))
        looking = asyncio.create_task(resyncing.run())
        running.callback(looking.cancel)
        yield built
        assert not looking.done(), "resync ended by itself"


@asynccontextmanager
async def _intake(built: World) -> AsyncIterator[str]:
    """The real intake at an address of its own, for Alertmanager."""
    intake = receive.Intake(
        store=built.store,
        wake=built.stir,
        past_store=built.past_store,
        noted=health.Readiness(built.store).noted,
        clock=lambda: datetime.now(UTC),
        proof=built.resyncing,
    )

    async def take(request: web.Request) -> web.Response:
        try:
            await intake.receive(await request.read())
        except ledger.Unavailable:
            return web.Response(status=503)
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
