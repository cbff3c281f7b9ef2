"""The HTTP face: what is found where, and what holds for every answer (PRODUCT: HTTP)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime

from aiohttp import http, web

from webhook import answers, auth, connections, endpoint, guard, health, pages, receive, replaying
from webhook.store import contract

MAX_BODY_BYTES = 16 * 1024 * 1024
_IDLE_SECONDS = 330.0  # Alertmanager keeps an idle connection for 5 minutes; longer, so that it closes first
_LINGERING_SECONDS = 2.0  # for the rest of a body that was refused, so that the client reads the answer

_HEADERS = {
    "Server": "phantommesh-alerts",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(
    *,
    store: contract.Store,
    wake: Callable[[Collection[str]], object],
    past_store: receive.PastStore,
    reload: health.Reload,
    readiness: health.Readiness,
    entrance: guard.Guard,
    view: Callable[[], pages.View],
    metrics: Handler,
    answered: Callable[[receive.Answered], object],
    clock: Callable[[], datetime],
    max_body_bytes: int = MAX_BODY_BYTES,
    proof: receive.Proof | None = None,
) -> web.Application:
    """The application, ready to be served.

    Args:
        store: where messages go, and what the pages show.
        wake: is given the ids of incidents that a message changed, after the commit.
        past_store: hears of messages that could not be recorded, and of those that were.
        reload: reads the configuration anew.
        readiness: whether the store takes commits.
        entrance: who may post, and who may look.
        view: what the pages need of the configuration; asked at each request.
        metrics: answers `GET /metrics` (`webhook.metrics.Metrics.handler`).
        answered: hears of every answer of the webhook.
        clock: the present, in UTC.
        max_body_bytes: of a message; more is answered with 413.
        proof: who can prove that an end is no blindness; None where nobody can.
    """
    intake = receive.Intake(
        store=store, wake=wake, past_store=past_store, noted=readiness.noted, clock=clock, proof=proof
    )
    webhook = endpoint.Endpoint(
        entrance=entrance, intake=intake, answered=answered, max_body_bytes=max_body_bytes
    )
    app = web.Application(middlewares=[connections.noted, _refuse_in_one_shape])
    app.on_response_prepare.append(_add_headers)
    routes = app.router
    routes.add_route("*", "/webhook/alertmanager", webhook.answer, expect_handler=webhook.expect)
    routes.add_get("/-/healthy", health.healthy)
    routes.add_get("/-/ready", health.ready(readiness))
    routes.add_route("*", "/-/reload", _for_changes(entrance, _reloads(health.reloading(reload))))
    routes.add_get("/metrics", _closed_if(entrance, lambda asked: asked.metrics_closed, metrics))
    listed = replaying.listing(store)
    routes.add_get("/api/v1/dead-letters", _closed_if(entrance, lambda asked: asked.pages_closed, listed))
    replay = replaying.replaying(store=store, entrance=entrance, wake=wake, clock=clock)
    routes.add_route("*", "/api/v1/dead-letters/replay", replay)
    for path, page in pages.routes(store=store, view=view, clock=clock).items():
        routes.add_get(path, _closed_if(entrance, lambda asked: asked.pages_closed, page))
    return app


def runner(application: web.Application, *, answer_seconds: float) -> web.AppRunner:
    """What serves it. In the end, requests under way have `answer_seconds` to be answered."""
    return web.AppRunner(application, shutdown_timeout=answer_seconds)


class Speaker(web.RequestHandler):
    """Speaks HTTP on one connection. What is no HTTP is a client's fault: answered like any other, and not logged."""

    __slots__ = ()

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # aiohttp says so of AppRunner's, which it hands on to here
            auto_decompress=False,  # aiohttp would answer what it cannot unpack itself, before the credentials
            keepalive_timeout=_IDLE_SECONDS,
            lingering_time=_LINGERING_SECONDS,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer where no handler can give one."""
        if not isinstance(exc, http.HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        response = answers.refusal(status, "this is not HTTP as it is understood here")
        response.headers.update(_HEADERS)
        response.force_close()
        return response


def _for_changes(entrance: guard.Guard, handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        return entrance.refused_change(request) or await handler(request)

    return guarded


def _closed_if(entrance: guard.Guard, closed: Callable[[auth.Access], bool], handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        return entrance.refused_look(request, closed) or await handler(request)

    return guarded


def _reloads(handler: Handler) -> Handler:
    async def only_posted(request: web.Request) -> web.StreamResponse:
        if request.method not in ("POST", "PUT"):
            return answers.wrong_method("POST", "PUT")
        return await handler(request)

    return only_posted


@web.middleware
async def _refuse_in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as wrong:
        return answers.wrong_method(*sorted(wrong.allowed_methods))
    except web.HTTPNotFound:
        return answers.refusal(404, f"there is nothing at {request.path}")
    except web.HTTPException:
        raise
    except ConnectionError:
        raise  # the client left; aiohttp knows
    except Exception:  # noqa: BLE001 - the edge of the process
        # An answer in place of a torn connection, and the trace in the log.
        _log.exception("failed to answer", extra={"method": request.method, "path": request.path})
        return answers.refusal(500, "internal error; the log has more")


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
