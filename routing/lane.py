"""One destination's queue and health: who is next, and whether anyone may go now.

P1 goes before P2 before P3, then the oldest. Nobody goes faster than the far end's budget allows. When a lane is
behind, what waits of P2 and P3 is handed out as one backlog, for a summary. After a failure nobody goes before the
pause has ended, and then one at a time until one gets through; a P1 waits only for what failed with a P1. Who failed
lets the others try first, so that an incident that the far end cannot bear keeps nobody else from being told.
"""

import asyncio
import heapq
import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from routing import budget, model, summary

LONGEST_PAUSE_SECONDS = 30.0
"""So that what was down is caught up within a minute or two (PRODUCT: what people see)."""

_FIRST_PAUSE_SECONDS = 1.0
_SHORTEST_PAUSE_SECONDS = 0.1
_LONGEST_ADMISSION_SECONDS = 5.0

Urgency = tuple[model.Priority, datetime]


@dataclass(frozen=True, slots=True)
class Backlog:
    """Incidents that one summary is to tell of."""

    incident_ids: tuple[str, ...]


class Lane:
    """The incidents that wait for one destination. Used from one event loop only.

    Args:
        name: of the destination.
        spending: the budget of its far end, which other lanes may share; None where the far end has no limit.
        summarises: whether a backlog may be told in one message there.

    Attributes:
        budget_waits: how many messages had to wait because the budget was spent.
    """

    def __init__(self, name: str, *, spending: budget.Budget | None = None, summarises: bool = False) -> None:
        self.name = name
        self.suspended = False
        self.summarises = summarises
        self.budget_waits = 0
        self._spending = spending
        self._storm = summary.Storm()
        self._waiting: dict[str, Urgency] = {}
        self._heap: list[tuple[Urgency, str]] = []
        self._busy: dict[str, Urgency] = {}
        self._again: dict[str, Urgency] = {}
        self._together: set[str] = set()
        self._failures = 0
        self._failed: set[str] = set()  # since somebody got through, or had their turn
        # By whether it is about P1: what fails with a P2 says nothing yet about a P1.
        self._probing = {True: False, False: False}
        self._free_at = {True: 0.0, False: 0.0}
        self._closed = False
        self._changed = asyncio.Event()

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._waiting or incident_id in self._busy

    def __len__(self) -> int:
        return len(self._waiting) + len(self._busy)

    @property
    def failing(self) -> bool:
        """Whether the last try failed in a way that concerns the whole destination."""
        return self._failures > 0

    @property
    def storm(self) -> summary.Storm:
        """What was said in summaries lately."""
        return self._storm.at(_now())

    @property
    def behind(self) -> bool:
        """Whether a summary is to replace what waits of P2 and P3."""
        return self.summarises and len(self._waiting) > summary.MOST_WAITING

    @property
    def paused_seconds(self) -> float:
        """How long nobody goes, or nobody but a P1: after a failure or by the far end's word. 0 when they may."""
        paused_until = max(self._free_at.values())
        if self._spending is not None:
            paused_until = max(paused_until, self._spending.paused_until)
        return max(0.0, paused_until - _now())

    def waiting(self) -> dict[model.Priority, int]:
        """How many incidents wait or are being told, by priority."""
        tiers = [priority for priority, _ in (*self._waiting.values(), *self._busy.values())]
        return {priority: tiers.count(priority) for priority in model.Priority}

    @property
    def incidents(self) -> Collection[str]:
        """The incidents that have something due here."""
        return {*self._waiting, *self._busy, *self._again}

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

    async def take(self, *, p1_only: bool) -> str | Backlog | None:
        """Wait for what is next and mark it as being told; afterwards `release` or `release_backlog` it."""
        waited = False
        while not self._closed:
            self._changed.clear()
            wait_seconds = self._wait_seconds(p1_only=p1_only)
            if wait_seconds == 0:
                self.budget_waits += waited
                return self._hand_out()
            waited |= wait_seconds is not None and self._budget_holds()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    async def admit(self, priority: model.Priority) -> bool:
        """Wait for the far end's budget and spend it; to be called just before each attempt.

        `take` looks at the budget as well, so that who is next is decided late. Between the two another lane may
        have spent what they share.

        Returns:
            False when it would take long, or this lane was closed: nothing was spent.
        """
        if self._spending is None:
            return True
        waits = False
        while (wait_seconds := self._spending.wait_seconds(priority, _now())) > 0:
            if self._closed or wait_seconds > _LONGEST_ADMISSION_SECONDS:
                return False
            waits = True
            await asyncio.sleep(wait_seconds)
        self._spending.spend(_now())
        self.budget_waits += waits
        return True

    def release(self, incident_id: str) -> None:
        """Give an incident back that `take` handed out."""
        self._together.discard(incident_id)
        urgency = self._busy.pop(incident_id, None)
        if urgency is not None:
            self._probing[_is_urgent(urgency)] = False
        again = self._again.pop(incident_id, None)
        if again is not None:
            self.put(incident_id, again)
        self._changed.set()

    def release_backlog(self) -> None:
        """Give back what is left of the backlog that `take` handed out. There is one at a time."""
        for incident_id in tuple(self._together):
            self.release(incident_id)

    def succeeded(self) -> bool:
        """Note a receipt; returns whether it ends a row of failures."""
        ended = self.failing
        self._failures = 0
        self._failed.clear()
        self._free_at = {True: 0.0, False: 0.0}
        self._changed.set()
        return ended

    def failed(
        self,
        retry_after_seconds: float | None,
        *,
        urgent: bool = True,
        too_many: bool = False,
        incident_id: str | None = None,
    ) -> float:
        """Note a failure; returns the pause in seconds, which all of this lane keeps.

        The far end's word counts as it stands. Without one, or where it says "at once", the pause doubles up to
        its cap, with full jitter.

        Args:
            retry_after_seconds: the far end's word, for all that shares its budget.
            urgent: whether it was a P1 that failed; else P1 does not pause, unless the far end said so.
            too_many: whether the far end says that too much arrives: then all that shares its budget pauses.
            incident_id: whose message failed, if that may be the reason.
        """
        self._failures += 1
        if not retry_after_seconds:
            longest = min(LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self._failures - 1, 10))
            pause = max(_SHORTEST_PAUSE_SECONDS, random.uniform(0, longest))  # noqa: S311 - no secret
        else:
            pause = retry_after_seconds
        said = bool(retry_after_seconds) or too_many
        if incident_id is not None and not said:
            self._failed.add(incident_id)
        if said and self._spending is not None:
            self._spending.pause(pause, _now())
        for concerned in (True, False) if urgent or said else (False,):
            self._free_at[concerned] = max(self._free_at[concerned], _now() + pause)
        return pause

    def summarised(self, lines: Iterable[summary.Line]) -> None:
        """Note that a summary of these incidents was sent."""
        self._storm = self.storm.after(tuple(lines), _now())

    def told_closed(self, incident_id: str) -> None:
        """Note that an incident's end was told in a message of its own."""
        self._storm = self._storm.without(incident_id)

    def _wait_seconds(self, *, p1_only: bool) -> float | None:
        """How long until what is next may go: 0 for now, None when it takes a change of this lane."""
        found = self._next()
        if found is None or (p1_only and not _is_urgent(found[0])):
            return None
        head = found[0]
        urgent = _is_urgent(head)
        if self._probing[urgent]:
            return None
        now = _now()
        waits = [0.0, self._free_at[urgent] - now]
        if self._spending is not None:
            waits.append(self._spending.wait_seconds(head[0], now))
        if not urgent and self.behind:
            waits.append(self.storm.next_seconds - now)
        return max(waits)

    def _budget_holds(self) -> bool:
        found = self._next()
        if found is None or self._spending is None:
            return False
        return self._spending.wait_seconds(found[0][0], _now()) > 0

    def _next(self) -> tuple[Urgency, str] | None:
        """Whose turn it is: the most urgent of those that did not just fail, or of all where all did."""
        while self._heap and self._waiting.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if not self._heap or self._heap[0][1] not in self._failed:
            return self._heap[0] if self._heap else None
        others = ((urgency, name) for name, urgency in self._waiting.items() if name not in self._failed)
        return min(others, default=self._heap[0])

    def _hand_out(self) -> str | Backlog:
        found = self._next()
        assert found is not None, "asked for only when somebody may go"
        urgency, first = found
        self._probing[_is_urgent(urgency)] = self.failing
        if first in self._failed or (_is_urgent(self._heap[0][0]) and not _is_urgent(urgency)):
            # All have failed, or all P1 have and one lesser had its turn: they begin anew.
            self._failed.clear()
        if not _is_urgent(urgency) and self.behind:
            return self._hand_out_backlog()
        self._busy[first] = self._waiting.pop(first)
        return first

    def _hand_out_backlog(self) -> Backlog:
        taken = {name: urgency for name, urgency in self._waiting.items() if not _is_urgent(urgency)}
        self._busy |= taken
        self._together = set(taken)
        self._waiting = {name: urgency for name, urgency in self._waiting.items() if name not in taken}
        self._heap = [(urgency, name) for name, urgency in self._waiting.items()]
        heapq.heapify(self._heap)
        return Backlog(tuple(sorted(taken, key=taken.__getitem__)))


def _is_urgent(urgency: Urgency) -> bool:
    return urgency[0] is model.Priority.P1


def _now() -> float:
    return asyncio.get_running_loop().time()
