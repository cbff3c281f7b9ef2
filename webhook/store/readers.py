"""Reads, away from the event loop: a few threads with a connection each that can neither write nor checkpoint."""

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from routing import ledger
from webhook.store import writer

Result = TypeVar("Result")

_MOST_WAITING = 1024
_DEADLINE_SECONDS = 5.0


class Readers:
    """Runs reads on whichever connection is free, each read in one snapshot of the last commit."""

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for connection in connections:
            self._free.put(connection)
        self._threads = ThreadPoolExecutor(len(connections), thread_name_prefix="store-reader")
        self._waiting = 0
        self._closed = False

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
        future = asyncio.get_running_loop().run_in_executor(self._threads, self._in_snapshot, work)
        future.add_done_callback(self._one_less)
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                return await future
        except TimeoutError:
            raise ledger.Unavailable(f"the store did not answer within {_DEADLINE_SECONDS:g} s") from None
        except sqlite3.Error as error:
            raise writer.as_trouble(error) or error from error

    async def close(self) -> None:
        """Finish the reads under way, then end the threads. The connections stay open."""
        self._closed = True
        await asyncio.to_thread(self._threads.shutdown)

    def _one_less(self, _: object) -> None:
        self._waiting -= 1

    def _in_snapshot(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        connection = self._free.get()
        try:
            connection.execute("BEGIN")
            return work(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._free.put(connection)
