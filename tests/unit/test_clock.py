"""A clock that does not jump, by a wall clock and a monotonic one that are set by hand."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest

from routing import ledger
from tests.unit.build import at
from webhook import clock

HOUR = timedelta(hours=1)


class Hands:
    """Both clocks."""

    def __init__(self) -> None:
        self.wall = at(0)
        self.seconds = 100.0
        self.clock = clock.Clock(wall=lambda: self.wall, monotonic=lambda: self.seconds)

    def pass_(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.seconds += seconds


@pytest.fixture
def hands() -> Hands:
    return Hands()


def test_it_shows_the_time(hands: Hands) -> None:
    hands.pass_(10)
    assert hands.clock() == at(10)
    assert hands.clock.jump() is None


@pytest.mark.parametrize("step", [60, -60, 0.5, -0.5])
def test_a_small_step_is_followed_at_once(hands: Hands, step: float) -> None:
    hands.wall += timedelta(seconds=step)
    assert hands.clock.jump() is None
    assert hands.clock() == at(step)


@pytest.mark.parametrize("jump", [61, -61, 3600, -86_400])
def test_a_jump_is_not_followed_until_what_waits_was_moved(hands: Hands, jump: float) -> None:
    hands.wall += timedelta(seconds=jump)
    assert hands.clock() == at(0)
    hands.pass_(10)
    assert hands.clock() == at(10), "time goes on"
    by = hands.clock.jump()
    assert by == timedelta(seconds=jump)
    assert by is not None
    hands.clock.follow(by)
    assert hands.clock() == at(10 + jump)
    assert hands.clock.jump() is None


def test_a_jump_there_and_back_before_anybody_looked_is_none(hands: Hands) -> None:
    hands.wall += HOUR
    hands.clock()
    hands.wall -= HOUR
    assert hands.clock.jump() is None
    assert hands.clock() == at(0)


def test_the_clock_that_jumps_on_while_what_waits_is_moved_has_jumped_again(hands: Hands) -> None:
    hands.wall += HOUR
    by = hands.clock.jump()
    assert by == HOUR
    hands.wall += HOUR
    hands.clock.follow(HOUR)
    assert hands.clock() == at(3600)
    assert hands.clock.jump() == HOUR


def test_a_machine_that_slept_has_jumped(hands: Hands) -> None:
    """Linux' monotonic clock stands still while the machine is suspended."""
    hands.clock()
    hands.wall += timedelta(minutes=10)
    assert hands.clock.jump() == timedelta(minutes=10)


async def test_a_jump_that_cannot_be_recorded_yet_is_tried_again_and_told_once(
    hands: Hands, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(clock, "_LOOK_SECONDS", 0.001)
    caplog.set_level(logging.INFO)
    tried: list[timedelta] = []
    followed: list[datetime] = []
    done = asyncio.Event()

    async def rebase(by: timedelta) -> None:
        tried.append(by)
        if len(tried) < 3:
            raise ledger.Unavailable("no room")

    async def now_followed() -> None:
        followed.append(hands.clock())
        done.set()

    hands.wall += HOUR
    task = asyncio.create_task(clock.watch(hands.clock, rebase=rebase, followed=now_followed))
    async with asyncio.timeout(10):
        await done.wait()
    task.cancel()
    await asyncio.wait([task])
    assert tried == [HOUR, HOUR, HOUR]
    assert followed == [at(3600)]
    assert caplog.text.count("the wall clock jumped") == 1
