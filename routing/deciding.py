"""What is due at every destination, for one incident as it is now: the pure decision, on what the store says."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from routing import desire, failover, ledger, model, plan
from routing.destinations import contract


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

    @property
    def pages(self) -> bool:
        """Whether it wakes people: what is shown there is told again until somebody has it in hand."""
        return self.destination.traits.reassert_seconds is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is due for one incident.

    Attributes:
        due: by destination, of those that are concerned with the incident, or show it.
        debts: what `Delivery.owed_since` should become, by destination, where it is another.
        look_again: when the decision may be another one without any news; None where it may not.
    """

    due: Mapping[str, model.Step | model.Wait | None]
    debts: Mapping[str, datetime | None]
    look_again: datetime | None

    @property
    def steps(self) -> Mapping[str, model.Step]:
        """The steps that are due now."""
        return {name: step for name, step in self.due.items() if isinstance(step, model.Step)}


class Decisions:
    """Decides by one configuration.

    Args:
        suspended: names the destinations that are broken now.
    """

    def __init__(
        self,
        *,
        ledger: ledger.Ledger,
        route: desire.Router,
        targets: Mapping[str, Target],
        backups: failover.Backups,
        suspended: Callable[[], Collection[str]],
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._route = route
        self._targets = targets
        self._backups = backups
        self._suspended = suspended
        self._clock = clock
        self._last: tuple[model.Incident, Mapping[str, desire.Desired]] | None = None

    async def on(self, situation: model.Situation) -> Decision:
        """What is due at each destination."""
        by_route = self._by_route(situation.incident)
        moved_pending = await self._moved_pending(situation.incident)
        now = self._clock()
        desired = failover.stand_ins(situation, by_route, self._backups, self._suspended(), now)
        return Decision(
            due={
                name: plan.plan(name, situation, desired, target.manner, now, moved_pending=moved_pending)
                for name, target in self._targets.items()
                if name in desired or name in situation.deliveries
            },
            debts=failover.debts(situation, by_route, self._backups, now),
            look_again=failover.look_again(situation, by_route, self._backups, now),
        )

    def _by_route(self, incident: model.Incident) -> Mapping[str, desire.Desired]:
        """What every destination should show by the routes; the same for all that are told of what one look saw."""
        if self._last is None or self._last[0] is not incident:
            self._last = incident, desire.desire(incident, self._route)
        return self._last[1]

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
