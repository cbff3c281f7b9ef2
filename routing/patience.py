"""Waiting that ends with the service, and writing that lasts until it is done."""

import asyncio
from collections.abc import Awaitable, Callable

from routing import events, ledger

_STORE_PAUSE_SECONDS = 1.0


class Patience:
    """What all that works for one configuration shares: when to stop, and how to wait.

    Args:
        emit: hears of trouble with the store.
    """

    def __init__(self, emit: events.Listener) -> None:
        self.stopping = asyncio.Event()
        self._emit = emit

    async def until_recorded(self, write: Callable[[], Awaitable[None]]) -> None:
        """What happened at the far end must be on record before anything else is said there.

        Raises:
            ledger.Unavailable: the store cannot be used, and the service stops.
        """
        while True:
            try:
                await write()
            except ledger.Unavailable as trouble:
                if self.stopping.is_set():
                    self._emit(events.StoreTrouble(error=str(trouble)))
                    raise
                await self.after(trouble)
            else:
                return

    async def after(self, trouble: ledger.Unavailable) -> None:
        """Say that the store is in trouble, and give it a moment."""
        self._emit(events.StoreTrouble(error=str(trouble)))
        await self.pause(_STORE_PAUSE_SECONDS)

    async def pause(self, seconds: float) -> None:
        """Wait, or until the service stops."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        except TimeoutError:
            return
