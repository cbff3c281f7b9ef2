"""The service's HTTP face on loopback, over a real store: what the tests of intake and pages start."""

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from aiohttp import ClientSession

from routing import ledger, message, model
from webhook import (
    auth,
    connections,
    dispatch,
    guard,
    health,
    logins,
    metrics,
    pages,
    receive,
    resync,
    server,
)
from webhook.store import contract, sqlite

JSON = {"Content-Type": "application/json"}
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
FIXTURES = Path(__file__).parents[1] / "fixtures" / "payloads"


class PastStore:
    """Notes down what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, model.Notification]] = []
        self.preceded: list[model.Notification] = []
        self.takes_nothing = False

    async def precede(self, notification: model.Notification) -> None:
        if self.takes_nothing:
            raise ledger.Unavailable("what was paged cannot be recorded")
        self.preceded.append(notification)

    def refused(self, notification: model.Notification) -> None:
        self.heard.append(("refused", notification))

    def recorded(self, notification: model.Notification) -> None:
        self.heard.append(("recorded", notification))


class Served:
    """A server with all that surrounds it; what would be told to others is noted down here."""

    def __init__(
        self,
        store: contract.Store,
        access: auth.Access,
        runbooks: Mapping[str, str],
        limits: connections.Limits,
    ) -> None:
        self.store = store
        self.access = access
        self.client_ca_digest: Callable[[], str] = str
        self.runbooks = runbooks
        self.now = NOW
        self.scheme = "http"
        self.port = 0
        self.woken: list[str] = []
        self.answers: list[receive.Answered] = []
        self.cuts: list[connections.Cut] = []
        self.reload_faults: Sequence[str] = ()
        self.lanes: Mapping[str, pages.Lane] = {}
        self.alertmanagers: Sequence[resync.Seen] = ()
        self.monotonic = 0.0
        self.failures = logins.Failures(monotonic=lambda: self.monotonic)
        self.connections = connections.Connections(limits, cut=self.connection_cut)
        self.past_store = PastStore()
        self._open = True
        self._connections: list[asyncio.StreamWriter] = []
        self.metrics = metrics.Metrics(version="1.2.3", sqlite_version="3.40.1", destinations=["slack-ops"])

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def allowed(self) -> auth.Access:
        return dataclasses.replace(self.access, client_ca_digest=self.client_ca_digest())

    async def reload(self) -> Sequence[str]:
        return self.reload_faults

    def wake(self, incident_ids: Collection[str]) -> None:
        self.woken.extend(incident_ids)

    def answered(self, answer: receive.Answered) -> None:
        self.answers.append(answer)
        self.metrics.answered(answer)

    def connection_cut(self, reason: connections.Cut) -> None:
        self.cuts.append(reason)
        self.metrics.connection_cut(reason)

    async def close_store(self) -> None:
        """From now on the store takes nothing and tells nothing."""
        if self._open:
            self._open = False
            await self.store.close()

    def hang_up(self) -> None:
        """Close every raw connection."""
        for writer in self._connections:
            writer.close()

    def view(self) -> pages.View:
        around = message.Surroundings(
            external_url=self.url,
            prometheus_url="http://prometheus.example",
            alertmanager_url="http://alertmanager.example",
            grafana_url="http://grafana.example",
        )
        return pages.View(
            runbooks=self.runbooks, surroundings=around, lanes=self.lanes, alertmanagers=self.alertmanagers
        )

    def application(self, max_body_bytes: int) -> dispatch.Dispatch:
        readiness = health.Readiness(self.store)
        return server.build(
            store=self.store,
            wake=self.wake,
            past_store=self.past_store,
            reload=self.reload,
            readiness=readiness,
            entrance=guard.Guard(
                access=self.allowed, failed=self.metrics.login_failed, failures=self.failures
            ),
            view=self.view,
            metrics=self.metrics.handler(store=self.store, readiness=readiness),
            answered=self.answered,
            clock=lambda: self.now,
            max_body_bytes=max_body_bytes,
        )

    async def post(
        self, body: bytes, headers: Mapping[str, str] = JSON
    ) -> tuple[int, Mapping[str, object], Mapping[str, str]]:
        """Post to the webhook; returns status, JSON and headers."""
        async with (
            ClientSession() as client,
            client.post(f"{self.url}/webhook/alertmanager", data=body, headers=headers) as response,
        ):
            return response.status, await response.json(), response.headers

    async def send(self, path: str, body: bytes | BinaryIO, headers: Mapping[str, str]) -> tuple[int, object]:
        """Post anything anywhere; returns status and JSON."""
        async with (
            ClientSession() as client,
            client.post(f"{self.url}{path}", data=body, headers=headers) as response,
        ):
            return response.status, await response.json()

    async def get(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, Mapping[str, str]]:
        """Ask for anything; returns status, text and headers."""
        async with (
            ClientSession() as client,
            client.request(method, f"{self.url}{path}", headers=headers) as response,
        ):
            return response.status, await response.text(), response.headers

    async def raw(self, sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which exactly this was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._connections.append(writer)
        writer.write(sent)
        await writer.drain()
        return reader, writer


@asynccontextmanager
async def serve(
    state_dir: Path,
    *,
    access: auth.Access | None = None,
    max_body_bytes: int = server.MAX_BODY_BYTES,
    runbooks: Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    limits: connections.Limits | None = None,
) -> AsyncIterator[Served]:
    """Serve on a free port, over an SQLite store in this directory."""
    store = await sqlite.open_store(state_dir)
    served = Served(store, access or auth.Access(), runbooks or {}, limits or connections.limits())
    runner = server.runner(served.application(max_body_bytes), answer_seconds=1)
    await runner.setup()
    try:
        await connections.Site(
            runner,
            "127.0.0.1",
            0,
            connections=served.connections,
            speaker=server.Speaker,
            ssl_context=tls,
        ).start()
        served.scheme = "https" if tls else "http"
        served.port = runner.addresses[0][1]
        yield served
    finally:
        served.hang_up()
        await runner.cleanup()
        await served.close_store()
