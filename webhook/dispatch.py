"""Which handler answers a request, by its path; and what holds for every answer, whoever gives it (PRODUCT: HTTP).

In place of `aiohttp.web.Application`: its routing, middlewares and signals cost a request more than a small message's
decoding does.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import HttpVersion11, web

from webhook import answers, connections

HEADERS = {
    "Server": "phantommesh-alerts",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer."""

ANY = "/*"
"""At the end of a path: one more segment, whatever it is."""

_log = logging.getLogger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Expect = Callable[[web.BaseRequest], Awaitable[None]]


class Dispatch:
    """Answers every request.

    Args:
        handlers: by path.
        expects: what to do about `Expect`, by path; elsewhere a client that asks whether to send its body may.
    """

    def __init__(self, handlers: Mapping[str, Handler], expects: Mapping[str, Expect]) -> None:
        self._handlers = handlers
        self._expects = expects

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer, with the headers of every answer; the connection notes that it is being made."""
        connection = request.transport.get_protocol() if request.transport else None
        assert connection is None or isinstance(connection, connections.Connection)
        if connection is not None:
            connection.begin()
        try:
            response = await self._answer(request)
        finally:
            if connection is not None:
                connection.end()
        response.headers.update(HEADERS)
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            path = request.rel_url.path_safe
            if request.headers.get("Expect"):
                await self._expects.get(path, _continue)(request)
            return await self._handler(path)(request)
        except web.HTTPException as refusal:
            return answers.refusal(refusal.status, refusal.reason)
        except ConnectionError:
            raise  # the client left; aiohttp knows
        except Exception:  # noqa: BLE001 - the edge of the process
            # An answer in place of a torn connection, and the trace in the log.
            _log.exception("failed to answer", extra={"method": request.method, "path": request.path})
            return answers.refusal(500, "internal error; the log has more")

    def _handler(self, path: str) -> Handler:
        found = self._handlers.get(path)
        if found is None:
            folder, _, last = path.rpartition("/")
            found = self._handlers.get(folder + ANY) if last else None
        return found or _nothing


def last_segment(request: web.BaseRequest) -> str:
    """What stands in the place of `ANY`, decoded."""
    last = request.rel_url.path_safe.rpartition("/")[2]
    return last.replace("%2F", "/").replace("%25", "%")  # what `path_safe` leaves


def only_looked_at(handler: Handler) -> Handler:
    """The handler, for GET and HEAD alone."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return answers.wrong_method("GET", "HEAD")
        return await handler(request)

    return handle


async def _nothing(request: web.BaseRequest) -> web.StreamResponse:
    return answers.refusal(404, f"there is nothing at {request.path}")


async def _continue(request: web.BaseRequest) -> None:
    if request.version < HttpVersion11:
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
