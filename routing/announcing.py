"""Raises this service's own incidents about a destination (`routing.alarms`), and ends them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from routing import alarms, deciding, events, lane, ledger, model


class Announcer:
    """Announces what is wrong with a destination, everywhere else."""

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        targets: Mapping[str, deciding.Target],
        lanes: Mapping[str, lane.Lane],
        wake: Callable[[Iterable[str]], None],
        emit: events.Listener,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._targets = targets
        self._lanes = lanes
        self._wake = wake
        self._emit = emit
        self._clock = clock

    async def suspend(self, name: str, error: str) -> None:
        """The destination is broken: raise one alarm elsewhere. Everything for it stays pending."""
        if self._lanes[name].suspended:
            return
        self._lanes[name].suspended = True  # before the commit: the lane's other worker may be here too
        try:
            credentials = self._targets[name].destination.credentials
            await self._raise(alarms.labels(alarms.BROKEN, name, self._gravity(name)), error, credentials)
        except ledger.Unavailable:
            self._lanes[name].suspended = False
            raise
        self._emit(events.LaneSuspended(destination=name, error=error))
        self._wake(self._lanes[name].incidents)  # a P1 among them fails over at once

    async def recover(self, name: str) -> None:
        """A try succeeded after failures, or the credentials are other ones."""
        was_suspended = self._lanes[name].suspended
        self._lanes[name].suspended = False
        self._emit(events.LaneRecovered(destination=name, was_suspended=was_suspended))
        if was_suspended:
            await self._resolve(alarms.group_labels(alarms.BROKEN, name))

    async def refused(self, name: str, incident_id: str, error: str) -> None:
        """There is a dead letter."""
        await self._raise(alarms.labels(alarms.REFUSED, name, self._gravity(name), incident_id), error)

    async def taken(self, name: str, incident_id: str) -> None:
        """What was a dead letter is told after all."""
        await self._resolve(alarms.group_labels(alarms.REFUSED, name), incident_id)

    async def clear_refusals(self, situation: model.Situation) -> None:
        """A dead letter of an incident that is over needs nobody's attention any more, but for its own end."""
        for name, delivery in situation.deliveries.items():
            end_was_refused = delivery.dead is not None and not delivery.dead.firing
            if delivery.dead_at and not situation.incident.open and not end_was_refused:
                await self.taken(name, situation.incident.id)

    async def recall(self) -> None:
        """Know again, after a start or a reload, which destinations an alarm is open about.

        One with other credentials than it was broken with counts as mended, until a try shows the contrary.
        """
        ids = {model.incident_id(alarms.group_labels(alarms.BROKEN, name)): name for name in self._targets}
        for incident_id, situation in (await self._ledger.situations(ids)).items():
            name, incident = ids[incident_id], situation.incident
            self._lanes[name].suspended = incident.open
            if incident.open and alarms.is_outdated(incident, self._targets[name].destination.credentials):
                await self.recover(name)

    def _gravity(self, name: str) -> model.Priority:
        """A pager that is out of order is a P1 itself."""
        return model.Priority.P1 if self._targets[name].pages else model.Priority.P2

    async def _raise(self, alarm: model.Labels, error: str, credentials: str = "") -> None:
        now = self._clock()
        firing = alarms.firing(alarm, error, now, credentials=credentials)
        self._wake(await self._ledger.record(firing, now))

    async def _resolve(self, group_labels: model.Labels, about_incident: str = "") -> None:
        now, incident_id = self._clock(), model.incident_id(group_labels)
        for situation in (await self._ledger.situations([incident_id])).values():
            over = alarms.resolved(situation.incident, now, about_incident)
            if over:
                self._wake(await self._ledger.record(over, now))
