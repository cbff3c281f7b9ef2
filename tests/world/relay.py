"""A stretch of network between two programs that can be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.world import ports


class Relay:
    """Passes on what arrives at its own port, until it is cut."""

    def __init__(self, to_port: int) -> None:
        self.port = ports.free()
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def mend(self) -> None:
        """Let connections through."""
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End every connection, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to_port)
        both = {writer, there}
        self._open |= both
        try:
            await asyncio.gather(_copy(reader, there), _copy(there_reader, writer))
        except OSError:
            return  # cut: neither side hears anything more
        finally:
            self._open -= both
            for one in both:
                one.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while piece := await source.read(1 << 16):
        sink.write(piece)
        await sink.drain()
    sink.close()


@asynccontextmanager
async def run(to_port: int) -> AsyncIterator[Relay]:
    """A relay that lets everything through, until the end of the context."""
    relay = Relay(to_port)
    await relay.mend()
    try:
        yield relay
    finally:
        await relay.cut()
