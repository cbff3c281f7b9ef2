"""Connections to this service: how many there may be, and how long each may keep us waiting.

A client that sends nothing, or a byte now and then, costs nobody else anything: what it began must be here within a
deadline, and when there are too many, those who have not asked for anything yet make room for a newcomer, the oldest
first, then those who ask for nothing any more. One that is being answered never does. A connection that is cut gets
no answer: there is nobody to read it.
"""

import asyncio
import enum
import resource
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

_MOST = 1_000
_HANDSHAKE_SECONDS = 10.0
_SHUTDOWN_SECONDS = 2.0
_LONGEST_TICK_SECONDS = 1.0
_BACKLOG = 512


class Cut(enum.StrEnum):
    """Why a connection was cut. The word labels the metric."""

    SLOW = "slow"
    CROWDED = "crowded"


class Phase(enum.IntEnum):
    """What a connection is doing. Numbers, because those are hashed quickly: each request asks three times."""

    ASKING = enum.auto()
    """It is open, or a request has begun, and its head is not here yet."""
    ANSWERING = enum.auto()
    """The head is here: the body is read, and the answer made."""
    IDLE = enum.auto()
    """A request was answered, and nothing came since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there may be, and the seconds that each phase may last."""

    connections: int
    asking_seconds: float = 10.0
    answering_seconds: float = 60.0
    idle_seconds: float = 360.0

    def seconds(self, phase: Phase) -> float:
        """How long a connection may be in a phase."""
        if phase is Phase.ASKING:
            return self.asking_seconds
        return self.answering_seconds if phase is Phase.ANSWERING else self.idle_seconds


def limits() -> Limits:
    """Those of this process: half of the files it may open, so that the other half is left to page people."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Limits(connections=_MOST if files == resource.RLIM_INFINITY else min(_MOST, files // 2))


class Connections:
    """All that are open. Used from one event loop only.

    Args:
        limits: see there.
        cut: hears of each connection that is cut.
    """

    def __init__(self, limits: Limits, *, cut: Callable[[Cut], object]) -> None:
        self._limits = limits
        self._seconds = {phase: limits.seconds(phase) for phase in Phase}
        self._time = asyncio.get_running_loop().time
        self._told_cut = cut
        # By phase, with their deadlines. A phase lasts equally long for all, so the first to begin ends first.
        self._open: dict[Phase, dict[Connection, float]] = {phase: {} for phase in Phase}
        self._ticking: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))

    def count(self, phase: Phase) -> int:
        """How many are in a phase."""
        return len(self._open[phase])

    def admit(self, connection: "Connection") -> bool:
        """Take a new connection in, at the cost of another if need be; False where none can make room."""
        if len(self) >= self._limits.connections:
            waiting = next(
                (these for phase in (Phase.ASKING, Phase.IDLE) if (these := self._open[phase])), None
            )
            self._told_cut(Cut.CROWDED)
            if waiting is None:
                return False
            next(iter(waiting)).cut()
        self.enter(connection, Phase.ASKING)
        return True

    def enter(self, connection: "Connection", phase: Phase) -> None:
        """The connection begins a phase."""
        self._open[connection.phase].pop(connection, None)
        connection.phase = phase
        self._open[phase][connection] = self._time() + self._seconds[phase]
        if self._ticking is None:
            self._tick()

    def forget(self, connection: "Connection") -> None:
        """The connection is closed."""
        self._open[connection.phase].pop(connection, None)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for these in self._open.values():
            while (first := next(iter(these), None)) is not None and these[first] <= loop.time():
                self._told_cut(Cut.SLOW)
                first.cut()
        pause = min(_LONGEST_TICK_SECONDS, self._limits.asking_seconds / 4)
        self._ticking = loop.call_later(pause, self._tick) if len(self) else None


class Connection(asyncio.Protocol):
    """One connection: hands everything on to the protocol that speaks HTTP, and notes what phase it is in."""

    def __init__(self, connections: Connections, speaker: Callable[[], asyncio.Protocol]) -> None:
        self.phase = Phase.ASKING
        self._connections = connections
        self._make_speaker = speaker
        self._speaker: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None

    def cut(self) -> None:
        """Close it at once, whatever is still to be sent."""
        self._connections.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def begin(self) -> None:
        """The head of a request is here."""
        if self._transport is not None:
            self._connections.enter(self, Phase.ANSWERING)

    def end(self) -> None:
        """The answer is made."""
        if self._transport is not None:
            self._connections.enter(self, Phase.IDLE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._connections.admit(self):
            transport.abort()
            return
        self._speaker = self._make_speaker()
        self._speaker.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._speaker is not None:
            if self.phase is Phase.IDLE:
                self._connections.enter(self, Phase.ASKING)
            self._speaker.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._speaker is None else self._speaker.eof_received()

    def pause_writing(self) -> None:
        if self._speaker is not None:
            self._speaker.pause_writing()

    def resume_writing(self) -> None:
        if self._speaker is not None:
            self._speaker.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.forget(self)
        if self._speaker is not None:
            self._speaker.connection_lost(exc)


class Site(web.BaseSite):
    """Where the service listens: aiohttp's TCPSite, with every connection among `connections`.

    Args:
        runner: set up.
        host: to listen on.
        port: 0 for any.
        connections: what counts and bounds them.
        speaker: makes the protocol that speaks HTTP on a connection.
        ssl_context: for TLS.
    """

    def __init__(
        self,
        runner: web.ServerRunner,
        host: str,
        port: int,
        *,
        connections: Connections,
        speaker: Callable[[web.Server], asyncio.Protocol],
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=_BACKLOG)
        self._host = host
        self._port = port
        self._connections = connections
        self._speaker = speaker

    @property
    def name(self) -> str:
        """The address as it was asked for."""
        return f"{'https' if self._ssl_context else 'http'}://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be listened on.
        """
        await super().start()
        server = self._runner.server
        assert server is not None, "the runner is set up first"
        tls = self._ssl_context is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._connections, lambda: self._speaker(server)),
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=_HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS if tls else None,
        )
