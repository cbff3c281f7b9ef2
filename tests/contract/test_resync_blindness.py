"""A resolve may be blindness: it waits until a Watchdog proves that its source is alive."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.contract import resynced
from tests.world import pulse

pytestmark = pytest.mark.real


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[resynced.World]:
    async with resynced.run(tmp_path, getattr(request, "param", resynced.NEWEST)) as running:
        yield running


async def test_a_resolve_is_confirmed_by_the_watchdog(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await source.resolve("ServiceDown")
        incident = await world.until(lambda now: not resynced.is_open(now))
        assert not incident.reconciled
        assert resynced.alert_of(incident).ends_at is not None


@resynced.BOTH
async def test_a_resolve_that_is_blindness_is_held_until_the_alert_is_seen_again(
    world: resynced.World,
) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        source.is_alive = False
        incident = await world.until(lambda now: resynced.alert_of(now["ServiceDown"]).recovers_at)
        assert incident.open
        await world.looks_on()
        source.is_alive = True
        incident = await world.until(lambda now: not resynced.alert_of(now["ServiceDown"]).recovers_at)
        assert (incident.open, incident.episode) == (True, 1)


async def test_a_resolve_that_was_blindness_is_confirmed_when_the_source_is_back_without_the_alert(
    world: resynced.World,
) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        source.is_alive = False
        await world.until(lambda now: resynced.alert_of(now["ServiceDown"]).recovers_at)
        source.forget("ServiceDown")
        source.is_alive = True
        back = datetime.now(UTC)
        incident = await world.until(lambda now: not resynced.is_open(now))
        assert incident.resolved_at is not None
        assert incident.resolved_at - back >= resynced.BOUNDS.settled


async def test_without_an_alertmanager_to_ask_a_resolve_counts_at_once(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await source.resolve("ServiceDown")
        assert resynced.alert_of(await world.until(lambda now: not resynced.is_open(now))).recovers_at is None


async def test_taking_the_alertmanager_away_lets_what_waits_count(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        source.is_alive = False
        await world.until(lambda now: resynced.alert_of(now["ServiceDown"]).recovers_at)
        world.believes()
        await world.until(lambda now: not resynced.is_open(now))


async def test_nothing_is_written_while_nothing_changes(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await world.until_seen(lambda seen: seen[0].believed)
        before = await world.looks_on(1)
        assert await world.looks_on(5) == before
        assert all(not any(look.found.values()) for look in world.looks[-5:])
