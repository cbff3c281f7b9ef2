"""Reads, away from the event loop: a few threads with a connection each that can neither write nor checkpoint.

Plain threads and one queue: every page waits for a read, and a `ThreadPoolExecutor` with its futures makes of 34 us of
reading 203 us of waiting (measured), these 150.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from routing import ledger
from webhook.store import writer

Result = TypeVar("Result")

_MOST_WAITING = 1024
_DEADLINE_SECONDS = 5.0

_Work = Callable[[sqlite3.Connection], Any]


class Readers:
    """Runs reads on whichever connection is free, each read in one snapshot of the last commit."""

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: queue.SimpleQueue[tuple[_Work, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), name="store-reader", daemon=True)
            for connection in connections
        ]
        for thread in self._threads:
            thread.start()

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """The result of the work.

        Raises:
            routing.ledger.Unavailable: too many reads wait, the store is closed, the file cannot be read, or
                it took longer than 5 s.
        """
        if self._closed:
            raise ledger.Unavailable("the store is closed")
        if self._waiting >= _MOST_WAITING:
            raise ledger.Unavailable(f"the store is behind: {_MOST_WAITING} reads wait")
        self._waiting += 1
        done: asyncio.Future[Any] = self._loop.create_future()
        self._asked.put((work, done))
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return cast("Result", await done)
        except TimeoutError:
            raise ledger.Unavailable(f"the store did not answer within {_DEADLINE_SECONDS:g} s") from None
        except sqlite3.Error as error:
            raise writer.as_trouble(error) or error from error

    async def close(self) -> None:
        """Finish the reads under way, then end the threads. The connections stay open."""
        self._closed = True
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _answer(self, done: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        self._waiting -= 1
        if done.done():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    # On the threads.

    def _run(self, connection: sqlite3.Connection) -> None:
        while (asked := self._asked.get()) is not None:
            work, done = asked
            result, error = None, None
            # Who no longer waits needs no answer.
            if not done.done():
                try:
                    result = _in_snapshot(connection, work)
                except BaseException as raised:  # noqa: BLE001  a thread's boundary: handed to whoever waits
                    error = raised
            try:
                self._loop.call_soon_threadsafe(self._answer, done, result, error)
            except RuntimeError:
                return  # the event loop has ended, and with it whoever waited


def _in_snapshot(connection: sqlite3.Connection, work: _Work) -> object:
    try:
        connection.execute("BEGIN")
        return work(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
