"""One destination's queue and health: who is next, and whether anyone may go now.

P1 goes before P2 before P3, then the oldest. After a failure nobody goes before the pause has ended, and then one
at a time until one gets through.
"""

import asyncio
import heapq
import random
from datetime import datetime

from routing import model

LONGEST_PAUSE_SECONDS = 30.0
"""So that what was down is caught up within a minute or two (PRODUCT: what people see)."""

_FIRST_PAUSE_SECONDS = 1.0
_SHORTEST_PAUSE_SECONDS = 0.1

Urgency = tuple[model.Priority, datetime]


class Lane:
    """The incidents that wait for one destination. Used from one event loop only."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.suspended = False
        self._waiting: dict[str, Urgency] = {}
        self._heap: list[tuple[Urgency, str]] = []
        self._busy: dict[str, Urgency] = {}
        self._again: dict[str, Urgency] = {}
        self._failures = 0
        self._probing = False
        self._free_at = 0.0
        self._closed = False
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    @property
    def failing(self) -> bool:
        """Whether the last try failed in a way that concerns the whole destination."""
        return self._failures > 0

    def oldest(self, priority: model.Priority) -> datetime | None:
        """When the change of this priority was recorded that has waited longest; None when none waits."""
        waiting = (*self._waiting.values(), *self._busy.values(), *self._again.values())
        return min((since for own, since in waiting if own is priority), default=None)

    def put(self, incident_id: str, urgency: Urgency) -> None:
        """Queue an incident, or change its urgency; one that is being told now comes again after that."""
        if incident_id in self._busy:
            self._again[incident_id] = urgency
        elif self._waiting.get(incident_id) != urgency:
            self._waiting[incident_id] = urgency
            heapq.heappush(self._heap, (urgency, incident_id))
            self._changed.set()

    def close(self) -> None:
        """Hand nothing out any more; whoever waits in `take` gets None."""
        self._closed = True
        self._changed.set()

    async def take(self, *, p1_only: bool) -> str | None:
        """Wait for the next incident and mark it as being told; `release` it afterwards."""
        while not self._closed:
            self._changed.clear()
            pause = self._free_at - asyncio.get_running_loop().time()
            incident_id = None if pause > 0 or self._probing else self._next(p1_only=p1_only)
            if incident_id is not None:
                self._probing = self.failing
                return incident_id
            try:
                async with asyncio.timeout(pause if pause > 0 and self._waiting else None):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    def release(self, incident_id: str) -> None:
        """Give an incident back that `take` handed out."""
        self._busy.pop(incident_id, None)
        self._probing = False
        urgency = self._again.pop(incident_id, None)
        if urgency is not None:
            self.put(incident_id, urgency)
        self._changed.set()

    def succeeded(self) -> bool:
        """Note a receipt; returns whether it ends a row of failures."""
        ended = self.failing
        self._failures = 0
        self._free_at = 0.0
        return ended

    def failed(self, retry_after_seconds: float | None) -> float:
        """Note a failure; returns the pause in seconds, which all of this lane keeps.

        The far end's word counts as it stands. Without one, or where it says "at once", the pause doubles up to
        its cap, with full jitter.
        """
        self._failures += 1
        if not retry_after_seconds:
            longest = min(LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10))
            pause = max(_SHORTEST_PAUSE_SECONDS, random.uniform(0, longest))  # noqa: S311 - no secret
        else:
            pause = retry_after_seconds
        self._free_at = max(self._free_at, asyncio.get_running_loop().time() + pause)
        return pause

    def _next(self, *, p1_only: bool) -> str | None:
        while self._heap:
            urgency, incident_id = self._heap[0]
            if self._waiting.get(incident_id) != urgency:
                heapq.heappop(self._heap)
                continue
            if p1_only and urgency[0] is not model.Priority.P1:
                return None
            heapq.heappop(self._heap)
            del self._waiting[incident_id]
            self._busy[incident_id] = urgency
            return incident_id
        return None
