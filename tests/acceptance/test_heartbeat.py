"""The dead-man's switches in the process that an operator starts: ours for sources, the outside one for us."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from routing import sources
from tests.acceptance import serving
from tests.world import service
from webhook.store import sqlite

WATCHDOG: Mapping[str, Any] = {
    "version": "4",
    "groupKey": "{}:{}",
    "status": "firing",
    "receiver": "phantommesh-alerts",
    "groupLabels": {"alertname": "Watchdog", "cluster": "prod"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager.example",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "Watchdog", "cluster": "prod"},
            "annotations": {},
            "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "",
            "fingerprint": "0123456789abcdef",
        }
    ],
}


@asynccontextmanager
async def switch(heard: list[str]) -> AsyncIterator[str]:
    """What stands behind HEARTBEAT_URL; yields the address."""

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    app = web.Application()
    app.router.add_get("/ping/canary-token", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/ping/canary-token"
    await runner.cleanup()


async def metric(running: service.Service, name: str) -> str:
    _, text = await serving.ask(running, "/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith(f"phantommesh_alerts_{name} ")]
    return line.rpartition(" ")[2]


async def test_the_heartbeat_waits_for_a_watchdog_and_its_address_is_never_seen(tmp_path: Path) -> None:
    beats: list[str] = []
    async with serving.far_ends() as far, switch(beats) as address:
        env = {**far.env, "HEARTBEAT_URL": address}
        async with service.run(state_dir=tmp_path / "state", env=env) as running:
            await running.wait_logged(
                re.compile("the heartbeat is withheld: no Watchdog is heard of: any"), timeout_seconds=10
            )
            assert beats == []
            status, _ = await serving.ask(running, "/webhook/alertmanager", body=WATCHDOG)
            assert status == 200
            await running.restart()  # the next beat is a minute away, or at the next start
            async with asyncio.timeout(20):
                while await metric(running, 'heartbeats_total{outcome="sent"}') == "0.0":  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)
            assert await metric(running, 'source_missing{source="prod"}') == "0.0"
            pages = [(await serving.ask(running, path))[1] for path in ("/", "/metrics")]
    assert beats == ["/ping/canary-token"]
    assert "canary-token" not in "".join([*pages, running.log()])


async def test_a_dry_run_sends_no_heartbeat(tmp_path: Path) -> None:
    beats: list[str] = []
    async with (
        switch(beats) as address,
        service.run(
            state_dir=tmp_path / "state", env={"HEARTBEAT_URL": address}, options=("--dry-run",)
        ) as running,
    ):
        assert (await serving.ask(running, "/webhook/alertmanager", body=WATCHDOG))[0] == 200
        await running.restart()
        assert await metric(running, 'heartbeats_total{outcome="withheld"}') == "0.0"
    assert beats == []


async def test_the_alarm_about_a_source_is_told_and_ends_when_its_watchdog_arrives(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path / "state")
    missing = sources.Source(name="prod", state=sources.State.MISSING, heard_at=None)
    await store.record(sources.firing(missing, datetime.now(UTC)), datetime.now(UTC))
    await store.close()
    async with (
        serving.far_ends() as far,
        service.run(state_dir=tmp_path / "state", env=far.env) as running,
    ):
        await far.pagerduty.wait_for(lambda pager: pager.open_incidents(), timeout_seconds=20)
        await far.told("#phantommesh-incidents", "WatchdogMissing", "No Watchdog of prod has arrived yet")
        assert (await serving.ask(running, "/webhook/alertmanager", body=WATCHDOG))[0] == 200
        await far.pagerduty.wait_for(lambda pager: not pager.open_incidents(), timeout_seconds=20)
        await far.told("#phantommesh-incidents", "WatchdogMissing", "resolved")
