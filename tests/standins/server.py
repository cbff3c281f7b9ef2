"""What the stand-ins share: a listening server, what was seen, waiting for it, and scripted faults."""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, TypeVar

from aiohttp import web

from tests.standins import faults

T = TypeVar("T")

_LARGEST_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the service thinks of a request: the answer, and for a refusal every reason found, for the test's reader."""

    status: int
    body: str
    content_type: str = "application/json"
    retry_after_seconds: int | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, refused or not. `status` is None where no answer was given."""

    arrival: faults.Arrival
    status: int | None
    body: str
    reasons: tuple[str, ...]
    fault: faults.Fault | None


class Standin:
    """A far end on loopback. Subclasses say what it accepts (`judge`) and remembers (`record`)."""

    post_path: str

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.port = 0
        self._script = faults.Script()
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._kept: socket.socket | None = None

    def judge(self, arrival: faults.Arrival) -> Verdict:
        """Accept or refuse, without remembering anything but the rate."""
        raise NotImplementedError

    def record(self, arrival: faults.Arrival) -> Verdict:
        """Remember an accepted request; the answer may name what was made of it."""
        raise NotImplementedError

    def page(self) -> str:
        """What people would see, as an HTML page."""
        raise NotImplementedError

    def render_plain(self) -> str:
        """What people would see, as text."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """The base URL, without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self, *, port: int = 0) -> None:
        """Listen. After `stop`, start again with `port=standin.port` to come back at the same address."""
        app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_get("/", self._show)
        app.router.add_post(self.post_path, self._receive)
        # A handler goes on when its client leaves: what has arrived counts, as at the real services.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, reuse_address=True)
        await site.start()
        self.port = runner.addresses[0][1]
        self._runner = runner
        self._give_back()

    async def stop(self) -> None:
        """Stop listening: connections are refused from now on. What was seen stays, and so does the address."""
        await self._stop_listening()
        if self._kept is None:
            # Bound and not listening: it refuses, and no other program is given the port meanwhile.
            self._kept = socket.socket()
            self._kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._kept.bind(("127.0.0.1", self.port))

    async def close(self) -> None:
        """Stop for good."""
        await self._stop_listening()
        self._give_back()

    async def _stop_listening(self) -> None:
        if self._runner is not None:
            self._script.release()
            await self._runner.cleanup()
            self._runner = None

    def _give_back(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def script(
        self,
        fault: faults.Fault,
        *,
        times: int | None = 1,
        where: Callable[[faults.Arrival], bool] = lambda _: True,
    ) -> None:
        """Let the next `times` requests for which `where` holds meet this fault; None: all, until cleared."""
        self._script.add(fault=fault, times=times, where=where)

    def clear_faults(self) -> None:
        """Work as usual again. Requests that hang are closed without an answer."""
        self._script.clear()

    async def wait_for(self, predicate: Callable[[Self], T], *, timeout_seconds: float) -> T:
        """Wait until the predicate of this stand-in is true, and return its value.

        Raises:
            TimeoutError: with everything that was seen until then.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (found := predicate(self)):
                    await self._changed.wait()
                return found
        except TimeoutError:
            raise TimeoutError(
                f"not seen within {timeout_seconds} s. {self.summary()}\n{self.render_plain()}"
            ) from None

    def summary(self) -> str:
        statuses = [request.status for request in self.requests]
        return f"{type(self).__name__} at {self.url} answered {len(statuses)} requests: {statuses}"

    async def _show(self, _: web.Request) -> web.Response:
        return web.Response(text=self.page(), content_type="text/html", headers={"Cache-Control": "no-store"})

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        arrival = faults.Arrival(
            path=request.path,
            headers=request.headers,
            body=body,
            at_seconds=time.monotonic(),
            at_unix_seconds=time.time(),
        )
        fault = self._script.take(arrival)
        verdict: Verdict | None = None
        if fault is None or fault.recorded:
            verdict = self.judge(arrival)
            if verdict.status < 300:
                verdict = self.record(arrival)
        self.requests.append(_seen(arrival, verdict, fault))
        self.notify()
        if fault is not None:
            return await self._script.play(fault, request)
        assert verdict is not None, "no fault means a verdict"
        return _response(verdict)

    def notify(self) -> None:
        """Wake those who wait. It never awaits, so no cancellation can come between a change and its news."""
        self._changed.set()
        self._changed = asyncio.Event()


def _seen(arrival: faults.Arrival, verdict: Verdict | None, fault: faults.Fault | None) -> Request:
    if isinstance(fault, faults.Answer | faults.Drip):
        status, body = fault.status, fault.body
    elif fault is not None or verdict is None:
        status, body = None, ""
    else:
        status, body = verdict.status, verdict.body
    reasons = () if verdict is None else verdict.reasons
    return Request(arrival=arrival, status=status, body=body, reasons=reasons, fault=fault)


def _response(verdict: Verdict) -> web.Response:
    headers = {}
    if verdict.retry_after_seconds is not None:
        headers["Retry-After"] = str(verdict.retry_after_seconds)
    return web.Response(
        status=verdict.status, text=verdict.body, content_type=verdict.content_type, headers=headers
    )
