"""The store as this service uses it: the reconciler's ledger, and what intake, pages and upkeep need."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from routing import ledger, model, truth


class StoreRefused(Exception):
    """The store must not be used as it is: corrupt, newer than this code, or held by another process.

    The text names the file and says what to do. The file is left untouched.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept (DESIGN: invariant 8). An open incident is kept for ever."""

    notifications: timedelta = timedelta(days=14)
    notifications_bytes: int = 1 << 30
    episodes: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One run of an incident, for history."""

    number: int
    opened_at: datetime
    resolved_at: datetime | None
    priority: model.Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Figures for metrics and the page."""

    open_incidents: Mapping[model.Priority, int]
    notifications: int
    notifications_bytes: int
    dead_letters: int


class Store(ledger.Ledger, Protocol):
    """A ledger that also keeps the messages, hears sources and answers the page."""

    async def accept(
        self,
        notification: model.Notification | None,
        *,
        sources: Collection[str],
        body: bytes,
        now: datetime,
        late: Callable[[Sequence[str]], object] | None = None,
    ) -> Sequence[str]:
        """Record a message of Alertmanager's durably; returns the ids of the incidents that it changed.

        As `record`, and in the same transaction the body is kept for audit (compressed; an identical
        body that is still kept is only referred to) and the sources are noted as heard.
        Requests that arrive together share one commit.

        Args:
            notification: None when nothing but Watchdogs was in it.
            sources: keys of the sources whose Watchdog fires in it.
            body: as it arrived.
            now: when it arrived.
            late: is given the ids if it becomes durable after all when nobody waits for them any more.
        """
        ...

    async def dead_letters(self, limit: int) -> Sequence[model.Situation]:
        """Incidents of which a destination refused a state for good (`Delivery.dead`)."""
        ...

    async def revive(self, incident_id: str, destination: str, now: datetime) -> bool:
        """Let a dead letter be told again and make its incident due; returns whether there was one.

        `Delivery.dead_at` stays until the receipt.
        """
        ...

    async def drop_letter(self, incident_id: str, destination: str, dead: model.Shown, now: datetime) -> bool:
        """Count a dead letter as told; returns whether this very state still was one."""
        ...

    async def record_told(
        self, notification: model.Notification, told: Mapping[str, str], now: datetime
    ) -> Sequence[str]:
        """As `record`, and in the same commit: these destinations show what fires in the message already.

        Each comes with its `Delivery.reference`.

        One that shows the incident as open, or may, keeps what is noted of it.
        """
        ...

    async def open_incidents(self, limit: int) -> Sequence[model.Situation]:
        """Open incidents: P1 first, then the oldest."""
        ...

    async def open_from(self, receiver: str) -> Sequence[str]:
        """Ids of the open incidents that this receiver's messages are about."""
        ...

    async def recent_incidents(self, limit: int) -> Sequence[model.Situation]:
        """Closed incidents, the last closed first."""
        ...

    async def episodes(self, incident_id: str) -> Sequence[Episode]:
        """An incident's episodes that are still kept, the newest first."""
        ...

    async def sources(self) -> Mapping[str, datetime]:
        """When each source's Watchdog was last heard."""
        ...

    async def standing(self, after: str, limit: int) -> Sequence[truth.Standing]:
        """Alerts from outside that fire or are held, by incident; none when there are no more.

        Args:
            after: the last incident of the page before; "" for the first page.
            limit: incidents of a page.
        """
        ...

    async def partial(self) -> Sequence[str]:
        """Open incidents whose last message left alerts out."""
        ...

    async def receivers(self, since: datetime) -> Sequence[str]:
        """Names of Alertmanager's receivers in the messages about incidents that are open, or were since then."""
        ...

    async def reconcile(
        self,
        findings: truth.Findings,
        strangers: Sequence[truth.Stranger],
        told_whole: Collection[str],
        now: datetime,
    ) -> Sequence[str]:
        """Record what Alertmanager's lists say, in one transaction; returns the incidents that it changed.

        Findings about what was heard of since they were made are left out.

        Args:
            findings: about alerts on record, by incident.
            strangers: alerts that are listed and not on record: they fire from now on, here alone.
            told_whole: incidents of which no alert is unknown any more, so that they may close.
            now: the time.
        """
        ...

    async def counts(self) -> Counts:
        """Figures for metrics and the page."""
        ...

    async def prune(self, retention: Retention, now: datetime) -> int:
        """Remove what is past its retention; returns how many rows went."""
        ...

    async def rebase(self, by: timedelta) -> None:
        """The clock has jumped: move along every instant of ours that something waits for or is measured by.

        What is history stays as it was, and so do the times of Alertmanager's messages.
        """
        ...

    async def probe(self) -> None:
        """Take an empty durable commit; raises `routing.ledger.Unavailable` when that fails."""
        ...

    async def close(self) -> None:
        """Finish what is queued, checkpoint and close."""
        ...
