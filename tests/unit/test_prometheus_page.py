"""Links to Prometheus: to its own page where it has one, else to one that is made from its API."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from tests.standins import prometheus_page

SERIES = {
    "resultType": "matrix",
    "result": [{"metric": {"service": "<b>redis"}, "values": [[1_795_478_400, "2"], [1_795_478_405, "3"]]}],
}
ALERTS = {"alerts": [{"labels": {"alertname": "ServiceDown"}, "annotations": {}, "state": "firing"}]}


@asynccontextmanager
async def prometheus(*, has_pages: bool) -> AsyncIterator[str]:
    async def graph(_: web.Request) -> web.Response:
        return web.Response(text="its own page") if has_pages else web.Response(status=404)

    async def query_range(request: web.Request) -> web.Response:
        if request.query["query"] != "up":
            return web.json_response({"status": "error", "error": "parse error"}, status=400)
        return web.json_response({"status": "success", "data": SERIES})

    async def alerts(_: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": ALERTS})

    app = web.Application()
    app.router.add_get("/graph", graph)
    app.router.add_get("/api/v1/query_range", query_range)
    app.router.add_get("/api/v1/alerts", alerts)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with prometheus_page.serve(f"http://127.0.0.1:{runner.addresses[0][1]}") as url:
            yield url
    finally:
        await runner.cleanup()


async def get(url: str, params: Mapping[str, Any] | None = None) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, params=params) as answer:
        return answer.status, await answer.text()


async def test_its_own_page_is_shown_where_it_has_one() -> None:
    async with prometheus(has_pages=True) as url:
        assert await get(f"{url}/graph", {"g0.expr": "up"}) == (200, "its own page")


async def test_without_pages_the_expression_and_its_series_are_shown() -> None:
    async with prometheus(has_pages=False) as url:
        status, page = await get(f"{url}/graph", {"g0.expr": "up"})
    assert status == 200
    assert "<pre>up</pre>" in page
    assert "{service=&quot;&lt;b&gt;redis&quot;} = 3" in page


async def test_an_expression_that_prometheus_refuses_is_no_success() -> None:
    async with prometheus(has_pages=False) as url:
        assert await get(f"{url}/graph", {"g0.expr": "up("}) == (400, "Prometheus says: parse error")


async def test_without_pages_the_alerts_are_listed_with_their_state() -> None:
    async with prometheus(has_pages=False) as url:
        _, page = await get(f"{url}/alerts")
    assert 'ServiceDown <span class="firing">firing</span>' in page
