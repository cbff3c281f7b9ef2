"""Who is next in a lane, and who may go at all."""

import asyncio

import pytest

from routing import lane, model
from tests.unit.build import at

P1, P2, P3 = model.Priority.P1, model.Priority.P2, model.Priority.P3


@pytest.fixture
def queue() -> lane.Lane:
    return lane.Lane("slack-ops")


async def taken(queue: lane.Lane, *, p1_only: bool = False) -> str | None:
    """Whom the lane hands out, None when nobody may go within a moment."""
    try:
        async with asyncio.timeout(0.01):
            return await queue.take(p1_only=p1_only)
    except TimeoutError:
        return None


async def test_p1_goes_first_and_then_the_oldest(queue: lane.Lane) -> None:
    queue.put("info", (P3, at(0)))
    queue.put("young warning", (P2, at(9)))
    queue.put("old warning", (P2, at(1)))
    queue.put("critical", (P1, at(10)))
    assert [await taken(queue) for _ in range(4)] == ["critical", "old warning", "young warning", "info"]


async def test_the_p1_worker_leaves_everything_else(queue: lane.Lane) -> None:
    queue.put("warning", (P2, at(0)))
    assert await taken(queue, p1_only=True) is None
    queue.put("critical", (P1, at(1)))
    assert await taken(queue, p1_only=True) == "critical"


async def test_an_incident_is_handed_out_once(queue: lane.Lane) -> None:
    queue.put("incident", (P1, at(0)))
    queue.put("incident", (P1, at(0)))
    assert await taken(queue) == "incident"
    assert await taken(queue) is None


async def test_an_incident_that_changes_while_it_is_told_comes_again_after_that(queue: lane.Lane) -> None:
    queue.put("incident", (P1, at(0)))
    await taken(queue)
    queue.put("incident", (P1, at(5)))
    assert await taken(queue) is None
    queue.release("incident")
    assert await taken(queue) == "incident"


async def test_an_incident_that_becomes_urgent_moves_to_the_front(queue: lane.Lane) -> None:
    queue.put("first", (P2, at(0)))
    queue.put("second", (P2, at(1)))
    queue.put("second", (P1, at(2)))
    assert await taken(queue) == "second"
    assert await taken(queue) == "first"
    assert await taken(queue) is None


async def test_a_waiting_worker_is_woken_by_news(queue: lane.Lane) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(queue.take(p1_only=False))
        await asyncio.sleep(0)
        queue.put("incident", (P1, at(0)))
    assert waiting.result() == "incident"


async def test_nobody_goes_before_the_far_ends_own_pause_has_ended(queue: lane.Lane) -> None:
    assert queue.failed(retry_after_seconds=60) == 60
    queue.put("incident", (P1, at(0)))
    assert await taken(queue) is None


async def test_a_pause_ends_by_itself(queue: lane.Lane) -> None:
    queue.failed(retry_after_seconds=0.001)
    queue.put("incident", (P1, at(0)))
    async with asyncio.timeout(5):
        assert await queue.take(p1_only=False) == "incident"


async def test_after_a_failure_they_go_one_at_a_time_until_one_gets_through(queue: lane.Lane) -> None:
    queue.failed(retry_after_seconds=0.001)
    await asyncio.sleep(0.002)
    queue.put("first", (P1, at(0)))
    queue.put("second", (P1, at(1)))
    assert await taken(queue) == "first"
    assert await taken(queue, p1_only=True) is None
    assert queue.succeeded()
    queue.release("first")
    assert await taken(queue, p1_only=True) == "second"


async def test_the_pause_grows_to_its_cap_and_not_beyond(queue: lane.Lane) -> None:
    pauses = [queue.failed(None) for _ in range(200)]
    assert pauses[0] <= 1
    assert max(pauses) <= lane.LONGEST_PAUSE_SECONDS
    assert max(pauses) > lane.LONGEST_PAUSE_SECONDS / 2


async def test_a_far_end_that_says_at_once_is_not_asked_at_once(queue: lane.Lane) -> None:
    pauses = [queue.failed(retry_after_seconds=0) for _ in range(200)]
    assert min(pauses) > 0
    assert max(pauses) > lane.LONGEST_PAUSE_SECONDS / 2


async def test_a_shorter_pause_does_not_end_a_longer_one(queue: lane.Lane) -> None:
    queue.failed(retry_after_seconds=60)
    queue.failed(retry_after_seconds=0.001)
    queue.put("incident", (P1, at(0)))
    assert await taken(queue) is None


async def test_a_closed_lane_hands_nothing_out(queue: lane.Lane) -> None:
    queue.put("incident", (P1, at(0)))
    async with asyncio.TaskGroup() as tasks:
        queue.close()
        waiting = tasks.create_task(queue.take(p1_only=False))
    assert waiting.result() is None


async def test_what_has_waited_longest_is_told_for_each_priority(queue: lane.Lane) -> None:
    queue.put("young", (P1, at(9)))
    queue.put("old", (P1, at(5)))
    queue.put("older", (P2, at(1)))
    assert [queue.oldest(priority) for priority in (P1, P2, P3)] == [at(5), at(1), None]


async def test_what_is_being_told_still_waits(queue: lane.Lane) -> None:
    queue.put("incident", (P1, at(0)))
    await taken(queue)
    assert queue.oldest(P1) == at(0)
    queue.release("incident")
    assert queue.oldest(P1) is None


async def test_an_incident_that_becomes_urgent_while_it_is_told_waits_as_such(queue: lane.Lane) -> None:
    queue.put("incident", (P2, at(0)))
    await taken(queue)
    queue.put("incident", (P1, at(5)))
    assert queue.oldest(P1) == at(5)
