"""Who is next in a lane, and who may go at all."""

import asyncio

import pytest

from routing import budget, lane, model, summary
from tests.unit import told
from tests.unit.build import at

P1, P2, P3 = model.Priority.P1, model.Priority.P2, model.Priority.P3


@pytest.fixture
def queue() -> lane.Lane:
    return lane.Lane("slack-ops")


async def taken(queue: lane.Lane, *, p1_only: bool = False) -> str | lane.Backlog | None:
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


async def after_a_failure(queue: lane.Lane, *, of: str | None) -> str | lane.Backlog | None:
    """Who goes after this one failed, its pause over."""
    if of is not None:
        queue.failed(None, incident_id=of)
        queue.release(of)
        queue.put(of, WAITING[of])
    queue._free_at = dict.fromkeys(queue._free_at, 0.0)
    return await taken(queue)


WAITING = {"a": (P1, at(0)), "b": (P1, at(1)), "c": (P2, at(2)), "d": (P3, at(3))}


async def test_who_failed_lets_the_others_try_first_but_no_lesser_one_twice(queue: lane.Lane) -> None:
    for name, urgency in WAITING.items():
        queue.put(name, urgency)
    order: list[str | None] = [None]
    for _ in range(8):
        went = await after_a_failure(queue, of=order[-1])
        assert isinstance(went, str)
        order.append(went)
    assert order[1:] == ["a", "b", "c", "a", "b", "d", "a", "b"]


async def test_once_one_gets_through_the_most_urgent_is_next_whoever_failed(queue: lane.Lane) -> None:
    for name, urgency in WAITING.items():
        queue.put(name, urgency)
    assert await after_a_failure(queue, of=None) == "a"
    assert await after_a_failure(queue, of="a") == "b"
    queue.succeeded()
    queue.release("b")
    assert await taken(queue) == "a"


async def test_the_far_end_s_own_word_is_about_nobody_in_particular(queue: lane.Lane) -> None:
    for name, urgency in WAITING.items():
        queue.put(name, urgency)
    assert await taken(queue) == "a"
    queue.failed(0.001, incident_id="a")
    queue.release("a")
    queue.put("a", WAITING["a"])
    async with asyncio.timeout(5):
        assert await queue.take(p1_only=False) == "a"


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


# Budgets.

SLOW = budget.Limit(burst=1, per_second=50, reserved=0, at_start=1)
NEVER = budget.Limit(burst=2, per_second=1e-9, reserved=1, at_start=2)


def limited(limit: budget.Limit, *, summarises: bool = False) -> lane.Lane:
    spending = budget.Budget(limit, now=asyncio.get_running_loop().time())
    return lane.Lane("slack-ops", spending=spending, summarises=summarises)


async def test_nobody_is_handed_out_before_the_budget_allows_it() -> None:
    queue = limited(NEVER)
    queue.put("warning", (P2, at(0)))
    assert await taken(queue) == "warning"
    assert await queue.admit(P2)
    queue.put("another warning", (P2, at(1)))
    assert await taken(queue) is None


async def test_what_is_reserved_lets_a_p1_go_when_the_rest_is_spent() -> None:
    queue = limited(NEVER)
    assert await queue.admit(P2)
    queue.put("warning", (P2, at(0)))
    queue.put("critical", (P1, at(1)))
    assert await taken(queue) == "critical"
    assert await queue.admit(P1)
    assert await taken(queue) is None


async def test_a_lane_goes_on_by_itself_when_the_budget_has_come_back() -> None:
    queue = limited(SLOW)
    assert await queue.admit(P2)
    queue.put("warning", (P2, at(0)))
    async with asyncio.timeout(5):
        assert await queue.take(p1_only=False) == "warning"
        assert await queue.admit(P2)
    assert queue.budget_waits == 1


async def test_lanes_that_lead_to_the_same_far_end_share_its_budget_and_its_pause() -> None:
    spending = budget.Budget(NEVER, now=asyncio.get_running_loop().time())
    ops, info = lane.Lane("ops", spending=spending), lane.Lane("info", spending=spending)
    info.put("info", (P3, at(0)))
    assert await ops.admit(P2)
    assert await taken(info) is None
    info.put("critical", (P1, at(0)))
    ops.failed(retry_after_seconds=60)
    assert await taken(info) is None
    assert info.paused_seconds > 50


async def test_a_success_elsewhere_does_not_end_the_far_ends_own_pause() -> None:
    queue = limited(NEVER)
    queue.failed(retry_after_seconds=60)
    queue.succeeded()
    queue.put("critical", (P1, at(0)))
    assert await taken(queue) is None


async def test_too_many_without_a_word_on_when_pauses_what_shares_the_budget() -> None:
    spending = budget.Budget(NEVER, now=asyncio.get_running_loop().time())
    ops, info = lane.Lane("ops", spending=spending), lane.Lane("info", spending=spending)
    for _ in range(20):
        ops.failed(None)
    assert info.paused_seconds == 0
    ops.failed(None, too_many=True)
    assert info.paused_seconds > 0


async def test_nothing_is_admitted_while_the_far_end_wants_a_long_pause() -> None:
    queue = limited(NEVER)
    queue.failed(retry_after_seconds=600)
    assert not await queue.admit(P1)


async def test_what_failed_with_a_p3_does_not_keep_a_p1_waiting(queue: lane.Lane) -> None:
    queue.put("info", (P3, at(0)))
    assert await taken(queue) == "info"
    for _ in range(20):
        queue.failed(None, urgent=False)
    queue.release("info")
    queue.put("another info", (P3, at(0)))
    queue.put("critical", (P1, at(1)))
    assert await taken(queue) == "critical"
    queue.put("another critical", (P1, at(1)))
    assert await taken(queue, p1_only=True) is None, "one at a time until one gets through"


# Backlogs.


async def test_a_lane_that_is_behind_hands_out_p2_and_p3_together_and_p1_before_them() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    for number in range(4):
        queue.put(f"info {number}", (P3, at(number)))
        queue.put(f"warning {number}", (P2, at(number)))
    queue.put("critical", (P1, at(99)))
    assert await taken(queue) == "critical"
    expected = [f"warning {number}" for number in range(4)] + [f"info {number}" for number in range(4)]
    backlog = await taken(queue)
    assert isinstance(backlog, lane.Backlog)
    assert list(backlog.incident_ids) == expected
    assert len(queue) == 9
    queue.release("critical")
    queue.release_backlog()
    assert len(queue) == 0


async def test_five_that_wait_are_told_one_by_one_and_a_sixth_makes_a_backlog() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    for number in range(5):
        queue.put(str(number), (P2, at(number)))
    assert not queue.behind
    assert await taken(queue) == "0"
    queue.put("5", (P2, at(5)))
    queue.put("6", (P2, at(6)))
    assert queue.behind
    assert await taken(queue) == lane.Backlog(("1", "2", "3", "4", "5", "6"))


async def test_a_pager_never_hands_out_a_backlog(queue: lane.Lane) -> None:
    for number in range(20):
        queue.put(str(number), (P2, at(number)))
    assert await taken(queue) == "0"


async def test_the_next_summary_waits_for_its_pace_and_a_p1_does_not() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    queue.summarised([])
    for number in range(6):
        queue.put(str(number), (P2, at(number)))
    assert await taken(queue) is None
    queue.put("critical", (P1, at(9)))
    assert await taken(queue) == "critical"


async def test_what_changes_while_its_summary_is_sent_comes_again_after_it() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    for number in range(6):
        queue.put(str(number), (P2, at(number)))
    backlog = await taken(queue)
    assert isinstance(backlog, lane.Backlog)
    queue.put("3", (P2, at(10)))
    assert await taken(queue) is None
    queue.release_backlog()
    assert await taken(queue) == "3"


async def test_a_p1_that_is_being_told_is_in_no_backlog() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    queue.put("critical", (P1, at(0)))
    assert await taken(queue, p1_only=True) == "critical"
    for number in range(6):
        queue.put(str(number), (P2, at(number)))
    assert await taken(queue) == lane.Backlog(("0", "1", "2", "3", "4", "5"))


async def test_a_lane_tells_how_many_wait_of_each_priority(queue: lane.Lane) -> None:
    queue.put("critical", (P1, at(0)))
    queue.put("info", (P3, at(0)))
    await taken(queue)
    assert queue.waiting() == {P1: 1, P2: 0, P3: 1}


async def test_what_left_its_backlog_early_is_not_given_back_with_it() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    for number in range(6):
        queue.put(str(number), (P2, at(number)))
    await taken(queue)
    queue.release("3")
    queue.put("3", (P1, at(3)))
    assert await taken(queue, p1_only=True) == "3"
    queue.release_backlog()
    assert queue.waiting() == {P1: 1, P2: 0, P3: 0}


async def test_an_incident_told_as_closed_by_itself_is_in_no_later_summary() -> None:
    queue = lane.Lane("slack-ops", summarises=True)
    about = told.incident(told.down())
    queue.summarised([summary.line(about, told.step(about), external_url="")])
    assert list(queue.storm.standing) == [about.id]
    queue.told_closed(about.id)
    assert not queue.storm.standing
