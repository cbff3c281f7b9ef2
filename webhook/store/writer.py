"""The one thread that writes. What waits together is committed together (group commit).

One connection writes and checkpoints: SQLite before 3.51.3 can lose a write-ahead log that two share.
"""

import asyncio
import collections
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from routing import ledger

Request = TypeVar("Request")

MOST_WAITING = 4096
"""Requests that may wait for the thread; one more is refused with `Unavailable`."""

_MOST_IN_ONE_COMMIT = 512
_DEADLINE_SECONDS = 5.0

_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Primary result codes that speak of the disk or the machine, and so of every request alike."""

_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_WAY_OUT = "; stop the service, then move the file away, or restore it from a backup"

_log = logging.getLogger(__name__)


def as_trouble(error: BaseException) -> ledger.Unavailable | None:
    """`Unavailable` where an error speaks of the disk or the machine; None where it is the request's own."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, sqlite3.Error) and code is not None and code & 0xFF in _TROUBLE:
        way_out = _WAY_OUT if code & 0xFF in _CORRUPT else ""
        return ledger.Unavailable(f"the store cannot be used now: {error}{way_out}")
    return None


@dataclass(slots=True, eq=False)
class _Call(Generic[Request]):
    request: Request
    since: float
    done: asyncio.Future[Any]
    late: Callable[[Any], object] | None


_Outcome = tuple[_Call[Any], object, BaseException | None]


class Writer(Generic[Request]):
    """Applies requests in batches, each batch in one transaction, and answers after the commit.

    While one batch is being committed the next one gathers. A request that raises cannot fail its neighbours:
    the batch is rolled back and each runs alone. Trouble with the disk fails the whole batch with
    `routing.ledger.Unavailable`; the thread lives on.

    Args:
        connection: in autocommit mode, usable from another thread; from now on nobody else uses it.
        apply: does the requests inside a transaction and returns a result for each, in order.
        undone: is called on the thread for each transaction that is rolled back.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        apply: Callable[[Sequence[Request]], Sequence[object]],
        *,
        undone: Callable[[], object] = lambda: None,
    ) -> None:
        self._connection = connection
        self._apply = apply
        self._undone = undone
        self._loop = asyncio.get_running_loop()
        self._waiting: collections.deque[_Call[Request]] = collections.deque()
        self._batches: queue.SimpleQueue[Sequence[_Call[Request]] | None] = queue.SimpleQueue()
        self._under_way: Sequence[_Call[Request]] = ()
        self._giving_up: asyncio.TimerHandle | None = None
        self._busy = False
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(
        self,
        request: Request,
        *,
        most_waiting: int = MOST_WAITING,
        late: Callable[[Any], object] | None = None,
    ) -> Any:
        """Wait until the request is durable; returns its result.

        Args:
            request: what to apply.
            most_waiting: with so many that wait it is refused.
            late: is given the result if nobody waits for it any more.

        Raises:
            routing.ledger.Unavailable: the queue is full, the store is closed, the disk refused, or it took
                longer than 5 s. In the last case alone it may still happen.
        """
        if self._closed:
            raise ledger.Unavailable("the store is closed")
        if len(self._waiting) >= most_waiting:
            raise ledger.Unavailable(f"the store is behind: {most_waiting} requests wait")
        done: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(_Call(request, self._loop.time(), done, late))
        if not self._busy:
            self._hand_over_soon()
        if self._giving_up is None:
            self._giving_up = self._loop.call_later(_DEADLINE_SECONDS, self._give_up)
        return await done

    async def close(self) -> None:
        """Finish what waits, then end the thread. The connection stays open."""
        self._closed = True
        await self._idle.wait()
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join)

    # On the event loop.

    def _hand_over_soon(self) -> None:
        """In the loop's next turn, so that everything that arrives in this one is in the same commit."""
        self._busy = True
        self._idle.clear()
        self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        batch: list[_Call[Request]] = []
        self._under_way = batch
        while self._waiting and len(batch) < _MOST_IN_ONE_COMMIT:
            call = self._waiting.popleft()
            # Who no longer waits has been told "unavailable": what it asked for need not happen.
            if not call.done.done():
                batch.append(call)
        if batch:
            self._batches.put(batch)
        else:
            self._busy = False
            self._idle.set()
            if self._giving_up is not None:
                self._giving_up.cancel()
                self._giving_up = None

    def _answer(self, outcomes: Sequence[_Outcome]) -> None:
        for call, result, error in outcomes:
            if call.done.done():
                if error is None and call.late is not None:
                    call.late(result)
            elif error is None:
                call.done.set_result(result)
            else:
                call.done.set_exception(error)
        self._hand_over_soon()

    def _give_up(self) -> None:
        """Tell those who have waited too long. One timer for all: nearly nobody ever does."""
        waiting = [call for call in (*self._under_way, *self._waiting) if not call.done.done()]
        now = self._loop.time()
        for call in waiting:
            if call.since + _DEADLINE_SECONDS <= now:
                call.done.set_exception(
                    ledger.Unavailable(f"the store did not commit within {_DEADLINE_SECONDS:g} s")
                )
        first = min((call.since for call in waiting if not call.done.done()), default=None)
        self._giving_up = (
            None if first is None else self._loop.call_at(first + _DEADLINE_SECONDS, self._give_up)
        )

    # On the thread.

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            outcomes = self._outcomes(batch)
            try:
                self._loop.call_soon_threadsafe(self._answer, outcomes)
            except RuntimeError:
                _log.warning(
                    "the event loop ended before the store was closed; what was under way is committed"
                )
                return

    def _outcomes(self, calls: Sequence[_Call[Request]]) -> list[_Outcome]:
        try:
            results = self._commit([call.request for call in calls])
        except Exception as error:  # noqa: BLE001  a thread's boundary: handed to whoever waits
            if as_trouble(error) is None and len(calls) > 1:
                return [outcome for call in calls for outcome in self._outcomes([call])]
            return [(call, None, as_trouble(error) or error) for call in calls]
        return [(call, result, None) for call, result in zip(calls, results, strict=True)]

    def _commit(self, requests: Sequence[Request]) -> Sequence[object]:
        self._roll_back()  # after an error in a rollback the last transaction may still be open
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            results = self._apply(requests)
            self._connection.execute("COMMIT")
        except BaseException:
            self._undone()
            self._roll_back()
            raise
        return results

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
