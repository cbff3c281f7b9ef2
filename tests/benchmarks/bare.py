"""The two limits: what aiohttp alone does, and what aiohttp and one durable row a request do.

`python -m tests.benchmarks.bare [FILE]`: without a file it decodes the body and answers; with one it writes the raw
body into that SQLite database before it answers. What arrives together shares a commit, as in the service, with the
service's own settings for durability.
"""

import asyncio
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from aiohttp import web

from webhook.store import writer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


async def decode_and_answer(request: web.BaseRequest) -> web.StreamResponse:
    msgspec.json.decode(await request.read())
    return web.Response(body=b"{}", content_type="application/json")


def keep_and_answer(file: str) -> Handler:
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE body (id INTEGER PRIMARY KEY, raw BLOB NOT NULL)")

    def keep(bodies: Sequence[bytes]) -> Sequence[object]:
        connection.executemany("INSERT INTO body (raw) VALUES (?)", [(body,) for body in bodies])
        return bodies

    commits: writer.Writer[bytes] = writer.Writer(connection, keep)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        await commits.submit(await request.read())
        return web.Response(body=b"{}", content_type="application/json")

    return handle


async def main() -> None:
    runner = web.ServerRunner(web.Server(keep_and_answer(sys.argv[1]) if sys.argv[1:] else decode_and_answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(f"listening on http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
