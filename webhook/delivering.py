"""From settings to a running reconciler, and from one configuration to the next."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from routing import (
    budget,
    deciding,
    desire,
    events,
    failover,
    lane,
    message,
    model,
    reconciler,
    telling,
    tree,
    wording,
)
from routing.destinations import contract, log, pagerduty, slack
from webhook import config, direct
from webhook.store import contract as store_contract

_DRY = " (dry)"


class Stranded(Exception):
    """A new configuration drops destinations that still show open incidents; one line for each of them."""


def told_name(entry: config.Destination, *, dry_run: bool) -> str:
    """The name under which deliveries are kept.

    What a dry destination printed was shown to nobody. It is kept under another name, so that the
    destination is told what is open as soon as its secret is there.
    """
    return f"{entry.name}{_DRY}" if entry.dry or dry_run else entry.name


def build(entry: config.Destination, *, dry_run: bool) -> contract.Destination:
    """The destination that an entry of routing.yml describes; a dry one prints to the log."""
    match entry:
        case config.PagerDuty(routing_key=key, previous_key=previous) if key is not None and not dry_run:
            return pagerduty.PagerDuty(
                name=entry.name,
                routing_key=key.reveal(),
                previous_key=previous.reveal() if previous else "",
                events_url=entry.events_url,
            )
        case config.Slack(webhook=address) if address is not None and not dry_run:
            return slack.Slack(name=entry.name, webhook_url=address.reveal(), channel=entry.channel)
        case config.Log():
            return log.Log(name=entry.name, stands_for=None)
        case _:
            return log.Log(name=told_name(entry, dry_run=True), stands_for=entry.kind)


def router(settings: config.Settings, *, dry_run: bool) -> desire.Router:
    """Which deliveries an alert's labels lead to."""
    names = {name: told_name(entry, dry_run=dry_run) for name, entry in settings.destinations.items()}

    def route(labels: model.Labels) -> Collection[str]:
        matches = tree.destinations_for(settings.root, tree.overlaid(labels))
        return [names[name] for name in tree.names(matches)]

    return route


def backups(settings: config.Settings, *, dry_run: bool) -> failover.Backups:
    """Who stands in for whom, by the names of deliveries. A dry destination takes everything: nobody waits for it."""
    return {
        name: replace(backup, to=told_name(settings.destinations[backup.to], dry_run=dry_run))
        for name, backup in settings.backups.items()
        if told_name(settings.destinations[name], dry_run=dry_run) == name
    }


def composer(
    settings: config.Settings,
    runbooks: message.Runbooks,
    *,
    dry_run: bool,
    clock: Callable[[], datetime],
) -> telling.Compose:
    """Puts messages together by this configuration."""
    standing_in = backups(settings, dry_run=dry_run)

    def compose(situation: model.Situation, step: model.Step) -> message.Message:
        return message.compose(
            situation.incident,
            step,
            surroundings=settings.surroundings,
            runbooks=runbooks,
            elsewhere=failover.sentences(situation, step, standing_in, clock()),
            escalation=settings.escalation,
        )

    return compose


class Delivering:
    """The reconciler of the configuration in force. A new configuration gets a new one: all it knows is stored."""

    def __init__(
        self,
        *,
        store: store_contract.Store,
        runbooks: message.Runbooks,
        emit: events.Listener,
        dry_run: bool,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._runbooks = runbooks
        self._emit = emit
        self._dry_run = dry_run
        self._clock = clock
        self._budgets = budget.Budgets()
        self._current: reconciler.Reconciler | None = None
        self._destinations: Mapping[str, contract.Destination] = {}
        self._names: frozenset[str] = frozenset()
        self._ways: direct.Ways | None = None
        self._next: tuple[reconciler.Reconciler, Mapping[str, contract.Destination]] | None = None
        self._stopping = False
        self._prepared = asyncio.Event()

    def wake(self, incident_ids: Collection[str]) -> None:
        """Say that these incidents changed."""
        if self._current is not None:
            self._current.wake(incident_ids)

    @property
    def names(self) -> frozenset[str]:
        """Of the destinations in force, as deliveries and metrics know them."""
        return self._names

    def ways(self) -> direct.Ways:
        """By which ways a P1 can be paged past the store, by the configuration in force."""
        assert self._ways is not None, "taken before anything is served"
        return self._ways

    def lanes(self) -> Mapping[str, lane.Lane]:
        """Of the destinations in force."""
        return self._current.lanes if self._current is not None else {}

    async def check(self, settings: config.Settings) -> None:
        """Whether a new configuration may take over.

        Raises:
            Stranded: a destination that shows open incidents is not in it any more.
            routing.ledger.Unavailable: the store cannot say.
        """
        keeps = {told_name(entry, dry_run=self._dry_run) for entry in settings.destinations.values()}
        dropped = {name for name in self._names - keeps if not name.endswith(_DRY)}
        shown = await self._store.shown_open(dropped)
        lines = [_stranded(settings, name, ids) for name, ids in sorted(shown.items()) if ids]
        if lines:
            raise Stranded("\n".join(lines))

    async def take(self, settings: config.Settings) -> None:
        """Put a configuration in force: at once, or as soon as the sends under way are recorded."""
        built = {
            told_name(entry, dry_run=self._dry_run): build(entry, dry_run=self._dry_run)
            for entry in settings.destinations.values()
        }
        since = await self._store.destinations_since(built.keys(), self._clock())
        self._ways = direct.Ways(
            route=router(settings, dry_run=self._dry_run),
            pagers={
                name: built[name]
                for entry in settings.destinations.values()
                if isinstance(entry, config.PagerDuty)
                and (name := told_name(entry, dry_run=self._dry_run)) in built
            },
            compose=composer(settings, self._runbooks, dry_run=self._dry_run, clock=self._clock),
        )
        self._next = (
            reconciler.Reconciler(
                ledger=self._store,
                route=self._ways.route,
                targets={
                    name: deciding.Target(destination=destination, since=since[name])
                    for name, destination in built.items()
                },
                compose=self._ways.compose,
                emit=self._emit,
                backups=backups(settings, dry_run=self._dry_run),
                clock=self._clock,
                budgets=self._budgets,
                external_url=settings.surroundings.external_url,
            ),
            built,
        )
        self._names = frozenset(built)
        self._prepared.set()
        if self._current is not None:
            self._current.stop()

    async def run(self) -> None:
        """Deliver until `stop`, from the first `take` on."""
        while not self._stopping:
            await self._prepared.wait()
            self._prepared.clear()
            if self._next is None:
                continue
            (self._current, self._destinations), self._next = self._next, None
            try:
                await self._current.run()
            finally:
                for destination in self._destinations.values():
                    await destination.close()

    def stop(self) -> None:
        """Let `run` return once the sends under way are recorded."""
        self._stopping = True
        self._prepared.set()
        if self._current is not None:
            self._current.stop()


def _stranded(settings: config.Settings, name: str, ids: Sequence[str]) -> str:
    some = ", ".join(ids[:3]) + (", ..." if len(ids) > 3 else "")  # noqa: PLR2004 - enough to find them
    plain = name.removesuffix(_DRY)
    return (
        f"{settings.file}:1: destination {plain!r} is gone and still shows {wording.plural(len(ids), 'open incident')} "
        f"({some}): "
        f"keep it with `retired: true` until they are resolved"
    )
