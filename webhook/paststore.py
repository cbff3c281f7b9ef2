"""What happens to a P1 past the store: paged at once, remembered, recorded when the store is back."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from pathlib import Path

from routing import model
from webhook import catchup, direct, pagebook
from webhook.store import contract


class PastStore:
    """The three that do it, wired: `webhook.direct`, `webhook.pagebook`, `webhook.catchup`."""

    def __init__(
        self,
        *,
        state_dir: Path,
        store: contract.Store,
        ways: Callable[[], direct.Ways],
        resyncs: Callable[[], bool],
        wake: Callable[[Collection[str]], object],
        outcome: Callable[[direct.Outcome], object],
        clock: Callable[[], datetime],
    ) -> None:
        self._book = pagebook.Book(state_dir)
        self._direct = direct.Direct(book=self._book, ways=ways, outcome=outcome, clock=clock)
        self._catchup = catchup.CatchUp(
            store=store,
            book=self._book,
            pages=self._direct,
            resyncs=resyncs,
            wake=wake,
            clock=clock,
        )

    def __len__(self) -> int:
        """How many pages wait to be recorded, or to be heard of again."""
        return len(self._book)

    async def open(self) -> None:
        """Know again what an earlier process paged."""
        await self._book.open()

    async def close(self) -> None:
        """Write down what is not yet written."""
        await self._book.close()

    def rebase(self, by: timedelta) -> None:
        """Move what waits along with a clock that jumped."""
        self._book.rebase(by)

    async def precede(self, notification: model.Notification) -> None:
        """Record first what was paged of the incident that a message is about.

        Raises:
            routing.ledger.Unavailable: the store still takes nothing.
        """
        await self._catchup.precede(notification)

    def refused(self, notification: model.Notification) -> None:
        """Hear of a message that is answered with 503: its P1 are paged."""
        self._direct.refused(notification)

    def recorded(self, notification: model.Notification) -> None:
        """Hear of a message that is on record."""
        self._direct.recorded(notification)

    async def run(self) -> None:
        """Work, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._direct.run(), name="direct pages")
            tasks.create_task(self._book.write_down(), name="side file")
            tasks.create_task(self._catchup.run(), name="catch up")
