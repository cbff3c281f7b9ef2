"""What the real Alertmanager, oldest and newest, says when it is asked, and what comes of other answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests import parts
from tests.world import alertmanager
from tests.world import web as world_web
from webhook import alertmanager_api

NOW = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)
CONFIG = """
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 1s
  group_interval: 5m
  routes:
    - matchers: [alertname="Slow"]
      group_wait: 1h30m
receivers: [{name: hook}]
inhibit_rules:
  - source_matchers: [alertname="Down"]
    target_matchers: [alertname="Slow"]
"""


@pytest.fixture
async def api() -> AsyncIterator[alertmanager_api.Api]:
    asking = alertmanager_api.Api()
    yield asking
    await asking.close()


async def listed(api: alertmanager_api.Api, base: str) -> list[alertmanager_api.Group]:
    groups: list[alertmanager_api.Group] = []
    await api.groups(base, groups.extend)
    return groups


@pytest.mark.real
@pytest.mark.parametrize("name", [parts.GENERATIONS[0], parts.GENERATIONS[-1]])
async def test_a_real_alertmanager_is_understood(
    api: alertmanager_api.Api, name: str, tmp_path: Path
) -> None:
    found = parts.generation(name)
    if found is None:
        pytest.skip(f"./dev parts has not brought {name}'s Alertmanager here")
    config = tmp_path / "alertmanager.yml"
    config.write_text(CONFIG)
    began = datetime.now(UTC)
    async with alertmanager.run(found, config, folder=tmp_path) as running:
        status = await api.status(running.url, now=NOW)
        assert began - timedelta(seconds=2) <= status.started_at <= datetime.now(UTC)
        assert abs((status.at - datetime.now(UTC)).total_seconds()) < 10
        assert (status.group_wait, status.group_interval) == (timedelta(minutes=90), timedelta(minutes=5))
        assert await listed(api, running.url) == []

        silence_id = await running.silence("Quiet", 3600, comment="<b>new disk</b>")
        names = ("Down", "Slow", "Quiet")
        await running.post_alerts(
            [
                {
                    "labels": {"alertname": one, "text": '],{"alerts":[{'},
                    "annotations": {"summary": ',{"alerts":['},
                    "generatorURL": "http://prometheus.example/graph",
                }
                for one in names
            ]
        )
        await world_web.poll(
            f"{running.url}/api/v2/alerts/groups",
            lambda groups: len(groups) == len(names),
            timeout_seconds=10,
        )
        groups = await listed(api, running.url)
        alerts = {group.labels["alertname"]: group.alerts[0] for group in groups}
        assert {group.receiver.name for group in groups} == {"hook"}
        down, slow, quiet = (alerts[one] for one in names)
        assert down.annotations == {"summary": ',{"alerts":['}
        assert down.generator_url == "http://prometheus.example/graph"
        assert began <= down.updated_at <= datetime.now(UTC)
        assert (down.status.silenced_by, down.status.inhibited_by) == ([], [])
        assert list(slow.status.inhibited_by) == [down.fingerprint]
        assert list(quiet.status.silenced_by) == [silence_id]
        assert (down.status.muted_by is None) is (name == parts.GENERATIONS[0])

        silence = (await api.silences(running.url))[silence_id]
        assert (silence.created_by, silence.comment) == ("ann", "<b>new disk</b>")
        assert silence.ends_at > datetime.now(UTC) + timedelta(minutes=50)


# Other answers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def text(body: str | bytes, status: int = 200) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        raw = body.encode() if isinstance(body, str) else body
        return web.Response(status=status, body=raw, content_type="application/json")

    return answer


async def redirected(_request: web.Request) -> web.Response:
    raise web.HTTPFound("http://127.0.0.1:9/")


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'[{"alerts":[')
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (text("no", 503), "it answers 503"),
        (redirected, "it answers 302"),
        (text("<html>"), "its answer cannot be read: JSON is malformed"),
        (text('{"a": 1}'), "its answer cannot be read: "),
        (text("[" + "{" * 1_500_000), "its answer cannot be read: "),
        (
            text(b'[{"alerts":[],"labels":{"a":"\xff"},"receiver":{"name":"x"}}]'),
            "its answer cannot be read: ",
        ),
        (cut_off, "it cannot be reached"),
    ],
)
async def test_an_answer_that_is_none_is_an_error(
    api: alertmanager_api.Api, handler: Handler, why: str
) -> None:
    async with answering(handler) as base:
        with pytest.raises(alertmanager_api.Unanswered, match=why):
            await listed(api, base)
        for ask in (api.silences(base), api.status(base, now=NOW)):
            with pytest.raises(alertmanager_api.Unanswered):
                await ask


async def test_nobody_there_is_an_error(api: alertmanager_api.Api) -> None:
    with pytest.raises(alertmanager_api.Unanswered, match=r"it cannot be reached \(Client"):
        await api.status("http://127.0.0.1:9", now=NOW)


async def test_an_alertmanager_that_hangs_is_an_error(
    api: alertmanager_api.Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await never.wait()
        raise AssertionError("asked to go on")

    monkeypatch.setattr(alertmanager_api, "_ANSWER", aiohttp.ClientTimeout(total=0.2))
    async with answering(hang) as base:
        with pytest.raises(alertmanager_api.Unanswered, match="it does not answer in time"):
            await api.status(base, now=NOW)
        never.set()


def big_list(groups: int, alerts: int = 1) -> bytes:
    """As Alertmanager writes it: compact, `alerts` first."""
    alert = {
        "annotations": {"summary": "x" * 500},
        "fingerprint": "0" * 16,
        "startsAt": "2026-01-15T03:00:00.000Z",
        "updatedAt": "2026-01-15T03:00:00.000Z",
        "status": {"inhibitedBy": [], "silencedBy": [], "state": "active"},
        "labels": {"alertname": "X"},
    }
    listed = [
        {"alerts": [alert] * alerts, "labels": {"n": str(number)}, "receiver": {"name": "hook"}}
        for number in range(groups)
    ]
    return json.dumps(listed, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(("groups", "alerts"), [(20_000, 1), (2, 5_000)])
async def test_a_long_list_is_taken_in_pieces_of_whole_groups(
    api: alertmanager_api.Api, groups: int, alerts: int
) -> None:
    taken: list[list[str]] = []

    def take(piece: Sequence[alertmanager_api.Group]) -> None:
        taken.append([group.labels["n"] for group in piece])
        assert all(len(group.alerts) == alerts for group in piece)

    async with answering(text(big_list(groups, alerts))) as base:
        await api.groups(base, take)
    assert [number for piece in taken for number in piece] == [str(number) for number in range(groups)]
    assert len(taken) > 1
    assert max(map(len, taken)) * alerts < 4_000 or groups == 2


async def test_a_list_in_another_form_is_read_too(api: alertmanager_api.Api) -> None:
    spaced = json.dumps(json.loads(big_list(3)), indent=1)
    for body, count in ((spaced, 3), ("[]", 0), ("null\n", 0)):
        async with answering(text(body)) as base:
            assert len(await listed(api, base)) == count


@pytest.mark.parametrize(
    ("config", "wait", "interval"),
    [
        ("route: {receiver: a}", 30, 300),
        ("route: {receiver: a, group_wait: 5s, group_interval: 10s}", 5, 10),
        ("route: {group_wait: 5s, routes: [{group_interval: 10m}, {group_wait: 1m}]}", 60, 600),
        ("route: {group_wait: soon, routes: {}}", 30, 300),
        ("{", 30, 300),
        ("[]", 30, 300),
    ],
)
def test_the_slowest_route_counts(config: str, wait: int, interval: int) -> None:
    assert alertmanager_api.timing(config) == (timedelta(seconds=wait), timedelta(seconds=interval))
