"""Alertmanagers that restart, a pair of which one is cut off, and edited configurations."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract import resynced
from tests.world import ports, pulse

pytestmark = pytest.mark.real


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[resynced.World]:
    async with resynced.run(tmp_path, getattr(request, "param", resynced.NEWEST)) as running:
        yield running


@resynced.BOTH
async def test_a_restarted_alertmanager_is_believed_only_when_it_has_grown_up(world: resynced.World) -> None:
    port = ports.free()
    async with world.start(port=port) as first, pulse.run(first) as source:
        world.believes(first)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        source.is_alive = False
        await first.stop()
        # It starts without an alert, and the first thing that it hears is the Watchdog alone.
        source.only_watchdog = True
        async with world.start(port=port) as second:
            source.reaches = [second]
            source.is_alive = True
            await world.until_seen(lambda seen: "up for less than" in seen[0].doubts.get("eu-1", ""))
            assert resynced.is_open(await world.incidents())
            source.only_watchdog = False
            await world.until_seen(lambda seen: seen[0].believed)
            incidents = await world.looks_on(8)
            assert resynced.is_open(incidents)
            assert incidents["ServiceDown"].episode == 1


async def test_nothing_is_gone_while_one_of_a_pair_cannot_be_asked(world: resynced.World) -> None:
    port = ports.free()
    async with (
        world.start("one") as one,
        world.start("two", port) as two,
        pulse.run(one) as source,
    ):
        source.reaches = [one, two]
        world.believes(one, two)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        await one.silence("ServiceDown", 3600)
        await two.silence("ServiceDown", 3600)
        await world.until(resynced.muted)
        source.reaches = [one]
        await two.stop()
        source.forget("ServiceDown")
        await world.until_seen(lambda seen: seen[1].error)
        incidents = await world.looks_on(15)
        assert resynced.is_open(incidents)
        async with world.start("two", port) as again:
            source.reaches = [one, again]
            assert (await world.until(lambda now: not resynced.is_open(now))).reconciled


async def test_a_pair_confirms_a_resolve_while_one_of_it_is_cut_off_from_prometheus(
    world: resynced.World,
) -> None:
    async with world.start("one") as one, world.start("two") as two, pulse.run(one) as source:
        source.reaches = [one, two]
        world.believes(one, two)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        source.reaches = [one]
        await source.resolve("ServiceDown")
        assert not (await world.until(lambda now: not resynced.is_open(now))).reconciled


async def test_a_renamed_receiver_makes_nothing_vanish(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        await world.until(resynced.is_open)
        world.config(receiver="renamed")
        await running.reload()
        await world.until(lambda now: now["ServiceDown"].receiver == "renamed")
        incidents = await world.looks_on(8)
        assert resynced.is_open(incidents)
        assert incidents["ServiceDown"].episode == 1
        await source.resolve("ServiceDown")
        assert not (await world.until(lambda now: not resynced.is_open(now))).reconciled


async def test_an_edited_grouping_moves_what_is_open(world: resynced.World) -> None:
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await source.fire(**resynced.DOWN)
        before = await world.until(resynced.is_open)
        world.config(group_by=[*resynced.GROUP_BY, "priority"])
        await running.reload()
        async with asyncio.timeout(resynced.DEADLINE_SECONDS):
            while before.id in {one.incident.id for one in await world.store.open_incidents(10)}:
                await world.looks_on(1)
        (now,) = await world.store.open_incidents(10)
        left = (await world.store.situations([before.id]))[before.id].incident
        assert (left.open, resynced.alert_of(left).moved_to) == (False, now.incident.id)
        await source.resolve("ServiceDown")
        async with asyncio.timeout(resynced.DEADLINE_SECONDS):
            while await world.store.open_incidents(10):
                await world.looks_on(1)
