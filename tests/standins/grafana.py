"""Where a message's links to Grafana lead in a run without Grafana: a page that says what would be here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.standins import page

_STYLE = "main { max-width: 640px; margin: 15vh auto; padding: 0 24px; } main > * { margin-bottom: 12px; }"


@asynccontextmanager
async def serve() -> AsyncIterator[str]:
    """Answer every path with the page. Yields the base URL, without a path."""
    app = web.Application()
    app.router.add_get("/{path:.*}", _show)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _show(request: web.Request) -> web.Response:
    body = (
        "<main><h1>Your Grafana opens here</h1>"
        "<p>There is none in this run. The message's link asked it for:</p>"
        f"<pre>{page.escape(request.path_qs)}</pre></main>"
    )
    return web.Response(text=page.frame(title="Grafana", style=_STYLE, body=body), content_type="text/html")
