"""The client for PagerDuty's Events API: pdpyras, made to do one attempt a call. A change of client ends here.

pdpyras is synchronous, retries by itself (a 429 for ever, its Retry-After ignored), follows redirects, and has
exception classes that tell a 500 from a 502 and little else (its 5.4.1; measured). So a call is made on a thread of
a small pool of its own, and the answer is taken from under it: its status decides, in `pagerduty`.
"""

import asyncio
import functools
import socket
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NoReturn

import requests
import requests.adapters
import urllib3
import urllib3.connection

from routing.destinations import contract, threads

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message='.*The package "pdpyras" is deprecated')
    import pdpyras

DEADLINE_SECONDS = 4.8
"""For all of one attempt, name resolution included. It ends inside the caller's 5 s."""

_CONNECT_SECONDS = 2.0
_READ_SECONDS = 4.0
_ANSWER_BYTES = 64 * 1024
_THREADS = 2
"""So that a page does not wait behind a request that hangs."""

_UNUSABLE: tuple[type[BaseException], ...] = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidHeader,
    requests.exceptions.URLRequired,
    urllib3.exceptions.LocationValueError,
)
"""The configured address can never be asked."""

_UNWRITABLE: tuple[type[BaseException], ...] = (requests.exceptions.InvalidJSONError,)
"""The event cannot be put on the wire."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        retry_after: the header's value; "" where there is none.
        body: its first 64 KiB.
    """

    status: int
    retry_after: str
    body: str


class Client:
    """Sends events.

    Args:
        name: for the names of its threads.
        events_url: the base without a path.
    """

    def __init__(self, *, name: str, events_url: str) -> None:
        self._events_url = events_url.rstrip("/")
        self._threads = threads.Threads(name, _THREADS)
        self._surroundings: dict[str, Mapping[str, Any]] = {}

    async def enqueue(self, event: Mapping[str, Any], *, routing_key: str) -> Answer:
        """Send one event, once. `event` holds the arguments of pdpyras' `send_event`, the key is a secret.

        Cancelled or too late, it never goes out after this has returned.

        Raises:
            contract.Failure: no answer came.
        """
        attempt = _Attempt()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._threads.run(functools.partial(self._send, attempt, event, routing_key))
        except TimeoutError:
            text = f"PagerDuty did not answer within {DEADLINE_SECONDS} s"
            raise contract.Passing(text, outcome_known=not attempt.connected) from None
        except _Unanswered as unanswered:
            raise failure(unanswered.cause, connected=attempt.connected) from None
        finally:
            # A thread cannot be cancelled. What it has not sent by now could overtake newer news: it must not go.
            attempt.call_off()

    async def rehearse(self, event: Mapping[str, Any], *, routing_key: str) -> contract.Request:
        """The request that `enqueue` would make; nothing is sent."""
        return await asyncio.to_thread(self._prepare, event, routing_key)

    def _prepare(self, event: Mapping[str, Any], routing_key: str) -> contract.Request:
        with _Rehearsal(routing_key, self._surroundings) as session:
            session.url = self._events_url
            try:
                session.send_event(**event)
            except _Prepared as prepared:
                return prepared.request
        raise AssertionError("the session raises what it would send")

    def _send(self, attempt: "_Attempt", event: Mapping[str, Any], routing_key: str) -> Answer:
        """Make the attempt, on a thread of the pool."""
        _under_way.set(attempt)
        # requests does not promise that one session serves several threads, so each attempt has its own.
        with _Session(routing_key, self._surroundings) as session:
            session.url = self._events_url
            try:
                session.send_event(**event)
            except _Answered as answered:
                return answered.answer
            except pdpyras.PDClientError as error:
                raise _Unanswered(error.__cause__ or error) from None
            except OSError as error:
                raise _Unanswered(error) from None
        raise AssertionError("the session raises whatever it hears")


def failure(cause: BaseException, *, connected: bool) -> contract.Failure:
    """What it means that no answer came.

    Args:
        cause: what requests or urllib3 raised.
        connected: whether the event may have gone out.
    """
    kind = type(cause).__name__
    if isinstance(cause, _UNUSABLE) and not connected:
        return contract.Broken(f"PagerDuty's address cannot be used ({kind})")
    if isinstance(cause, _UNWRITABLE):
        return contract.Refused(f"The event cannot be written as JSON ({kind})")
    why = f"{kind}, its certificate is not to be trusted" if _is_about_certificate(cause) else kind
    return contract.Passing(f"PagerDuty could not be reached ({why})", outcome_known=not connected)


def _is_about_certificate(cause: BaseException | None) -> bool:
    """Whether this, or what it wraps, is a certificate that was refused."""
    if isinstance(cause, requests.exceptions.SSLError | urllib3.exceptions.MaxRetryError):
        wrapped = cause.args[0] if cause.args else None
        reason = getattr(wrapped, "reason", wrapped)
        return isinstance(reason, BaseException) and "CERTIFICATE_VERIFY_FAILED" in str(reason)
    return False


class _Attempt:
    """One attempt, which the event loop can call off while a thread makes it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._called_off = False

    @property
    def connected(self) -> bool:
        """Whether the event may have gone out."""
        with self._lock:
            return self._socket is not None

    def proceed(self, connection: socket.socket) -> None:
        """Note the connection, in the thread, before anything is sent through it.

        Raises:
            OSError: the attempt was called off.
        """
        with self._lock:
            if self._called_off:
                raise ConnectionAbortedError("called off before it was sent")
            self._socket = connection

    def call_off(self) -> None:
        """Send nothing from now on, and end a wait for the answer at once. Harmless when it is over."""
        with self._lock:
            self._called_off = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)


_under_way: ContextVar[_Attempt] = ContextVar("_under_way")


class _Connection(urllib3.connection.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _under_way.get().proceed(self.sock)


class _SecureConnection(urllib3.connection.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _under_way.get().proceed(self.sock)


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class _Adapter(requests.adapters.HTTPAdapter):
    """Every connection, through a proxy or not, asks its attempt before it sends."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> urllib3.ProxyManager:
        manager: urllib3.ProxyManager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Answered(Exception):
    """An answer came. Raised past pdpyras, which would retry some of them and misname others."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class _Unanswered(Exception):
    """No answer came."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause


class _Session(pdpyras.EventsAPISession):  # type: ignore[misc] # pdpyras has no types
    """One attempt a call.

    Args:
        routing_key: a secret.
        surroundings: what the environment said, by address; filled here.
    """

    max_network_attempts = 0
    timeout = (_CONNECT_SECONDS, _READ_SECONDS)

    def __init__(self, routing_key: str, surroundings: dict[str, Mapping[str, Any]]) -> None:
        super().__init__(routing_key)
        self._surroundings = surroundings
        self.mount("http://", _Adapter())
        self.mount("https://", _Adapter())
        # A kept connection may be closed by the far end just as an event goes out. One a page is cheap enough.
        self.headers.update({"Connection": "close", "Accept-Encoding": "identity"})

    def merge_environment_settings(self, url: str, *others: Any) -> dict[str, Any]:
        """What the environment says of proxies and certificates. To ask it is a quarter of the work of an attempt."""
        if url not in self._surroundings:
            self._surroundings[url] = super().merge_environment_settings(url, *others)
        return dict(self._surroundings[url])

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere: a redirect is not followed."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> NoReturn:
        """Send it, read no more of the answer than is worth reading, and raise what came.

        Raises:
            _Answered: whatever the answer.
        """
        with super().send(request, **(kwargs | {"stream": True})) as response:
            body: bytes = response.raw.read(_ANSWER_BYTES)
            raise _Answered(
                Answer(
                    status=response.status_code,
                    retry_after=response.headers.get("Retry-After", ""),
                    body=body.decode(errors="replace"),
                )
            )


class _Prepared(Exception):
    """A request stands ready. Raised past pdpyras in place of sending it."""

    def __init__(self, request: contract.Request) -> None:
        super().__init__(request.url)
        self.request = request


class _Rehearsal(_Session):
    """Sends nothing."""

    def send(self, request: requests.PreparedRequest, **_kwargs: Any) -> NoReturn:
        """Raise what would be sent.

        Raises:
            _Prepared: always.
        """
        body = request.body or ""
        raise _Prepared(
            contract.Request(
                method=request.method or "",
                url=request.url or "",
                headers=dict(request.headers),
                body=body if isinstance(body, str) else body.decode(errors="replace"),
            )
        )
