"""When the store is back: what was paged past it becomes a delivery, so that it is told everywhere and closed.

Alertmanager tells nothing about an alert that it never managed to deliver and that has resolved since. With its
address, resync closes what it does not list any more. Without, Alertmanager still comes again with whatever fires:
what it has not told of for a quarter of an hour, while a Watchdog arrives, is over.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

from msgspec import structs

from routing import ledger, model
from webhook import direct, pagebook, unrecorded
from webhook.store import contract

UNHEARD_FOR = timedelta(minutes=15)
"""Longer than any group_interval that makes sense: what fires would have been told again by then."""

_PROOF = timedelta(minutes=3)
_LOOK_SECONDS = 1.0
_OVER = "Paged while the store was down, and not heard of since: taken to be over."

_log = logging.getLogger(__name__)


class CatchUp:
    """Records what was paged past the store as soon as the store takes it.

    Args:
        store: takes it, or not yet.
        book: has the pages.
        pages: makes them, and may be about to.
        resyncs: whether Alertmanager can be asked.
        wake: is given the ids of incidents that changed.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        *,
        store: contract.Store,
        book: pagebook.Book,
        pages: direct.Direct,
        resyncs: Callable[[], bool],
        wake: Callable[[Collection[str]], object],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._book = book
        self._pages = pages
        self._resyncs = resyncs
        self._wake = wake
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Look every second, for ever; cheap while nothing was paged past the store."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Record what can be recorded, and close what was not heard of again. Tries again at the next look."""
        try:
            for page in self._book.pages():
                if self._pages.busy_with(page.incident_id):
                    continue
                if page.recorded_at is None:
                    await self._record_page(page.incident_id)
                elif self._clock() - page.recorded_at >= UNHEARD_FOR:
                    await self._close(page)
        except ledger.Unavailable:
            return  # whoever asks the store for more says so in the log

    async def precede(self, notification: model.Notification) -> None:
        """Record what was paged of a message's incident before the message itself, which may tell of its end.

        Raises:
            ledger.Unavailable: the store still takes nothing.
        """
        if not self._book:
            return
        incident_id = model.incident_id(notification.group_labels)
        if self._book.page(incident_id) is not None and not self._pages.busy_with(incident_id):
            await self._record_page(incident_id)

    async def _record_page(self, incident_id: str) -> None:
        async with self._one_at_a_time:
            page = self._book.page(incident_id)
            if page is not None and page.recorded_at is None:
                await self._record(page)

    async def _record(self, page: unrecorded.Page) -> None:
        incident_id, now = page.incident_id, self._clock()
        known = (await self._store.situations([incident_id])).get(incident_id)
        fresh = unrecorded.new_to(known.incident if known else None, page.notification.alerts)
        if not fresh:
            self._pages.caught_up(incident_id)
            _log.info("what was paged past the store is on record", extra={"incident": incident_id})
            self._book.forget(incident_id)
            return
        recorded = structs.replace(page.notification, alerts=fresh)
        changed = await self._store.record_told(recorded, page.told, now)
        # Not before: what is refused once more was paged, and need not be again.
        self._pages.caught_up(incident_id)
        self._wake(changed)
        _log.info("what was paged past the store is recorded now", extra={"incident": incident_id})
        if self._resyncs():
            self._book.forget(incident_id)
        else:
            self._book.keep(replace(page, recorded_at=now))

    async def _close(self, page: unrecorded.Page) -> None:
        incident_id, now = page.incident_id, self._clock()
        heard = max((await self._store.sources()).values(), default=None)
        if heard is None or now - heard >= _PROOF:
            return  # as long as no Watchdog arrives, silence proves nothing
        situation = (await self._store.situations([incident_id])).get(incident_id)
        over = tuple(
            structs.replace(
                alert,
                status=model.AlertStatus.RESOLVED,
                ends_at=now,
                annotations={**alert.annotations, "description": _OVER},
            )
            for alert in (situation.incident.firing if situation else ())
            if alert.fingerprint in page.fingerprints
        )
        if over:
            self._wake(
                await self._store.record(
                    structs.replace(page.notification, alerts=over, confirmable=False), now
                )
            )
            _log.warning(
                "paged while the store was down, and not heard of since: taken to be over",
                extra={"incident": incident_id},
            )
        self._book.forget(incident_id)
