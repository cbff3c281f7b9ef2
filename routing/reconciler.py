"""Keeps comparing what people should be seeing with what they were last told, and closes the difference.

One task looks at the incidents that changed and finds which destinations have a step due. Each destination has a
lane with two workers, one of them for P1 only, so that a request that hangs never keeps a P1 waiting. A worker
plans again on the newest state just before it sends: that is what the look saw where nothing changed since, else it
is read anew.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta

from routing import (
    agenda,
    announcing,
    budget,
    deciding,
    desire,
    events,
    failover,
    lane,
    ledger,
    model,
    summarising,
    telling,
)
from routing import patience as patience_
from routing.destinations import contract

_RESCAN = timedelta(seconds=5)
_RESCAN_OVERLAP = timedelta(seconds=60)

_logger = logging.getLogger(__name__)

# A defect of ours must cost one incident a delay, not everyone the service. The incident stays due in the store:
# a scan within the next minute, or a restart, takes it up again.
_DEFECT = "could not deal with an incident"


class Reconciler:
    """Drives every destination to show what it should. One for each configuration; a reload starts a new one."""

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        route: desire.Router,
        targets: Mapping[str, deciding.Target],
        compose: telling.Compose,
        emit: events.Listener,
        backups: failover.Backups | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        budgets: budget.Budgets | None = None,
        external_url: str = "",
    ) -> None:
        self._ledger = ledger
        self._targets = targets
        self._clock = clock
        shared = budgets or budget.Budgets()
        self.lanes = {name: _lane(name, target.destination, shared) for name, target in targets.items()}
        self._agenda = agenda.Agenda(ledger)
        self._woken = asyncio.Event()
        self._patience = patience_.Patience(emit)
        self._stopping = self._patience.stopping
        self._later: dict[str, datetime] = {}
        self._seen: dict[str, model.Situation] = {}
        self._decisions = deciding.Decisions(
            ledger=ledger,
            route=route,
            targets=targets,
            backups=backups or {},
            suspended=lambda: {name for name, each in self.lanes.items() if each.suspended},
            clock=clock,
        )
        self._announcer = announcing.Announcer(
            ledger=ledger, targets=targets, lanes=self.lanes, wake=self.wake, emit=emit, clock=clock
        )
        self._teller = telling.Teller(
            ledger=ledger,
            decisions=self._decisions,
            targets=targets,
            lanes=self.lanes,
            compose=compose,
            announcer=self._announcer,
            patience=self._patience,
            emit=emit,
            clock=clock,
        )

        self._summariser = summarising.Summariser(
            ledger=ledger,
            decisions=self._decisions,
            targets=targets,
            lanes=self.lanes,
            announcer=self._announcer,
            patience=self._patience,
            emit=emit,
            clock=clock,
            external_url=external_url,
        )

    def wake(self, incident_ids: Iterable[str]) -> None:
        """Say that these incidents changed. Never blocks; what is missed here is found in the store."""
        self._agenda.add(incident_ids)
        self._woken.set()

    def stop(self) -> None:
        """Let `run` return once the sends under way are recorded."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Sends under way are finished and recorded; nothing new is begun after that."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_forever(), name="look")
            for name in self._targets:
                for p1_only in (True, False):
                    tasks.create_task(self._work_forever(name, p1_only=p1_only), name=f"lane {name}")
            await self._stopping.wait()
            self._woken.set()
            for each in self.lanes.values():
                each.close()

    # Looking: which destinations have a step due?

    async def _look_forever(self) -> None:
        scanned: datetime | None = None
        scan_at = self._clock()
        while not self._stopping.is_set():
            now = self._clock()
            try:
                if scanned is None:
                    await self._announcer.recall()
                    await self._ledger.wake_open(now)  # the routes may be other ones than before
                if scanned is None or now >= scan_at:
                    due = await self._ledger.due(scanned and scanned - _RESCAN_OVERLAP, now)
                    # What waits in a lane is planned again before it is told, and looked at after that.
                    self.wake(one for one in due if not any(one in each for each in self.lanes.values()))
                    scanned = now
                    scan_at = now + _RESCAN
                self._wake_later(now)
                while not self._stopping.is_set() and (batch := await self._agenda.take()):
                    await self._look(batch)
                next_due = await self._ledger.next_due(now)
            except ledger.Unavailable as trouble:
                scanned = None
                await self._patience.after(trouble)
                continue
            scan_at = min(scan_at, next_due or scan_at)
            look_at = min([scan_at, *self._later.values()])
            await self._until_woken((look_at - self._clock()).total_seconds())

    async def _until_woken(self, wait_seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, wait_seconds)):
                while not len(self._agenda) and not self._stopping.is_set():
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            return

    def _wake_later(self, now: datetime) -> None:
        due = [incident_id for incident_id, at in self._later.items() if at <= now]
        for incident_id in due:
            del self._later[incident_id]
        self.wake(due)

    async def _look(self, incident_ids: Collection[str]) -> None:
        """Look at all of them together, so that what they note shares a commit."""
        self._seen.clear()
        situations = await self._ledger.situations(incident_ids)
        in_order = sorted(situations.values(), key=_urgency_of_incident)
        outcomes = await asyncio.gather(*map(self._look_at, in_order), return_exceptions=True)
        for situation, outcome in zip(in_order, outcomes, strict=True):
            if isinstance(outcome, ledger.Unavailable):
                raise outcome
            if isinstance(outcome, Exception):
                _logger.error(_DEFECT, extra={"incident": situation.incident.id}, exc_info=outcome)
            elif isinstance(outcome, BaseException):
                raise outcome

    async def _look_at(self, situation: model.Situation) -> None:
        incident, now = situation.incident, self._clock()
        holds = [alert.held_until for alert in incident.alerts.values() if alert.held_until]
        if any(hold <= now for hold in holds):
            self.wake(await self._ledger.release_held(incident.id, now))
            return
        decision = await self._decisions.on(situation)
        self._later.pop(incident.id, None)
        if decision.look_again:
            self._later[incident.id] = decision.look_again
        if decision.steps:
            self._seen[incident.id] = situation  # for a lane that takes it before anything changes
            pagers = [name for name in decision.steps if self._targets[name].pages]
            self._put(incident, {name: decision.steps[name] for name in pagers})
            unknown = decision.steps.keys() - situation.deliveries.keys()
            if unknown:  # with what the pagers intend, in one commit; no page waits for what the others do
                await self._ledger.expect(incident.id, unknown, incident.episode, now)
            self._put(incident, {name: step for name, step in decision.steps.items() if name not in pagers})
        if decision.debts:  # after the lanes: no page waits for this
            await self._ledger.owe(incident.id, decision.debts)
        if decision.steps:
            return
        await self._announcer.clear_refusals(situation)
        waits = [wait.until for wait in decision.due.values() if isinstance(wait, model.Wait)]
        if not await self._ledger.rest(incident.id, incident.version, min([*waits, *holds], default=None)):
            self.wake([incident.id])

    def _put(self, incident: model.Incident, steps: Mapping[str, model.Step]) -> None:
        for name, step in steps.items():
            self.lanes[name].put(incident.id, (step.shows.priority, incident.changed_at))

    # Working: what a lane hands out is told.

    def _still_seen(self, incident_id: str) -> model.Situation | None:
        """What the last look saw of an incident, as long as nobody said since that it changed and nobody was told."""
        return None if incident_id in self._agenda else self._seen.get(incident_id)

    async def _work_forever(self, name: str, *, p1_only: bool) -> None:
        queue = self.lanes[name]
        while (turn := await queue.take(p1_only=p1_only)) is not None:
            incident_ids = turn.incident_ids if isinstance(turn, lane.Backlog) else (turn,)
            try:
                if isinstance(turn, lane.Backlog):
                    await self._summariser.tell(name, turn.incident_ids)
                else:
                    await self._teller.tell(name, turn, self._still_seen(turn))
                self.wake(incident_ids)
            except ledger.Unavailable as trouble:
                await self._patience.after(trouble)
                self.wake(incident_ids)
            except Exception:
                _logger.exception(_DEFECT, extra={"incident": incident_ids[0]})
            finally:
                for incident_id in incident_ids:
                    self._seen.pop(incident_id, None)
                if isinstance(turn, lane.Backlog):
                    queue.release_backlog()
                else:
                    queue.release(turn)


def _lane(name: str, destination: contract.Destination, budgets: budget.Budgets) -> lane.Lane:
    spending = None
    if isinstance(destination, contract.Limited):
        spending = budgets.of(destination.far_end, now=asyncio.get_running_loop().time())
    return lane.Lane(name, spending=spending, summarises=isinstance(destination, contract.Summarising))


def _urgency_of_incident(situation: model.Situation) -> lane.Urgency:
    return situation.incident.priority, situation.incident.changed_at
