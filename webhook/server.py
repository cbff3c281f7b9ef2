"""The HTTP face: what is found where, and what holds for every answer (PRODUCT: HTTP)."""

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime

from aiohttp import http, web

from webhook import answers, auth, dispatch, endpoint, guard, health, pages, receive, replaying
from webhook.store import contract

MAX_BODY_BYTES = 16 * 1024 * 1024
_IDLE_SECONDS = 330.0  # Alertmanager keeps an idle connection for 5 minutes; longer, so that it closes first
_LINGERING_SECONDS = 2.0  # for the rest of a body that was refused, so that the client reads the answer


def build(
    *,
    store: contract.Store,
    wake: Callable[[Collection[str]], object],
    past_store: receive.PastStore,
    reload: health.Reload,
    readiness: health.Readiness,
    entrance: guard.Guard,
    view: Callable[[], pages.View],
    metrics: dispatch.Handler,
    answered: Callable[[receive.Answered], object],
    clock: Callable[[], datetime],
    max_body_bytes: int = MAX_BODY_BYTES,
    proof: receive.Proof | None = None,
) -> dispatch.Dispatch:
    """All that answers, ready to be served.

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
    looks: dict[str, dispatch.Handler] = {
        "/-/healthy": health.healthy,
        "/-/ready": health.ready(readiness),
        "/metrics": _closed_if(entrance, lambda asked: asked.metrics_closed, metrics),
        "/api/v1/dead-letters": _closed_if(
            entrance, lambda asked: asked.pages_closed, replaying.listing(store)
        ),
    } | {
        path: _closed_if(entrance, lambda asked: asked.pages_closed, page)
        for path, page in pages.routes(store=store, view=view, clock=clock).items()
    }
    changes: dict[str, dispatch.Handler] = {
        "/webhook/alertmanager": webhook.answer,
        "/-/reload": _for_changes(entrance, _reloads(health.reloading(reload))),
        "/api/v1/dead-letters/replay": replaying.replaying(
            store=store, entrance=entrance, wake=wake, clock=clock
        ),
    }
    return dispatch.Dispatch(
        {path: dispatch.only_looked_at(handler) for path, handler in looks.items()} | changes,
        expects={"/webhook/alertmanager": webhook.expect},
    )


def runner(face: dispatch.Dispatch, *, answer_seconds: float) -> web.ServerRunner:
    """What serves it. In the end, requests under way have `answer_seconds` to be answered."""
    return web.ServerRunner(web.Server(face.answer), shutdown_timeout=answer_seconds)


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
        response.headers.update(dispatch.HEADERS)
        response.force_close()
        return response


def _for_changes(entrance: guard.Guard, handler: dispatch.Handler) -> dispatch.Handler:
    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        return entrance.refused_change(request) or await handler(request)

    return guarded


def _closed_if(
    entrance: guard.Guard, closed: Callable[[auth.Access], bool], handler: dispatch.Handler
) -> dispatch.Handler:
    async def guarded(request: web.BaseRequest) -> web.StreamResponse:
        return entrance.refused_look(request, closed) or await handler(request)

    return guarded


def _reloads(handler: dispatch.Handler) -> dispatch.Handler:
    async def only_posted(request: web.BaseRequest) -> web.StreamResponse:
        if request.method not in ("POST", "PUT"):
            return answers.wrong_method("POST", "PUT")
        return await handler(request)

    return only_posted
