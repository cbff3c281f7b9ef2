"""The time that everything here goes by: wall time that does not jump (DESIGN: invariant 11).

A wall clock that is set by more than a minute is not followed at once. Time goes on as before, by the monotonic
clock, until what is on record was moved along; so no wait ends early or lasts hours longer.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from routing import ledger

JUMP = timedelta(seconds=60)
"""A wall clock that moves by more than this against the monotonic one has jumped."""

_LOOK_SECONDS = 1.0

_log = logging.getLogger(__name__)


def _wall() -> datetime:
    return datetime.now(UTC)


class Clock:
    """Tells the time when it is called."""

    def __init__(
        self, *, wall: Callable[[], datetime] = _wall, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._shown, self._shown_at = wall(), monotonic()

    def __call__(self) -> datetime:
        """The present, in UTC: the wall clock's, as long as that has not jumped."""
        steady, wall = self._steady(), self._wall()
        if abs(wall - steady) > JUMP:
            return steady
        self._shown, self._shown_at = wall, self._monotonic()
        return wall

    def jump(self) -> timedelta | None:
        """By how much the wall clock has jumped since it was last followed; None where it has not."""
        moved = self._wall() - self._steady()
        return moved if abs(moved) > JUMP else None

    def follow(self, by: timedelta) -> None:
        """Go by the wall clock again: what is on record was moved by this much."""
        self._shown, self._shown_at = self._steady() + by, self._monotonic()

    def _steady(self) -> datetime:
        return self._shown + timedelta(seconds=self._monotonic() - self._shown_at)


async def watch(
    clock: Clock, *, rebase: Callable[[timedelta], Awaitable[None]], followed: Callable[[], Awaitable[None]]
) -> None:
    """Notice jumps, for ever.

    Args:
        clock: is looked at every second.
        rebase: moves what is on record; may raise `ledger.Unavailable`, and is asked again then.
        followed: is called when the clock shows the new time.
    """
    told = False
    while True:
        by = clock.jump()
        if by is not None:
            if not told:
                _log.warning("the wall clock jumped; what waits is moved along", extra={"by": str(by)})
                told = True
            try:
                await rebase(by)
            except ledger.Unavailable as trouble:
                _log.debug("what waits cannot be moved along yet", extra={"error": str(trouble)})
            else:
                clock.follow(by)
                told = False
                await followed()
        await asyncio.sleep(_LOOK_SECONDS)
