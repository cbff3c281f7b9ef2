"""Faults that a far end can have, as values: script them on either stand-in.

A fault says what happens to one request. `recorded` says whether the service took the message before it failed:
that is the difference between a lost message and a lost receipt, which a sender cannot tell apart.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A request as it came in, before anything was decided about it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at_seconds: float
    """Monotonic time, for intervals."""
    at_unix_seconds: float
    """Wall time, to compare with what other processes wrote down."""

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of its own instead of the service's: an error status, garbage, or a 200 that says it failed."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """The request is taken and never answered. Ends when the faults are cleared or the server stops."""

    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """The answer starts at once and then comes a byte at a time, so that a timeout on silence alone never ends it."""

    interval_seconds: float
    status: int = 200
    body: str = "x" * 1_000
    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """The connection is reset (TCP RST) instead of an answer."""

    recorded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """The connection is closed in good order, without an answer. With `recorded`, the receipt is lost."""

    recorded: bool = False


Fault = Answer | Hang | Drip | Reset | Close


def too_many_requests(*, retry_after_seconds: int | None = 1) -> Answer:
    headers = {} if retry_after_seconds is None else {"Retry-After": str(retry_after_seconds)}
    return Answer(status=429, body="rate_limited", headers=headers)


def server_error(status: int = 500, *, recorded: bool = False) -> Answer:
    return Answer(status=status, body=f"{status} from the stand-in", recorded=recorded)


def garbage(*, status: int = 202, recorded: bool = False) -> Answer:
    """A success whose body is no JSON at all, as a proxy's page is."""
    return Answer(
        status=status, body="<html>\x00not json", headers={"Content-Type": "text/html"}, recorded=recorded
    )


def error_in_200(error: str) -> Answer:
    """HTTP 200 with an error inside, as Slack's API methods answer."""
    return Answer(
        status=200,
        body=json.dumps({"ok": False, "error": error}),
        headers={"Content-Type": "application/json"},
    )


def lost_receipt() -> Close:
    return Close(recorded=True)


@dataclass(slots=True, kw_only=True)
class _Scripted:
    fault: Fault
    where: Callable[[Arrival], bool]
    left: int | None


class Script:
    """The faults still to come, first scripted first. A request takes the first one whose `where` holds for it."""

    def __init__(self) -> None:
        self._scripted: list[_Scripted] = []
        self._released = asyncio.Event()

    def add(self, *, fault: Fault, times: int | None, where: Callable[[Arrival], bool]) -> None:
        self._scripted.append(_Scripted(fault=fault, where=where, left=times))

    def clear(self) -> None:
        """Forget what is still to come, and end the requests that hang."""
        self._scripted.clear()
        self.release()

    def release(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    def take(self, arrival: Arrival) -> Fault | None:
        for scripted in self._scripted:
            if not scripted.where(arrival):
                continue
            if scripted.left is not None:
                scripted.left -= 1
                if scripted.left == 0:
                    self._scripted.remove(scripted)
            return scripted.fault
        return None

    async def play(self, fault: Fault, request: web.Request) -> web.StreamResponse:
        """Do to the request what the fault says."""
        match fault:
            case Answer():
                return web.Response(
                    status=fault.status, body=fault.body.encode(), headers=dict(fault.headers)
                )
            case Hang():
                await self._released.wait()
                _abort(request, reset=False)
            case Drip():
                return await self._drip(fault, request)
            case Reset() | Close():
                _abort(request, reset=isinstance(fault, Reset))
        return web.Response(status=500, text="never sent: the connection is gone")

    async def _drip(self, fault: Drip, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=fault.status)
        response.content_length = len(fault.body.encode())
        await response.prepare(request)
        released = self._released
        for byte in fault.body.encode():
            await response.write(bytes([byte]))
            try:
                await asyncio.wait_for(released.wait(), timeout=fault.interval_seconds)
            except TimeoutError:
                continue
            _abort(request, reset=False)
            break
        return response


def _abort(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        # Linger on with zero seconds is what makes the kernel send RST instead of FIN.
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    transport.abort()
