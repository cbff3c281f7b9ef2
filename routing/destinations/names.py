"""Host names to addresses, for aiohttp: its own resolver works on the threads that all share (see `threads`)."""

import functools
import socket

from aiohttp import abc

from routing.destinations import threads

_LOOKUPS = 2


class Resolver(abc.AbstractResolver):
    """Asks the system, as aiohttp's does, on threads of its own."""

    def __init__(self) -> None:
        self._threads = threads.Threads("names", _LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[abc.ResolveResult]:
        """The addresses of a host.

        Raises:
            OSError: there is none, or it cannot be found out now.
        """
        look_up = functools.partial(
            socket.getaddrinfo,
            host,
            port,
            type=socket.SOCK_STREAM,
            family=family,
            flags=socket.AI_ADDRCONFIG,
        )
        return [
            abc.ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=found,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for found, _, protocol, _, address in await self._threads.run(look_up)
        ]

    async def close(self) -> None:
        """Nothing is held: a lookup that hangs ends by itself."""
