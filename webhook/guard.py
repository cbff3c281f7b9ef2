"""Who is let in: the token, the client's certificate where one is asked for, and what those are told who are not."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp import web

from webhook import answers, auth, logins

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)


class Guard:
    """Stands before all that changes something and before what is configured closed.

    Args:
        access: what is behind the token, and whose certificates count; asked at each request.
        failed: hears of every failed login.
    """

    def __init__(
        self,
        *,
        access: Callable[[], auth.Access],
        failed: Callable[[], object],
        failures: logins.Failures | None = None,
    ) -> None:
        self._access = access
        self._failed = failed
        self._failures = logins.Failures() if failures is None else failures

    def lets_in(self, request: web.BaseRequest) -> bool:
        """Whether it may change something. Nothing is counted."""
        access = self._access()
        return _changing_fault(request, access) is None and _has_token(request, access)

    def refused_change(self, request: web.BaseRequest) -> web.Response | None:
        """The answer for who may not change something, None for who may."""
        access = self._access()
        match _changing_fault(request, access):
            case "renewed":
                # The next connection is judged by the authorities of now; Alertmanager comes again at once.
                answer = answers.unavailable("the client authorities have changed; connect again")
                answer.force_close()
                return answer
            case "missing":
                return self._turned_away(
                    request, "no client certificate of an authority that is trusted here"
                )
        return None if _has_token(request, access) else self._turned_away(request, answers.WRONG_CREDENTIALS)

    def refused_look(
        self, request: web.BaseRequest, closed: Callable[[auth.Access], bool]
    ) -> web.Response | None:
        """The answer for who may not look at what may be closed, None for who may."""
        access = self._access()
        if not closed(access) or _has_token(request, access):
            return None
        return self._turned_away(request, answers.WRONG_CREDENTIALS)

    def _turned_away(self, request: web.BaseRequest, error: str) -> web.Response:
        self._failed()
        address = request.remote or "unknown"
        failure = self._failures.count(address)
        if failure.is_news:
            level = logging.WARNING if failure.wait_seconds else logging.INFO
            _log.log(
                level,
                "logins fail again and again, answering 429" if failure.wait_seconds else "a login failed",
                extra={"address": address, "path": request.path, "reason": error},
            )
        if failure.wait_seconds:
            return answers.too_many_logins(failure.wait_seconds)
        return answers.unauthorized(error)


def _has_token(request: web.BaseRequest, access: auth.Access) -> bool:
    return access.allows(request.headers.get("Authorization"))


def _changing_fault(request: web.BaseRequest, access: auth.Access) -> str | None:
    wanted = access.client_ca_digest
    if not wanted:
        return None
    transport = request.transport
    channel: ssl.SSLObject | None = transport.get_extra_info("ssl_object") if transport else None
    if channel is None or getattr(channel.context, "client_ca_digest", "") != wanted:
        return "renewed"
    return None if channel.getpeercert(binary_form=True) else "missing"
