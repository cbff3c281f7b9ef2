"""Whether the process runs, whether it can record, and reading the configuration anew."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from routing import ledger
from webhook.store import contract

_FRESH_SECONDS = 1.0
_PROBE_SECONDS = 5.0
_REMEMBERED_SECONDS = 15.0

Reload = Callable[[], Awaitable[Sequence[str]]]
"""Reads the configuration anew; returns its faults, each `FILE:LINE: text`. With any, the old one stays."""


class Readiness:
    """Whether the store takes a commit. Asked at most once a second, whoever asks."""

    def __init__(self, store: contract.Store, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._asked_at: float | None = None
        self._trouble: str | None = None
        self._unrecorded_at: float | None = None

    def noted(self, *, recorded: bool) -> None:
        """Hear whether a message could be recorded: a full disk may have room for a probe and not for a message."""
        self._unrecorded_at = None if recorded else self._monotonic()

    async def trouble(self) -> str | None:
        """Why nothing can be recorded now; None when all is well."""
        async with self._one_at_a_time:
            if self._asked_at is None or self._monotonic() - self._asked_at >= _FRESH_SECONDS:
                self._trouble = await self._probe()
                self._asked_at = self._monotonic()
        return self._trouble or self._last_message()

    def _last_message(self) -> str | None:
        if self._unrecorded_at is None or self._monotonic() - self._unrecorded_at >= _REMEMBERED_SECONDS:
            return None
        return "the last message could not be recorded"

    async def _probe(self) -> str | None:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._store.probe()
        except ledger.Unavailable as error:
            return str(error) or "the store takes no commit"
        except TimeoutError:
            return f"the store took longer than {_PROBE_SECONDS:g} s"
        return None


async def healthy(_request: web.BaseRequest) -> web.Response:
    """Answer that the process runs: always 200."""
    return web.Response(text="Healthy.\n")


def ready(readiness: Readiness) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """A handler: 200 while the store takes commits, else 503 and why."""

    async def handler(_request: web.BaseRequest) -> web.Response:
        trouble = await readiness.trouble()
        if trouble is None:
            return web.Response(text="Ready.\n")
        return web.Response(status=503, headers={"Retry-After": "1"}, text=f"Not ready: {trouble}\n")

    return handler


def reloading(reload: Reload) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """A handler: 200 when the new configuration is in use, else 500 and one fault a line."""

    async def handler(_request: web.BaseRequest) -> web.Response:
        refusals = await reload()
        if refusals:
            return web.Response(status=500, text="".join(f"{line}\n" for line in refusals))
        return web.Response(text="Reloaded.\n")

    return handler
