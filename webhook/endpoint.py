"""`POST /webhook/alertmanager`: each answer of the contract (PRODUCT: HTTP)."""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from aiohttp import web

from routing import ledger
from webhook import answers, faults, guard, receive

READ_SECONDS = 10.0
"""For a whole body. Alertmanager gives a flush no less, and nobody may hold a connection for ever."""

_BODIES_AT_ONCE = 4
"""So many bodies of the largest size may be in memory; what comes beyond that is asked to come again."""

_CLIENT_LEFT = 499  # for the count only: nobody is there to be answered

_log = logging.getLogger(__name__)


class Endpoint:
    """Takes messages in. What is transient is answered 503 and nothing else: only that is tried again at once."""

    def __init__(
        self,
        *,
        entrance: guard.Guard,
        intake: receive.Intake,
        answered: Callable[[receive.Answered], object],
        max_body_bytes: int,
    ) -> None:
        self._entrance = entrance
        self._intake = intake
        self._answered = answered
        self._max_body_bytes = max_body_bytes
        self._free_bytes = max_body_bytes * _BODIES_AT_ONCE
        self._in_trouble = False

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer a request, and tell of the answer."""
        began = time.monotonic()
        response = await self._answer(request)
        self._answered(receive.Answered(status=response.status, seconds=time.monotonic() - began))
        return response

    async def expect(self, request: web.BaseRequest) -> None:
        """Let a cautious client (`Expect: 100-continue`) send its body only if it will be read."""
        # The answer itself is left to the handler, which comes next and sees the same.
        if self._entrance.lets_in(request) and self._misfit(request) is None:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if refused := self._entrance.refused_change(request) or self._misfit(request):
            return refused
        body = bytearray()
        try:
            if refused := await self._read(request, body):
                return refused
            return await self._record(bytes(body))
        finally:
            self._free_bytes += len(body)

    async def _record(self, body: bytes) -> web.Response:
        try:
            changed = await self._intake.receive(body)
        except faults.Malformed as fault:
            return answers.refusal(400, fault.error, pointer=fault.pointer)
        except ledger.Unavailable as error:
            # Alertmanager comes again several times a second, so the first of them says it for all.
            level = logging.DEBUG if self._in_trouble else logging.WARNING
            self._in_trouble = True
            _log.log(level, "messages cannot be recorded", extra={"error": str(error)})
        except Exception:  # noqa: BLE001 - the edge of the process
            # Whatever went wrong, Alertmanager must keep the message and come again.
            _log.exception("could not record a message")
        else:
            if self._in_trouble:
                self._in_trouble = False
                _log.info("messages are recorded again")
            return answers.json(msgspec.json.encode({"changed": changed}))
        return answers.unavailable("it cannot be recorded now")

    def _misfit(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to a head that announces what cannot be a message."""
        if request.method != "POST":
            return answers.wrong_method("POST")
        if request.content_type != "application/json":
            return answers.refusal(415, "the Content-Type must be application/json")
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            return answers.refusal(415, "the body must come as it is, without a Content-Encoding")
        if (request.content_length or 0) > self._max_body_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> web.Response:
        return answers.refusal(413, f"the body is larger than {self._max_body_bytes} bytes")

    async def _read(self, request: web.BaseRequest, body: bytearray) -> web.Response | None:
        """Read into `body`, out of the free bytes; returns the answer if that must end early."""
        try:
            if request.content.is_eof():  # it came with its head, and there is nothing to wait for
                return self._take(request.content.read_nowait(), body)
            async with asyncio.timeout(READ_SECONDS):
                async for chunk in request.content.iter_any():
                    if refused := self._take(chunk, body):
                        return refused
        except TimeoutError:
            return answers.unavailable(f"the body did not come within {READ_SECONDS:g} s")
        except ConnectionError:
            return answers.refusal(_CLIENT_LEFT, "the client left before its body was here")
        except web.RequestPayloadError:
            return answers.refusal(400, "the body's encoding is broken")
        return None

    def _take(self, chunk: bytes, body: bytearray) -> web.Response | None:
        self._free_bytes -= len(chunk)
        body += chunk
        if len(body) > self._max_body_bytes:
            return self._too_large()
        if self._free_bytes < 0:
            return answers.unavailable("too many messages at once")
        return None
