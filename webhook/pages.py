"""The pages that links lead to: what is open and who was told, one incident, a runbook."""

import asyncio
import base64
import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib import resources

import jinja2
import markupsafe
from aiohttp import web

from routing import ledger, message, model, sources, wording
from webhook import dispatch, markdown, resync, shown
from webhook.store import contract

_MOST_OPEN = 200
_MOST_CLOSED = 20
_STORE_SECONDS = 5.0
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_SIMILAR = 0.5

_STYLE = resources.files("webhook").joinpath("templates/style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A destination's health.

    Attributes:
        waiting: how many incidents are still to be told there.
        paused_seconds: until when nothing goes there, as seconds from now; 0 when it may.
        behind: whether a summary is to replace what waits of P2 and P3.
    """

    waiting: int
    failing: bool
    suspended: bool
    paused_seconds: float = 0.0
    behind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the pages need of the configuration and of what runs.

    Attributes:
        runbooks: Markdown by name.
        surroundings: where links lead.
        lanes: by destination.
        expected: which Watchdogs should be heard.
        listening_since: from when on they could be; None for "for long".
        alertmanagers: those that are asked what is true.
    """

    runbooks: message.Runbooks
    surroundings: message.Surroundings
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    expected: sources.Policy = field(default_factory=sources.Policy)
    listening_since: datetime | None = None
    alertmanagers: Sequence[resync.Seen] = ()


def routes(
    *, store: contract.Store, view: Callable[[], View], clock: Callable[[], datetime]
) -> Mapping[str, dispatch.Handler]:
    """The pages' handlers by their path."""
    pages = _Pages(store, view, clock)
    return {
        "/": pages.guarded(pages.overview),
        f"/incidents{dispatch.ANY}": pages.guarded(pages.incident),
        f"/runbooks{dispatch.ANY}": pages.runbook,
    }


class _Pages:
    """What may be large is made on a thread: the incidents of a storm take seconds, and nobody is paged meanwhile."""

    def __init__(
        self, store: contract.Store, view: Callable[[], View], clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._view = view
        self._clock = clock
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("webhook"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["style"] = markupsafe.Markup(_STYLE)  # noqa: S704 - our own file
        self._templates.filters |= {
            "plural": wording.plural,
            "clean": wording.line,
            "command": markdown.command,
        }

    def _render(self, template: str, *, status: int = 200, **shows: object) -> web.Response:
        now = self._clock()
        text = self._templates.get_template(template).render(
            now=now,
            ago=lambda at: wording.duration(now - at),
            instant=wording.instant,
            duration=wording.duration,
            **shows,
        )
        return web.Response(
            status=status, text=text, content_type="text/html", headers={"Content-Security-Policy": _POLICY}
        )

    def _problem(self, status: int, title: str, text: str, suggestions: Mapping[str, str]) -> web.Response:
        return self._render("problem.html", status=status, title=title, text=text, suggestions=suggestions)

    def guarded(self, page: dispatch.Handler) -> dispatch.Handler:
        """The page, or one that says why there is none while the store does not answer."""

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            try:
                async with asyncio.timeout(_STORE_SECONDS):
                    return await page(request)
            except (ledger.Unavailable, TimeoutError) as error:
                response = self._problem(
                    503,
                    "The record cannot be read now",
                    "The incidents are not lost. Messages are answered with 503 until they can be recorded, and "
                    f"Alertmanager keeps them and comes again. The reason: {error or 'it takes too long'}.",
                    {"Try again": "/"},
                )
                response.headers["Retry-After"] = "2"
                return response

        return handler

    async def overview(self, _request: web.BaseRequest) -> web.Response:
        """What is open, what was closed lately, and who was told."""
        view = self._view()
        is_open = await self._store.open_incidents(_MOST_OPEN)
        closed = await self._store.recent_incidents(_MOST_CLOSED)
        counts = await self._store.counts()
        now = self._clock()
        judged = sources.judge(
            view.expected,
            await self._store.sources(),
            since=view.listening_since or _LONG_AGO,
            now=now,
        )
        return await asyncio.to_thread(
            lambda: self._render(
                "overview.html",
                open=_cards(is_open, view),
                closed=_cards(closed, view),
                counts={tier.name: count for tier, count in sorted(counts.open_incidents.items()) if count},
                sources=judged,
                lanes=view.lanes,
                paused_until=lambda lane: now + timedelta(seconds=lane.paused_seconds),
                alertmanagers=view.alertmanagers,
            )
        )

    async def incident(self, request: web.BaseRequest) -> web.Response:
        """One incident: what to do first, its alerts, who was told, its history."""
        view = self._view()
        asked = dispatch.last_segment(request)
        situation = (await self._store.situations([asked])).get(asked)
        if situation is None:
            return self._problem(
                404,
                "No such incident",
                "It is not on record: the link may be cut, or the incident closed so long ago that it is not kept.",
                {"What is open now": "/"},
            )
        episodes = await self._store.episodes(asked)
        return await asyncio.to_thread(
            lambda: self._render("incident.html", card=_card(situation, view), episodes=episodes)
        )

    async def runbook(self, request: web.BaseRequest) -> web.Response:
        """A runbook; `?namespace=...&service=...` fills its commands. It needs no store."""
        pages = self._view().runbooks
        name = dispatch.last_segment(request)
        if name not in pages:
            near = difflib.get_close_matches(name, pages, n=5, cutoff=_SIMILAR) or sorted(pages)
            return self._problem(
                404,
                "No such runbook",
                "There is no runbook of this name. These are here:",
                {one: f"/runbooks/{one}" for one in near} | {"What is open now": "/"},
            )
        labels = dict(request.query)
        page = markdown.render(pages[name], labels=labels, names=pages.keys())
        return self._render(
            "runbook.html",
            title=page.title or name,
            body=markupsafe.Markup(page.html),  # noqa: S704 - rendered without the author's HTML
            labels=labels,
        )


def _card(situation: model.Situation, view: View) -> shown.Card:
    return shown.card(situation, surroundings=view.surroundings, pages=view.runbooks)


def _cards(situations: Iterable[model.Situation], view: View) -> list[shown.Card]:
    return [_card(situation, view) for situation in situations]
