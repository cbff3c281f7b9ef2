"""Threads for calls that block and cannot be broken off: few at once, and none that keeps the process from ending.

`asyncio.to_thread` and `ThreadPoolExecutor` have one of these faults each: on the threads that all share, a name that
nobody resolves would take the places of everything else, and both wait for their threads when the process ends.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """Runs calls on threads of its own.

    Args:
        name: for the names of the threads.
        most: so many calls at once; the next one waits.
    """

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(most)

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. Cancelled, it goes on all the same, and keeps its place until it ends."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def finish(result: T | None, error: BaseException | None) -> None:
            self._free.release()
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)  # type: ignore[arg-type] # None only where the call returned it
            else:
                done.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = call()
            except BaseException as raised:  # noqa: BLE001 - handed on to whoever waits
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(finish, result, error)

        threading.Thread(target=work, name=self._name, daemon=True).start()
        return await done
