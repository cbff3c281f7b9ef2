"""What is silenced, inhibited, or was never told: only Alertmanager's lists show it."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from routing import model
from tests.contract import resynced
from tests.world import pulse
from webhook.store import opening

pytestmark = pytest.mark.real


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[resynced.World]:
    async with resynced.run(tmp_path, getattr(request, "param", resynced.NEWEST)) as running:
        yield running


@resynced.BOTH
async def test_a_silence_is_seen_and_so_is_its_end(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await running.silence("ServiceDown", 6, comment="new disk")
        incident = await world.until(resynced.muted)
        mute = resynced.alert_of(incident).muted
        assert mute is not None
        assert (mute.kind, mute.by, mute.comment) == (model.MuteKind.SILENCED, "ann", "new disk")
        assert mute.until is not None
        assert incident.open
        after = await world.until(lambda now: not resynced.muted(now))
        assert (after.open, after.episode) == (True, 1)


async def test_what_resolves_while_it_is_silenced_is_reconciled(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await running.silence("ServiceDown", 3600)
        await world.until(resynced.muted)
        await source.resolve("ServiceDown")
        assert (await world.until(lambda now: not resynced.is_open(now))).reconciled


@resynced.BOTH
async def test_an_inhibition_is_seen_and_so_is_its_end(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await source.fire(alertname="DatabaseUnreachable", cluster="eu-1", priority="P1")
        incident = await world.until(resynced.muted)
        assert resynced.alert_of(incident).muted == model.Mute(
            kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable"
        )
        assert incident.open
        await source.resolve("DatabaseUnreachable")
        assert (await world.until(lambda now: not resynced.muted(now))).open


async def forget_incidents(world: resynced.World) -> None:
    """As if the record had been lost while Alertmanager remembers that it told of everything."""
    with closing(sqlite3.connect(world.folder / "state" / opening.DATABASE)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM incident")
    await world.store.rebase(timedelta())  # with it the writing thread forgets what it knows without the file


@resynced.BOTH
async def test_an_alert_that_no_message_tells_of_is_opened_where_mutes_can_be_seen(
    world: resynced.World,
) -> None:
    async with world.start() as running, pulse.run(running) as source:
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await forget_incidents(world)
        world.believes(running)
        if world.parts.name == resynced.NEWEST:
            incident = await world.until(resynced.is_open)
            assert incident.receiver == "phantommesh-alerts"
            assert resynced.alert_of(incident).annotations == {"summary": "ServiceDown in a test"}
        else:
            await world.until_seen(lambda seen: seen[0].believed)
            assert not resynced.is_open(await world.looks_on(20))
