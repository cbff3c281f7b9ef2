"""One attempt at one destination: plan on the newest state, send, and record what became of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from routing import announcing, deciding, events, lane, ledger, message, model, patience
from routing.destinations import contract

SEND_DEADLINE_SECONDS = 5.0

_logger = logging.getLogger(__name__)

Compose = Callable[[model.Situation, model.Step], message.Message]


class Teller:
    """Tells destinations what is due there. Each step is planned again just before it is sent."""

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        decisions: deciding.Decisions,
        targets: Mapping[str, deciding.Target],
        lanes: Mapping[str, lane.Lane],
        compose: Compose,
        announcer: announcing.Announcer,
        patience: patience.Patience,
        emit: events.Listener,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._decisions = decisions
        self._targets = targets
        self._lanes = lanes
        self._compose = compose
        self._announcer = announcer
        self._patience = patience
        self._emit = emit
        self._clock = clock

    async def tell(self, name: str, incident_id: str, newest: model.Situation | None = None) -> None:
        """Take the step that is due, if there still is one.

        Args:
            name: of the destination.
            incident_id: the incident.
            newest: its newest state, where that is known already; else the store is asked.

        Raises:
            ledger.Unavailable: the store cannot be used; nothing is lost, the incident stays due.
        """
        situation = newest or (await self._ledger.situations([incident_id])).get(incident_id)
        step = (await self._decisions.on(situation)).due.get(name) if situation else None
        if situation is None or not isinstance(step, model.Step):
            return
        delivery = situation.deliveries.get(name)
        if step.act is model.Act.FORGET:
            # Nothing is said: the last receipt is the last one.
            said_at = (delivery.shown_at if delivery else None) or self._clock()
            await self._ledger.settle(incident_id, name, step.shows, said_at)
            return
        if delivery is None or delivery.intent != step.shows:
            await self._ledger.intend(
                incident_id, name, step.shows, self._clock(), reference=self._reference(name)
            )
        was_uncertain = delivery is not None and delivery.intent is not None
        attempt = {
            "incident_id": incident_id,
            "destination": name,
            "priority": step.shows.priority,
            "act": step.act,
            "reason": step.reason,
        }
        try:
            receipt = await self._send(name, situation, step, attempt)
        except contract.Refused as refusal:
            await self._bury(attempt, step, str(refusal), was_uncertain=was_uncertain)
        except contract.Passing as fault:
            pause = self._lanes[name].failed(
                fault.retry_after_seconds,
                urgent=step.shows.priority is model.Priority.P1,
                too_many=fault.too_many,
                incident_id=incident_id,
            )
            await self._fail(attempt, fault, pause, was_uncertain=was_uncertain)
        except contract.Broken as fault:
            pause = self._lanes[name].failed(None)
            await self._fail(attempt, fault, pause, was_uncertain=was_uncertain)
            await self._announcer.suspend(name, str(fault))
        else:
            await self._settle(attempt, situation, step, receipt)

    def _reference(self, name: str) -> str:
        destination = self._targets[name].destination
        return destination.reference if isinstance(destination, contract.Keyed) else ""

    async def _send(
        self, name: str, situation: model.Situation, step: model.Step, attempt: Mapping[str, Any]
    ) -> contract.Receipt:
        try:
            return await self._once(name, situation, step, plain=False)
        except contract.Refused as refusal:
            self._emit(events.Refused(**attempt, error=str(refusal)))
            try:
                return await self._once(name, situation, step, plain=True)
            except _Defect:
                return await self._once(name, situation, step, plain=True, bare=True)

    async def _once(
        self, name: str, situation: model.Situation, step: model.Step, *, plain: bool, bare: bool = False
    ) -> contract.Receipt:
        if not await self._lanes[name].admit(step.shows.priority):
            raise contract.Passing("the far end takes no more at the moment")
        try:
            told = message.bare(situation.incident, step) if bare else self._compose(situation, step)
            delivery = situation.deliveries.get(name)
            told = replace(told, reference=delivery.reference if delivery else "")
            async with asyncio.timeout(SEND_DEADLINE_SECONDS):
                return await self._targets[name].destination.send(told, plain=plain)
        except TimeoutError as late:
            raise contract.Passing(
                f"no answer within {SEND_DEADLINE_SECONDS:.0f} s", outcome_known=False
            ) from late
        except contract.Failure:
            raise
        except Exception as defect:
            # A defect in rendering must cost one message its form, not everyone the service.
            _logger.exception("could not render a message", extra={"incident": situation.incident.id})
            raise _Defect(f"could not be rendered: {type(defect).__name__}") from defect

    async def _settle(
        self,
        attempt: Mapping[str, Any],
        situation: model.Situation,
        step: model.Step,
        receipt: contract.Receipt,
    ) -> None:
        incident, name, now = situation.incident, attempt["destination"], self._clock()
        delivery = situation.deliveries.get(name)
        if delivery is not None and delivery.dead_at:
            await self._patience.until_recorded(lambda: self._announcer.taken(name, incident.id))
        await self._patience.until_recorded(
            lambda: self._ledger.settle(incident.id, name, step.shows, now, reference=receipt.reference)
        )
        if receipt.note:
            self._emit(events.Noted(**attempt, note=receipt.note))
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
        if step.act is model.Act.CLOSE:
            self._lanes[name].told_closed(incident.id)
        if self._lanes[name].succeeded() or self._lanes[name].suspended:
            await self._announcer.recover(name)

    async def _fail(
        self,
        attempt: Mapping[str, Any],
        fault: contract.Failure,
        pause_seconds: float,
        *,
        was_uncertain: bool,
    ) -> None:
        self._emit(events.Retried(**attempt, error=str(fault), pause_seconds=pause_seconds))
        incident_id, name = attempt["incident_id"], attempt["destination"]
        # That this try showed nothing does not say that an earlier one, whose outcome is not known, showed nothing.
        outcome_known = fault.outcome_known and not was_uncertain
        await self._patience.until_recorded(
            lambda: self._ledger.fail(incident_id, name, str(fault), outcome_known=outcome_known)
        )

    async def _bury(
        self, attempt: Mapping[str, Any], step: model.Step, error: str, *, was_uncertain: bool
    ) -> None:
        """A dead letter: on record here, announced elsewhere."""
        incident_id, name, now = attempt["incident_id"], attempt["destination"], self._clock()
        self._emit(events.Dead(**attempt, error=error))
        await self._patience.until_recorded(lambda: self._announcer.refused(name, incident_id, error))
        await self._patience.until_recorded(
            lambda: self._ledger.bury(incident_id, name, step.shows, error, now, may_be_shown=was_uncertain)
        )


class _Defect(contract.Refused):
    """It was not the far end that refused: we could not render it."""
