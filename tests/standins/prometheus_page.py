"""Where links to Prometheus lead: its own page, or one made here where its build has none.

Debian builds Prometheus without its pages and answers their addresses with an error. A message's graph link should
show something all the same, so this asks the API behind it: the same series, from the same Prometheus.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.standins import page

_SHOWN_SECONDS = 900
_STEP_SECONDS = 5
_TIMEOUT = aiohttp.ClientTimeout(total=5)
_WIDTH, _HEIGHT = 860, 120

_STYLE = """
header { background: #e6522c; color: #fff; padding: 14px 24px; display: flex; gap: 12px; align-items: baseline; }
header .soft { color: #fde3db; }
main { max-width: 920px; margin: 0 auto; padding: 20px 24px 48px; }
h2 { font-size: 16px; margin: 20px 0 6px; }
svg { width: 100%; height: 120px; border: 1px solid var(--line); border-radius: 4px; }
polyline { fill: none; stroke: var(--red); stroke-width: 2; vector-effect: non-scaling-stroke; }
.axis { display: flex; justify-content: space-between; }
.firing { color: var(--red); font-weight: 700; }
.pending { color: var(--amber); font-weight: 700; }
"""


@asynccontextmanager
async def serve(prometheus_url: str) -> AsyncIterator[str]:
    """Answer the addresses of Prometheus' pages. Yields the base URL, without a path."""
    shown = _Shown(prometheus_url)
    app = web.Application()
    app.router.add_get("/{path:.*}", shown.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class _Shown:
    def __init__(self, prometheus_url: str) -> None:
        self._url = prometheus_url

    async def answer(self, request: web.Request) -> web.StreamResponse:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            own = f"{self._url}{request.path_qs}"
            async with session.get(own) as there:
                if there.ok:
                    raise web.HTTPFound(own)
            expression = request.query.get("g0.expr", "")
            body = await (self._graph(session, expression) if expression else self._alerts(session))
        header = (
            '<header><h1>Prometheus</h1><span class="soft">this build has no pages of its own</span></header>'
        )
        text = page.frame(title="Prometheus", style=_STYLE, body=f"{header}<main>{body}</main>")
        return web.Response(text=text, content_type="text/html")

    async def _graph(self, session: aiohttp.ClientSession, expression: str) -> str:
        now = time.time()
        found = await self._api(
            session,
            "query_range",
            query=expression,
            start=str(now - _SHOWN_SECONDS),
            end=str(now),
            step=str(_STEP_SECONDS),
        )
        series = found["result"]
        shown = "".join(_series(one, now) for one in series) or "<p>No series in the last 15 minutes.</p>"
        return f"<h2>The last 15 minutes of</h2><pre>{page.escape(expression)}</pre>{shown}"

    async def _alerts(self, session: aiohttp.ClientSession) -> str:
        alerts: Sequence[Mapping[str, Any]] = (await self._api(session, "alerts"))["alerts"]
        return "".join(
            f'<h2>{page.escape(one["labels"]["alertname"])} <span class="{page.escape(one["state"])}">'
            f"{page.escape(one['state'])}</span></h2><p>{page.escape(one['annotations'].get('summary', ''))}</p>"
            f"<pre>{page.escape(_labels(one['labels']))}</pre>"
            for one in sorted(alerts, key=lambda one: str(one["labels"].get("priority", "")))
        )

    async def _api(self, session: aiohttp.ClientSession, what: str, **params: str) -> Any:
        async with session.get(f"{self._url}/api/v1/{what}", params=params) as answer:
            said = await answer.json()
            if said["status"] != "success":
                raise web.HTTPBadRequest(text=f"Prometheus says: {said['error']}")
            return said["data"]


def _series(one: Mapping[str, Any], now: float) -> str:
    values = [(float(at), float(value)) for at, value in one["values"]]
    top = max(1.0, *(value for _, value in values))
    points = " ".join(
        f"{(1 - (now - at) / _SHOWN_SECONDS) * _WIDTH:.1f},{_HEIGHT - 10 - value / top * (_HEIGHT - 20):.1f}"
        for at, value in values
    )
    return (
        f"<pre>{page.escape(_labels(one['metric']))} = {values[-1][1]:g}</pre>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="from 0 to {top:g}"><polyline points="{points}"/></svg>'
        '<p class="axis soft"><span>15 minutes ago</span><span>now</span></p>'
    )


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
