"""An event loop whose time jumps to the next timer when there is nothing else to do, so that an hour takes seconds.

Everything else is real: sockets, threads, the store. While a thread works, time passes as usual.
"""

import asyncio
import selectors
import threading
from collections.abc import Callable

_GRACE_SECONDS = 0.002


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.ahead_seconds = 0.0
        self.busy: Callable[[], bool] = lambda: True

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= _GRACE_SECONDS:
            return super().select(timeout)
        found = super().select(_GRACE_SECONDS)
        if found or self.busy():
            return found
        # What ended its work since the first look has left its word by now.
        found = super().select(0)
        if not found:
            self.ahead_seconds += timeout
        return found


class Loop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return super().time() + self._jumping.ahead_seconds

    def jump_unless(self, busy: Callable[[], bool]) -> None:
        """Jump from now on, but while this holds."""
        self._jumping.busy = busy


def any_thread(*names: str) -> bool:
    """Whether a thread of such a name is at work."""
    return any(thread.name.startswith(names) for thread in threading.enumerate())
