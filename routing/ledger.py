"""What the reconciler needs of a store. Stated here, by who needs it; built in `webhook.store`.

Every method that changes something returns after its change is durable. All of them raise
`Unavailable` when the store cannot answer or take a commit now.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from routing import model


class Unavailable(Exception):
    """The store cannot be read or take a commit at the moment; what was asked for has not happened."""


class Ledger(Protocol):
    """Incidents and what each destination was told of them."""

    async def record(self, notification: model.Notification, now: datetime) -> Sequence[str]:
        """Record what a message says; returns the ids of the incidents whose state it changed.

        The changed ones are due for a look at once. An alert that fires here and fired in another
        incident moves: both are changed.
        """
        ...

    async def release_held(self, incident_id: str, now: datetime) -> Sequence[str]:
        """Let the held firings count whose hold has ended by `now`; returns the changed incidents."""
        ...

    async def due(self, after: datetime | None, until: datetime) -> Sequence[str]:
        """Ids of the incidents that fell due for a look after one instant (None: ever) and by another.

        P1 before P2 before P3, then the longest due. An incident stays due until `rest`.
        """
        ...

    async def next_due(self, after: datetime) -> datetime | None:
        """The first instant after this one at which an incident falls due; None when there is none."""
        ...

    async def situations(self, incident_ids: Collection[str]) -> Mapping[str, model.Situation]:
        """The newest state of each of these incidents; unknown ids are left out."""
        ...

    async def priorities(self, incident_ids: Collection[str]) -> Mapping[str, model.Priority]:
        """The priority of each of these incidents; unknown ids are left out."""
        ...

    async def expect(
        self, incident_id: str, destinations: Collection[str], episode: int, now: datetime
    ) -> None:
        """Note that these destinations should be told of the incident, from this episode and this instant on.

        Keeps what is there: a second call for the same destination changes nothing.
        """
        ...

    async def owe(self, incident_id: str, since: Mapping[str, datetime | None]) -> None:
        """Note since when each of these destinations should show what it does not (`Delivery.owed_since`)."""
        ...

    async def intend(
        self, incident_id: str, destination: str, shows: model.Shown, now: datetime, *, reference: str = ""
    ) -> None:
        """Note that this state is about to be sent there (`Delivery.intent`).

        Args:
            incident_id: the incident.
            destination: where it will be shown.
            shows: what will be shown there.
            now: the time.
            reference: becomes `Delivery.reference` where nothing is shown as open and none is on record.
        """
        ...

    async def settle(
        self,
        incident_id: str,
        destination: str,
        shows: model.Shown,
        now: datetime,
        *,
        reference: str | None = None,
    ) -> None:
        """Note the far end's receipt: `shown` becomes this state; intent, dead letter, debt and errors are cleared.

        Args:
            incident_id: the incident.
            destination: where it is shown.
            shows: what is shown there now.
            now: when the receipt came.
            reference: replaces `Delivery.reference`; None keeps it.
        """
        ...

    async def fail(self, incident_id: str, destination: str, error: str, *, outcome_known: bool) -> None:
        """Note a failed attempt. With a known outcome (nothing was shown) the intent is cleared, else it stays.

        With the intent goes the reference, where nothing is shown as open.
        """
        ...

    async def bury(
        self,
        incident_id: str,
        destination: str,
        shows: model.Shown,
        error: str,
        now: datetime,
        *,
        may_be_shown: bool = False,
    ) -> None:
        """Note a dead letter: the far end refused this state for good.

        Clears the intent as `fail` does, but not where an earlier try of it has no known outcome.
        """
        ...

    async def rest(self, incident_id: str, version: int, until: datetime | None) -> bool:
        """Nothing is left to do until that instant (None: until it changes).

        Returns False, and changes nothing, when the incident is no longer at this version.
        """
        ...

    async def wake_open(self, now: datetime) -> int:
        """Make every incident that is open, or shown as open somewhere, due for a look; returns how many."""
        ...

    async def shown_open(self, destinations: Collection[str]) -> Mapping[str, Sequence[str]]:
        """For each of these destinations that shows open incidents (or may: an intent): their ids."""
        ...

    async def destinations_since(self, names: Collection[str], now: datetime) -> Mapping[str, datetime]:
        """When each destination was first configured; those not yet known are noted as of `now`."""
        ...
