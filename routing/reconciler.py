"""Keeps comparing what people should be seeing with what they were last told, and closes the difference.

One task looks at the incidents that changed and finds which destinations have a step due. Each destination has a
lane with two workers, one of them for P1 only, so that a request that hangs never keeps a P1 waiting. A worker
plans again on the newest state just before it sends: what a look found is only that there is something to do.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from routing import alarms, desire, events, lane, ledger, message, model, plan
from routing.destinations import contract

SEND_DEADLINE_SECONDS = 5.0
_LOOK_AT_ONCE = 64
_RESCAN = timedelta(seconds=5)
_RESCAN_OVERLAP = timedelta(seconds=60)
_STORE_PAUSE_SECONDS = 1.0

_logger = logging.getLogger(__name__)

# A defect of ours must cost one incident a delay, not everyone the service. The incident stays due in the store:
# a scan within the next minute, or a restart, takes it up again.
_DEFECT = "could not deal with an incident"

Compose = Callable[[model.Situation, model.Step], message.Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A destination as the reconciler drives it."""

    destination: contract.Destination
    since: datetime

    @property
    def manner(self) -> model.Manner:
        """How it likes to be told."""
        traits = self.destination.traits
        return model.Manner(
            shows_partial_resolves=traits.shows_partial_resolves,
            reassert_seconds=traits.reassert_seconds,
            since=self.since,
        )


class Reconciler:
    """Drives every destination to show what it should. One for each configuration; a reload starts a new one."""

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        route: desire.Router,
        targets: Mapping[str, Target],
        compose: Compose,
        emit: events.Listener,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._route = route
        self._targets = targets
        self._compose = compose
        self._emit = emit
        self._clock = clock
        self.lanes = {name: lane.Lane(name) for name in targets}
        self._dirty: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self, incident_ids: Iterable[str]) -> None:
        """Say that these incidents changed. Never blocks; what is missed here is found in the store."""
        self._dirty.update(dict.fromkeys(incident_ids))
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
                    await self._recall_alarms()
                    await self._ledger.wake_open(now)  # the routes may be other ones than before
                if scanned is None or now >= scan_at:
                    self.wake(await self._ledger.due(scanned and scanned - _RESCAN_OVERLAP, now))
                    scanned = now
                    scan_at = now + _RESCAN
                while (batch := self._take_dirty()) and not self._stopping.is_set():
                    await self._look(batch)
                next_due = await self._ledger.next_due(now)
            except ledger.Unavailable as trouble:
                self._emit(events.StoreTrouble(error=str(trouble)))
                scanned = None
                await self._pause(_STORE_PAUSE_SECONDS)
                continue
            scan_at = min(scan_at, next_due or scan_at)
            await self._until_woken((scan_at - self._clock()).total_seconds())

    async def _until_woken(self, wait_seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, wait_seconds)):
                while not self._dirty and not self._stopping.is_set():
                    self._woken.clear()
                    await self._woken.wait()
        except TimeoutError:
            return

    def _take_dirty(self) -> Collection[str]:
        batch = list(self._dirty)[:_LOOK_AT_ONCE]
        for incident_id in batch:
            del self._dirty[incident_id]
        return batch

    async def _look(self, incident_ids: Collection[str]) -> None:
        situations = await self._ledger.situations(incident_ids)
        for situation in sorted(situations.values(), key=_urgency_of_incident):
            try:
                await self._look_at(situation)
            except ledger.Unavailable:
                raise
            except Exception:
                _logger.exception(_DEFECT, extra={"incident": situation.incident.id})

    async def _look_at(self, situation: model.Situation) -> None:
        incident, now = situation.incident, self._clock()
        holds = [alert.held_until for alert in incident.alerts.values() if alert.held_until]
        if any(hold <= now for hold in holds):
            self.wake(await self._ledger.release_held(incident.id, now))
            return
        planned = await self._plan(situation)
        steps = {name: step for name, step in planned.items() if isinstance(step, model.Step)}
        if steps:
            unknown = steps.keys() - situation.deliveries.keys()
            if unknown:
                await self._ledger.expect(incident.id, unknown, incident.episode)
            for name, step in steps.items():
                self.lanes[name].put(incident.id, (step.shows.priority, incident.changed_at))
            return
        await self._clear_refusals(situation)
        waits = [wait.until for wait in planned.values() if isinstance(wait, model.Wait)]
        if not await self._ledger.rest(incident.id, incident.version, min([*waits, *holds], default=None)):
            self.wake([incident.id])

    async def _plan(self, situation: model.Situation) -> Mapping[str, model.Step | model.Wait | None]:
        """What is due at each destination that is concerned with the incident, or shows it."""
        desired = desire.desire(situation.incident, self._route)
        moved_pending = await self._moved_pending(situation.incident)
        now = self._clock()
        return {
            name: plan.plan(name, situation, desired, target.manner, now, moved_pending=moved_pending)
            for name, target in self._targets.items()
            if name in desired or name in situation.deliveries
        }

    async def _moved_pending(self, incident: model.Incident) -> frozenset[str]:
        """Destinations that should show, and do not yet, an incident to which alerts of this one moved."""
        moved_to = {
            alert.moved_to
            for alert in incident.alerts.values()
            if alert.moved_to and alert.episode == incident.episode
        }
        if not moved_to:
            return frozenset()
        others = await self._ledger.situations(moved_to)
        return frozenset(
            name
            for other in others.values()
            for name, want in desire.desire(other.incident, self._route).items()
            if not plan.shows_open(other, name, want)
        )

    # Telling: one attempt at one destination.

    async def _work_forever(self, name: str, *, p1_only: bool) -> None:
        queue = self.lanes[name]
        while (incident_id := await queue.take(p1_only=p1_only)) is not None:
            try:
                await self._tell(name, incident_id)
                self.wake([incident_id])
            except ledger.Unavailable as trouble:
                self._emit(events.StoreTrouble(error=str(trouble)))
                await self._pause(_STORE_PAUSE_SECONDS)
                self.wake([incident_id])
            except Exception:
                _logger.exception(_DEFECT, extra={"incident": incident_id})
            finally:
                queue.release(incident_id)

    async def _tell(self, name: str, incident_id: str) -> None:
        """Plan on the newest state and take the step, if there still is one."""
        situation = (await self._ledger.situations([incident_id])).get(incident_id)
        step = (await self._plan(situation)).get(name) if situation else None
        if situation is None or not isinstance(step, model.Step):
            return
        if step.act is model.Act.FORGET:
            await self._ledger.settle(incident_id, name, step.shows, self._clock())
            return
        delivery = situation.deliveries.get(name)
        if delivery is None or delivery.intent != step.shows:
            await self._ledger.intend(incident_id, name, step.shows, self._clock())
        attempt = {
            "incident_id": incident_id,
            "destination": name,
            "priority": step.shows.priority,
            "act": step.act,
            "reason": step.reason,
        }
        try:
            await self._send(name, situation, step, attempt)
        except contract.Refused as refusal:
            await self._bury(attempt, step, str(refusal))
        except contract.Passing as fault:
            pause = self.lanes[name].failed(fault.retry_after_seconds)
            await self._fail(attempt, fault, pause)
        except contract.Broken as fault:
            pause = self.lanes[name].failed(None)
            await self._fail(attempt, fault, pause)
            await self._suspend(name, str(fault))
        else:
            await self._settle(attempt, situation, step)

    async def _send(
        self, name: str, situation: model.Situation, step: model.Step, attempt: Mapping[str, Any]
    ) -> None:
        try:
            await self._once(name, situation, step, plain=False)
        except contract.Refused as refusal:
            self._emit(events.Refused(**attempt, error=str(refusal)))
            await self._once(name, situation, step, plain=True)

    async def _once(self, name: str, situation: model.Situation, step: model.Step, *, plain: bool) -> None:
        try:
            told = self._compose(situation, step)
            async with asyncio.timeout(SEND_DEADLINE_SECONDS):
                await self._targets[name].destination.send(told, plain=plain)
        except TimeoutError as late:
            raise contract.Passing(
                f"no answer within {SEND_DEADLINE_SECONDS:.0f} s", outcome_known=False
            ) from late
        except contract.Failure:
            raise
        except Exception as defect:
            # A defect in rendering must cost one message its form, not everyone the service.
            _logger.exception("could not render a message", extra={"incident": situation.incident.id})
            raise contract.Refused(f"could not be rendered: {type(defect).__name__}") from defect

    async def _settle(self, attempt: Mapping[str, Any], situation: model.Situation, step: model.Step) -> None:
        incident, name, now = situation.incident, attempt["destination"], self._clock()
        delivery = situation.deliveries.get(name)
        if delivery is not None and delivery.dead:
            await self._resolve(alarms.group_labels(alarms.REFUSED, name), incident.id)
        await self._until_recorded(lambda: self._ledger.settle(incident.id, name, step.shows, now))
        starts = [incident.alerts[fp].starts_at for fp in step.joined if fp in incident.alerts]
        self._emit(
            events.Sent(
                **attempt,
                since_change_seconds=(now - incident.changed_at).total_seconds(),
                since_start_seconds=(now - min(starts)).total_seconds()
                if starts and step.act is model.Act.OPEN
                else None,
                possibly_repeated=delivery is not None and delivery.intent is not None,
            )
        )
        if self.lanes[name].succeeded() or self.lanes[name].suspended:
            await self._recover(name)

    async def _fail(self, attempt: Mapping[str, Any], fault: contract.Failure, pause_seconds: float) -> None:
        self._emit(events.Retried(**attempt, error=str(fault), pause_seconds=pause_seconds))
        incident_id, name = attempt["incident_id"], attempt["destination"]
        await self._until_recorded(
            lambda: self._ledger.fail(incident_id, name, str(fault), outcome_known=fault.outcome_known)
        )

    async def _until_recorded(self, write: Callable[[], Awaitable[None]]) -> None:
        """What happened at the far end must be on record before anything else is said there."""
        while True:
            try:
                await write()
            except ledger.Unavailable as trouble:
                self._emit(events.StoreTrouble(error=str(trouble)))
                if self._stopping.is_set():
                    raise
                await self._pause(_STORE_PAUSE_SECONDS)
            else:
                return

    async def _pause(self, seconds: float) -> None:
        """Wait, or until `stop`."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    # Alarms: this service's own incidents about a destination.

    async def _suspend(self, name: str, error: str) -> None:
        """The destination is broken: raise one alarm elsewhere. Everything for it stays pending."""
        if self.lanes[name].suspended:
            return
        await self._raise(alarms.labels(alarms.BROKEN, name, self._gravity(name)), error)
        self.lanes[name].suspended = True
        self._emit(events.LaneSuspended(destination=name, error=error))

    async def _recover(self, name: str) -> None:
        was_suspended = self.lanes[name].suspended
        self.lanes[name].suspended = False
        self._emit(events.LaneRecovered(destination=name, was_suspended=was_suspended))
        if was_suspended:
            await self._resolve(alarms.group_labels(alarms.BROKEN, name))

    async def _bury(self, attempt: Mapping[str, Any], step: model.Step, error: str) -> None:
        """A dead letter: on record here, announced elsewhere."""
        incident_id, name, now = attempt["incident_id"], attempt["destination"], self._clock()
        self._emit(events.Dead(**attempt, error=error))
        await self._raise(alarms.labels(alarms.REFUSED, name, self._gravity(name), incident_id), error)
        await self._until_recorded(lambda: self._ledger.bury(incident_id, name, step.shows, error, now))

    async def _clear_refusals(self, situation: model.Situation) -> None:
        """A dead letter of an incident that is over needs nobody's attention any more."""
        for name, delivery in situation.deliveries.items():
            if delivery.dead and not situation.incident.open:
                await self._resolve(alarms.group_labels(alarms.REFUSED, name), situation.incident.id)

    async def _recall_alarms(self) -> None:
        """Know again, after a start, which destinations an alarm is open about."""
        ids = {model.incident_id(alarms.group_labels(alarms.BROKEN, name)): name for name in self._targets}
        for incident_id, situation in (await self._ledger.situations(ids)).items():
            self.lanes[ids[incident_id]].suspended = situation.incident.open

    def _gravity(self, name: str) -> model.Priority:
        """A pager that is out of order is a P1 itself."""
        pages = self._targets[name].manner.reassert_seconds is not None
        return model.Priority.P1 if pages else model.Priority.P2

    async def _raise(self, alarm: model.Labels, error: str) -> None:
        now = self._clock()
        self.wake(await self._ledger.record(alarms.firing(alarm, error, now), now))

    async def _resolve(self, group_labels: model.Labels, about_incident: str = "") -> None:
        now, incident_id = self._clock(), model.incident_id(group_labels)
        for situation in (await self._ledger.situations([incident_id])).values():
            over = alarms.resolved(situation.incident, now, about_incident)
            if over:
                self.wake(await self._ledger.record(over, now))


def _urgency_of_incident(situation: model.Situation) -> lane.Urgency:
    return situation.incident.priority, situation.incident.changed_at
