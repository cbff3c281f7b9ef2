"""All that tells people over one real store, to stand-ins over real sockets, on a clock that jumps over idleness.

What the tests of crossing faults start: the reconciler, which a reload replaces, and the way past the store. What an
Alertmanager would say and list is said here.
"""

import asyncio
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import structs

from routing import budget, deciding, events, failover, ledger, message, model, reconciler, truth
from routing.destinations import contract, pagerduty, slack
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import build
from tests.world import jumping
from webhook import catchup, direct, pagebook
from webhook.store import opening, sqlite

OLD, NEW = "0" * 31 + "a", "0" * 31 + "b"
OPS, INCIDENTS = "#ops", "#incidents"
BACKUPS: failover.Backups = {
    "pager": failover.Backup(to="incidents", after_seconds=45, title="PagerDuty", pages=True)
}


def now() -> datetime:
    """The tests' present: it goes by the loop's time, which jumps."""
    return build.T0 + timedelta(seconds=asyncio.get_running_loop().time())


def firing(name: str = "a", priority: str = "P1") -> model.Alert:
    return structs.replace(build.alert(name, priority=priority), starts_at=now())


def ended(alert: model.Alert) -> model.Alert:
    return structs.replace(alert, status=model.AlertStatus.RESOLVED, ends_at=now())


def route(labels: model.Labels) -> tuple[str, ...]:
    """A P1 to the pager and the incidents' channel, all else to the ops' channel."""
    return ("pager", "incidents") if labels["priority"] == "P1" else ("ops",)


@dataclasses.dataclass(kw_only=True)
class World:
    """See the module."""

    state_dir: Path
    store: sqlite._Sqlite
    pagerduty: pagerduty_standin.PagerDuty
    slack: slack_standin.Slack
    book: pagebook.Book
    destinations: dict[str, contract.Destination] = dataclasses.field(default_factory=dict)
    happened: list[events.Event] = dataclasses.field(default_factory=list)
    budgets: budget.Budgets = dataclasses.field(default_factory=budget.Budgets)
    route: Callable[[model.Labels], tuple[str, ...]] = route
    running: reconciler.Reconciler | None = None
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.direct = direct.Direct(
            book=self.book,
            ways=lambda: direct.Ways(
                route=self.route, pagers={"pager": self.destinations["pager"]}, compose=self._compose
            ),
            outcome=lambda _outcome: None,
            clock=now,
            monotonic=asyncio.get_running_loop().time,
        )
        self.catchup = catchup.CatchUp(
            store=self.store,
            book=self.book,
            pages=self.direct,
            resyncs=lambda: True,
            wake=lambda changed: self.wake(*changed),
            clock=now,
        )

    def wake(self, *incident_ids: str) -> None:
        if self.running is not None:
            self.running.wake(incident_ids)

    async def hear(
        self, *alerts: model.Alert, group: Mapping[str, str] = build.GROUP, **changes: object
    ) -> bool:
        """A message arrives; whether it is on record. Where it cannot be, its P1 goes past the store."""
        heard = structs.replace(build.message(*alerts, group=group), **changes)
        try:
            await self.catchup.precede(heard)
            changed = await self.store.record(heard, now())
        except ledger.Unavailable:
            self.direct.refused(heard)
            return False
        self.direct.recorded(heard)
        self.wake(*changed)
        return True

    async def find(
        self, alert: model.Alert, kind: truth.Kind = truth.Kind.FIRES, mute: model.Mute | None = None
    ) -> None:
        """Resync sees the alert so."""
        incident = await self.incident()
        known = incident.alerts[alert.fingerprint]
        end = known.recovers_at or known.ends_at
        finding = truth.Finding(kind=kind, starts_at=known.starts_at, end=end, mute=mute)
        self.wake(
            *await self.store.reconcile({incident.id: {alert.fingerprint: finding}}, [], [incident.id], now())
        )

    async def silence(self, alert: model.Alert) -> None:
        """Resync sees that it is silenced."""
        await self.find(alert, mute=model.Mute(kind=model.MuteKind.SILENCED, by="ann", comment="new disk"))

    async def incident(self, group: Mapping[str, str] = build.GROUP) -> model.Incident:
        found = model.incident_id(group)
        return (await self.store.situations([found]))[found].incident

    async def load(self, key: str = OLD, previous: str = "", *, webhook: str = "") -> None:
        """Start, or reload with these credentials."""
        await self.unload()
        incidents_url = webhook or self.slack.webhook(INCIDENTS)
        self.destinations = {
            "pager": pagerduty.PagerDuty(
                name="pager", routing_key=key, previous_key=previous, events_url=self.pagerduty.url
            ),
            "incidents": slack.Slack(name="incidents", webhook_url=incidents_url, channel=INCIDENTS),
            "ops": slack.Slack(name="ops", webhook_url=self.slack.webhook(OPS), channel=OPS),
        }
        since = await self.store.destinations_since(self.destinations, now())
        self.running = reconciler.Reconciler(
            ledger=self.store,
            route=self.route,
            targets={
                name: deciding.Target(destination=one, since=since[name])
                for name, one in self.destinations.items()
            },
            compose=self._compose,
            emit=self.happened.append,
            backups=BACKUPS,
            clock=now,
            budgets=self.budgets,
        )
        self.task = asyncio.create_task(self.running.run())

    async def unload(self) -> None:
        if self.running is not None and self.task is not None:
            self.running.stop()
            await self.task
        self.running = self.task = None
        for one in self.destinations.values():
            await one.close()

    def _compose(self, situation: model.Situation, step: model.Step) -> message.Message:
        return message.compose(
            situation.incident,
            step,
            surroundings=message.Surroundings(),
            runbooks={},
            elsewhere=failover.sentences(situation, step, BACKUPS, now()),
        )

    async def quiet(self) -> None:
        """Wait until nothing is due any more but in the future."""
        async with asyncio.timeout(600):
            # The store gives no sign when an incident comes to rest; there is only asking.
            while await self.store.due(None, now()):  # noqa: ASYNC110
                await asyncio.sleep(0.5)

    @contextmanager
    def store_down(self) -> Iterator[None]:
        """Meanwhile the store takes no commit."""
        with closing(sqlite3.connect(self.state_dir / opening.DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def paged(self) -> list[tuple[str, str]]:
        """What became of each event at PagerDuty, with the last letter of its key."""
        return [(one.routing_key[-1], one.outcome) for one in self.pagerduty.events]

    def titles(self, channel: str = INCIDENTS) -> list[str]:
        return [one.text for one in self.slack.posted(channel)]

    def busy(self) -> bool:
        return bool(
            self.store._writer._busy
            or self.store._readers._waiting > 0
            or jumping.any_thread("pager", "names")
            or any(isinstance(one, slack.Slack) and _under_way(one) for one in self.destinations.values())
        )


def _under_way(channel: slack.Slack) -> bool:
    """Whether a request of its is."""
    session = channel._session
    return session is not None and session.connector is not None and bool(session.connector._acquired)


@asynccontextmanager
async def world(state_dir: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        pager_end = await stack.enter_async_context(
            pagerduty_standin.serve(keys={OLD: "ops", NEW: "ops"}, rate_per_minute=None)
        )
        slack_end = await stack.enter_async_context(
            slack_standin.serve(channels={"opsTail": OPS, "incidentsTail": INCIDENTS}, burst=None)
        )
        store = await sqlite.open_store(state_dir)
        assert isinstance(store, sqlite._Sqlite)
        stack.push_async_callback(store.close)
        made = World(
            state_dir=state_dir,
            store=store,
            pagerduty=pager_end,
            slack=slack_end,
            book=pagebook.Book(state_dir),
        )
        loop = asyncio.get_running_loop()
        assert isinstance(loop, jumping.Loop)
        loop.jump_unless(made.busy)
        stack.push_async_callback(made.unload)
        paging = asyncio.create_task(made.direct.run())
        try:
            await made.load()
            yield made
        finally:
            paging.cancel()


def play(state_dir: Path, story: Callable[[World], Awaitable[None]]) -> None:
    """Run a story in a world of its own."""

    async def told() -> None:
        async with world(state_dir) as made:
            await story(made)

    with asyncio.Runner(loop_factory=jumping.Loop) as runner:
        runner.run(told())
