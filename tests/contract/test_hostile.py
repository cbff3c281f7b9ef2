"""An enemy's messages, from the socket to what people see: real HTTP, store and destinations."""

import asyncio
import io
import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import deciding, message, reconciler
from routing.destinations import contract as destination_contract
from routing.destinations import pagerduty, slack
from tests.contract import served
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import told
from webhook import auth

KEY = "s3cretkeys3cretkeys3cretkeys3cre"
CHANNEL = "#incidents"
GOOD = json.loads((served.FIXTURES / "good.json").read_bytes())
TOKEN = "correct horse"
MOST_BYTES = 200_000


def alert(number: int, text: str) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {
            "alertname": "Evil",
            "n": str(number),
            "severity": text[:100],
            "priority": text,
            text[:50]: text,
        },
        "annotations": {"summary": text, "description": text, "runbook_url": "javascript:" + text[:50]},
        "startsAt": "2026-11-25T02:59:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "javascript:alert(1)",
    }


def storm() -> bytes:
    """5,000 alerts with hostile texts, one of 100 kB among every hundred, in what 16 MiB hold."""
    texts = [text for text in told.HOSTILE if len(text) < 1_500]
    alerts = [alert(number, texts[number % len(texts)]) for number in range(5_000)]
    for number in range(0, 2_000, 100):
        alerts[number] = alert(number, "x" * 100_000)
    alerts[7]["labels"]["priority"] = "p1"
    return json.dumps(GOOD | {"groupLabels": {"alertname": "Evil"}, "alerts": alerts}).encode()


async def longest_pause(stop: asyncio.Event) -> float:
    """The longest time in which the event loop did nothing else."""
    longest = 0.0
    while not stop.is_set():
        before = time.monotonic()
        await asyncio.sleep(0)
        longest = max(longest, time.monotonic() - before)
        await asyncio.sleep(0.005)
    return longest


async def test_a_storm_of_hostile_alerts_pages_once_and_can_be_looked_at(tmp_path: Path) -> None:
    body = storm()
    assert len(body) < 16 * 1024 * 1024
    async with (
        pagerduty_standin.serve(keys={KEY: "ops"}) as pager_end,
        slack_standin.serve(channels={"tail": CHANNEL}) as slack_end,
        served.serve(tmp_path, runbooks=told.RUNBOOKS) as service,
    ):
        destinations: dict[str, destination_contract.Destination] = {
            "pager": pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=pager_end.url),
            "incidents": slack.Slack(
                name="incidents", webhook_url=slack_end.webhook(CHANNEL), channel=CHANNEL
            ),
        }
        since = await service.store.destinations_since(destinations, datetime.now(UTC))
        running = reconciler.Reconciler(
            ledger=service.store,
            route=lambda _: ("pager", "incidents"),
            targets={
                name: deciding.Target(destination=one, since=since[name])
                for name, one in destinations.items()
            },
            compose=lambda situation, step: message.compose(
                situation.incident, step, surroundings=told.AROUND, runbooks=told.RUNBOOKS
            ),
            emit=lambda _: None,
        )
        working, stop = asyncio.create_task(running.run()), asyncio.Event()
        watching = asyncio.create_task(longest_pause(stop))
        status, _, answer = await posted(service, body, served.JSON)
        assert status == 200
        incident = answer["changed"][0]
        running.wake([incident])
        await pager_end.wait_for(lambda end: end.events, timeout_seconds=60)
        await slack_end.wait_for(lambda end: end.messages, timeout_seconds=60)
        for path in ("/", f"/incidents/{incident}"):
            status, page, _ = await service.get(path)
            assert status == 200
            assert len(page) < 2_000_000
            assert 'href="javascript:' not in page
            assert "\x1b" not in page
        stop.set()
        running.stop()
        await working
        for one in destinations.values():
            await one.close()
        # Measured: 0.5 s on a quiet machine, most of it the typed record of 5,000 alerts.
        assert await watching < 5
        assert [event.outcome for event in pager_end.events] == ["opened"]
        assert [request.status for request in slack_end.requests] == [200]
        assert slack_end.messages[0].mentions == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | told.texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def near_messages(draw: st.DrawFn) -> bytes:
    """Alertmanager's message with a few places changed into anything."""
    whole = json.loads(json.dumps(GOOD))
    for _ in range(draw(st.integers(0, 3))):
        node: Any = whole
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not isinstance(node[key], dict | list) or draw(st.booleans()):
                if isinstance(node, dict) and draw(st.booleans()):
                    del node[key]
                else:
                    node[key] = draw(json_values)
                break
            node = node[key]
    return draw(
        st.sampled_from([json.dumps(whole).encode(), json.dumps(whole)[:-5].encode()])
        | st.binary(max_size=50)
    )


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@pytest.fixture(scope="module")
def service(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[served.Served]:
    serving = served.serve(
        tmp_path_factory.mktemp("state"), access=auth.Access(token=TOKEN), max_body_bytes=MOST_BYTES
    )
    yield runner.run(serving.__aenter__())
    runner.run(serving.__aexit__(None, None, None))


async def posted(
    service: served.Served, body: bytes, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], dict[str, Any]]:
    url = f"{service.url}/webhook/alertmanager"
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=io.BytesIO(body), headers=headers) as response,
    ):
        return response.status, dict(response.headers), await response.json()


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    body=near_messages(),
    kind=st.sampled_from(["application/json"] * 5 + ["text/json", "application/json; charset=utf-16"]),
    token=st.sampled_from([TOKEN] * 5 + ["", "wrong"]),
)
def test_whatever_is_posted_has_an_answer_of_the_contract(
    runner: asyncio.Runner, service: served.Served, body: bytes, kind: str, token: str
) -> None:
    headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
    status, head, said = runner.run(posted(service, body, headers))
    assert (status == 401) == (token != TOKEN) or status == 429
    assert status in (200, 400, 401, 413, 415, 429)
    if status == 200:
        assert all(isinstance(one, str) for one in said["changed"])
    else:
        assert {name: type(value) for name, value in said.items()} == {"error": str, "pointer": str}
    assert head["Content-Type"].startswith("application/json")
    if status == 400:
        assert len(json.dumps(said)) < 5_000
