"""One message at one destination for all that waits there: what the lane handed out as a backlog.

Safe to cut off anywhere: what is about to be said is noted first (`Delivery.intent`), so that after a crash it
counts as perhaps shown, and is said again rather than lost.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from routing import announcing, deciding, events, lane, ledger, model, patience, summary
from routing.destinations import contract

_SEND_DEADLINE_SECONDS = 5.0
_AT_ONCE = 100
"""So many incidents share a read and a commit; in between others have their turn."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """One incident's part in a summary."""

    incident_id: str
    shows: model.Shown
    changed_at: datetime
    line: summary.Line
    was_uncertain: bool
    was_dead: bool


class Summariser:
    """Tells destinations a backlog in one message."""

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        decisions: deciding.Decisions,
        targets: Mapping[str, deciding.Target],
        lanes: Mapping[str, lane.Lane],
        announcer: announcing.Announcer,
        patience: patience.Patience,
        emit: events.Listener,
        clock: Callable[[], datetime],
        external_url: str,
    ) -> None:
        self._ledger = ledger
        self._decisions = decisions
        self._targets = targets
        self._lanes = lanes
        self._announcer = announcer
        self._patience = patience
        self._emit = emit
        self._clock = clock
        self._external_url = external_url

    async def tell(self, name: str, incident_ids: Sequence[str]) -> None:
        """Tell in one message what is due of these incidents.

        Where it has come to be so little that messages of their own do, nothing is said: each is put back.

        Raises:
            ledger.Unavailable: the store cannot be used; nothing is lost, the incidents stay due.
        """
        due = [one for some in _chunks(incident_ids) for one in await self._due(name, some)]
        if len(due) <= summary.MOST_WAITING:
            for one in due:
                self._lanes[name].put(one.incident_id, (one.shows.priority, one.changed_at))
            return
        now = self._clock()
        for some in _chunks(due):
            await _each(self._ledger.intend(one.incident_id, name, one.shows, now) for one in some)
        try:
            await self._send(name, [one.line for one in due])
        except contract.Failure as fault:
            await self._fail(name, due, fault)
        else:
            await self._settle(name, due)

    async def _due(self, name: str, incident_ids: Sequence[str]) -> list[_Due]:
        """What is due of them. What is to be forgotten there is."""
        situations = await self._ledger.situations(incident_ids)
        due = []
        for incident_id, situation in situations.items():
            step = await self._step(name, situation)
            if not isinstance(step, model.Step):
                continue
            if step.act is model.Act.FORGET:
                delivery = situation.deliveries.get(name)
                said_at = (delivery.shown_at if delivery else None) or self._clock()
                await self._ledger.settle(incident_id, name, step.shows, said_at)
            elif step.shows.priority is model.Priority.P1:
                # It was raised since it was handed out. A P1 is in no summary, and does not wait for one.
                self._lanes[name].release(incident_id)
                self._lanes[name].put(incident_id, (model.Priority.P1, situation.incident.changed_at))
            else:
                delivery = situation.deliveries.get(name)
                due.append(
                    _Due(
                        incident_id,
                        step.shows,
                        situation.incident.changed_at,
                        self._line(situation.incident, step),
                        was_uncertain=delivery is not None and delivery.intent is not None,
                        was_dead=delivery is not None and delivery.dead_at is not None,
                    )
                )
        return due

    async def _step(self, name: str, situation: model.Situation) -> model.Step | model.Wait | None:
        """What is due; nothing where a defect of ours keeps us from knowing, which must not cost the others."""
        try:
            return (await self._decisions.on(situation)).due.get(name)
        except ledger.Unavailable:
            raise
        except Exception:
            _logger.exception("could not decide", extra={"incident": situation.incident.id})
            return None

    def _line(self, incident: model.Incident, step: model.Step) -> summary.Line:
        try:
            return summary.line(incident, step, external_url=self._external_url)
        except Exception:
            # A defect in rendering must cost one incident its words, not everyone the summary.
            _logger.exception("could not render a line of a summary", extra={"incident": incident.id})
            return summary.bare_line(incident, step)

    async def _send(self, name: str, lines: Sequence[summary.Line]) -> None:
        destination, queue = self._targets[name].destination, self._lanes[name]
        assert isinstance(destination, contract.Summarising), "else its lane hands out no backlog"
        for plain in (False, True):
            if not await queue.admit(min(line.priority for line in lines)):
                raise contract.Passing("the far end takes no more at the moment")
            try:
                told = queue.storm.compose(lines, external_url=self._external_url)
                async with asyncio.timeout(_SEND_DEADLINE_SECONDS):
                    await destination.summarise(told, plain=plain)
            except contract.Refused:
                if plain:
                    raise
            except contract.Failure:
                raise
            except TimeoutError as late:
                text = f"no answer within {_SEND_DEADLINE_SECONDS:.0f} s"
                raise contract.Passing(text, outcome_known=False) from late
            except Exception as defect:
                _logger.exception("could not render a summary")
                raise contract.Refused(f"could not be rendered: {type(defect).__name__}") from defect
            else:
                return

    async def _settle(self, name: str, due: Sequence[_Due]) -> None:
        queue, now = self._lanes[name], self._clock()
        # First the alarm: the receipt wipes out that there was a dead letter, and a death in between would leave it.
        for one in due:
            if one.was_dead:
                ended = functools.partial(self._announcer.taken, name, one.incident_id)
                await self._patience.until_recorded(ended)
        await self._record(due, lambda one: self._ledger.settle(one.incident_id, name, one.shows, now))
        queue.summarised(one.line for one in due)
        self._emit(events.Summarised(destination=name, incidents=len(due)))
        if queue.succeeded() or queue.suspended:
            await self._announcer.recover(name)

    async def _fail(self, name: str, due: Sequence[_Due], fault: contract.Failure) -> None:
        queue = self._lanes[name]
        retry_after = fault.retry_after_seconds if isinstance(fault, contract.Passing) else None
        too_many = isinstance(fault, contract.Passing) and fault.too_many
        pause = queue.failed(retry_after, urgent=False, too_many=too_many)
        if isinstance(fault, contract.Refused):
            # Whatever it is that the far end does not like: each incident can still be told by itself.
            queue.summarises = False
        self._emit(
            events.SummaryFailed(destination=name, incidents=len(due), error=str(fault), pause_seconds=pause)
        )
        await self._record(
            due,
            lambda one: self._ledger.fail(
                one.incident_id,
                name,
                str(fault),
                outcome_known=fault.outcome_known and not one.was_uncertain,
            ),
        )
        if isinstance(fault, contract.Broken):
            await self._announcer.suspend(name, str(fault))

    async def _record(self, due: Sequence[_Due], write: Callable[[_Due], Coroutine[Any, Any, None]]) -> None:
        async def together(some: Sequence[_Due]) -> None:
            await _each(write(one) for one in some)

        for some in _chunks(due):
            await self._patience.until_recorded(functools.partial(together, some))


async def _each(writes: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do them together, so that they share a commit; the first failure is raised when all have ended."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _chunks(whole: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (whole[start : start + _AT_ONCE] for start in range(0, len(whole), _AT_ONCE))
