"""The outside dead-man's switch, over the network: fetched while all is well, and only then."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from webhook import environment, heartbeat

TOKEN = "token-of-the-heartbeat"


class Switch:
    """A service like healthchecks.io: counts how often it is called, and answers as it is told."""

    def __init__(self) -> None:
        self.status = 200
        self.calls = 0
        self.url = ""
        self.hangs = False

    async def answer(self, _request: web.Request) -> web.Response:
        self.calls += 1
        if self.hangs:
            await asyncio.Event().wait()
        return web.Response(status=self.status, headers={"Location": self.url} if self.status == 302 else {})


@pytest.fixture
async def switch() -> AsyncIterator[Switch]:
    far = Switch()
    app = web.Application()
    app.router.add_get(f"/{TOKEN}", far.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    far.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{TOKEN}"
    yield far
    await runner.cleanup()


class Body:
    """What the heart beats for."""

    def __init__(self, url: str) -> None:
        self.trouble = ""
        self.beats: list[str] = []
        secret = environment.Secret(url) if url else None
        self.heart = heartbeat.Heart(address=lambda: secret, trouble=self._trouble, beaten=self.beats.append)

    async def _trouble(self) -> str:
        return self.trouble


async def test_it_is_fetched_while_all_is_well_and_only_then(
    switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body = Body(switch.url)
    await body.heart.beat()
    assert switch.calls == 1
    body.trouble = "no Watchdog is heard of: prod"
    await body.heart.beat()
    await body.heart.beat()
    assert switch.calls == 1
    body.trouble = ""
    await body.heart.beat()
    assert switch.calls == 2
    assert body.beats == ["sent", "withheld", "withheld", "sent"]
    assert [record.getMessage() for record in caplog.records] == [
        "the heartbeat is withheld: no Watchdog is heard of: prod",
        "the heartbeat is sent again",
    ], "told when it changes"


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_an_answer_that_is_no_success_is_told_without_the_address(
    switch: Switch, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    switch.status = status
    body = Body(switch.url)
    await body.heart.beat()
    assert body.beats == ["failed"]
    assert switch.calls == 1, "a redirect is not followed"
    assert f"it answered {status}" in caplog.text
    assert TOKEN not in caplog.text


async def test_one_that_hangs_is_given_up(
    switch: Switch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert heartbeat.DEADLINE_SECONDS == 5
    monkeypatch.setattr(heartbeat, "DEADLINE_SECONDS", 0.2)
    switch.hangs = True
    body = Body(switch.url)
    await body.heart.beat()
    assert body.beats == ["failed"]
    assert "no answer within" in caplog.text
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("address", [f"http://127.0.0.1:1/{TOKEN}", f"http://no.such.host.invalid/{TOKEN}"])
async def test_one_that_cannot_be_reached_is_told_without_the_address(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = Body(address)
    await body.heart.beat()
    assert body.beats == ["failed"]
    assert TOKEN not in caplog.text
    assert "ClientConnector" in caplog.text


async def test_without_an_address_nothing_is_counted() -> None:
    body = Body("")
    await body.heart.beat()
    assert body.beats == []
