"""How much a far end takes, and who may go."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import budget, model
from routing.destinations import pagerduty, slack

P1, P2, P3 = model.Priority.P1, model.Priority.P2, model.Priority.P3
LIMIT = budget.Limit(burst=5, per_second=1, reserved=2, at_start=5)


def go(own: budget.Budget, priority: model.Priority, now: float) -> float:
    """Wait as long as the budget says, and spend; returns when that was."""
    now += own.wait_seconds(priority, now)
    assert own.wait_seconds(priority, now) == pytest.approx(0)
    own.spend(now)
    return now


def test_a_burst_goes_at_once_and_then_one_after_the_other() -> None:
    own = budget.Budget(LIMIT, now=0)
    assert [go(own, P1, 0) for _ in range(5)] == [0] * 5
    assert go(own, P1, 0) == pytest.approx(1)
    assert go(own, P1, 1) == pytest.approx(2)


def test_a_part_of_the_burst_is_left_to_p1() -> None:
    own = budget.Budget(LIMIT, now=0)
    assert [go(own, P3, 0) for _ in range(3)] == [0] * 3
    assert own.wait_seconds(P2, 0) > 0
    assert own.wait_seconds(P1, 0) == 0


def test_what_was_not_spent_comes_back_up_to_the_burst() -> None:
    own = budget.Budget(LIMIT, now=0)
    for _ in range(5):
        go(own, P1, 0)
    assert [go(own, P1, 1000) for _ in range(5)] == [1000] * 5
    assert own.wait_seconds(P1, 1000) > 0


def test_a_p1_and_a_p2_that_wait_for_the_same_token_never_tie() -> None:
    for limit in (slack.LIMIT, pagerduty.LIMIT):
        own = budget.Budget(limit, now=0)
        own.spend(0)
        while own.wait_seconds(P1, 0) == 0:
            own.spend(0)
        assert own.wait_seconds(P1, 0) < own.wait_seconds(P2, 0)


def test_the_far_ends_own_word_counts_for_every_priority() -> None:
    own = budget.Budget(LIMIT, now=0)
    own.pause(30, 10)
    own.pause(5, 11)
    assert own.wait_seconds(P1, 12) == pytest.approx(28)
    assert own.wait_seconds(P1, 40) == 0


def test_the_same_far_end_is_one_budget_and_another_is_another() -> None:
    known = budget.Budgets()
    one = known.of(budget.FarEnd(identity="a", limit=LIMIT), now=0)
    assert known.of(budget.FarEnd(identity="a", limit=LIMIT), now=9) is one
    assert known.of(budget.FarEnd(identity="b", limit=LIMIT), now=9) is not one


_attempts = st.lists(st.tuples(st.sampled_from(list(model.Priority)), st.floats(0, 40)), max_size=300)


@given(attempts=_attempts, restart_after=st.integers(0, 300))
def test_pagerduty_never_hears_120_events_in_a_minute_even_over_a_restart(
    attempts: list[tuple[model.Priority, float]], restart_after: int
) -> None:
    sent, own, now = [], budget.Budget(pagerduty.LIMIT, now=0), 0.0
    for number, (priority, pause) in enumerate(attempts):
        if number == restart_after:
            own = budget.Budget(pagerduty.LIMIT, now=now)
        # A pause now and then, so that the bucket fills up in between.
        now = go(own, priority, now + (pause if number % 20 == 0 else 0))
        sent.append(now)
    for index, at in enumerate(sent):
        assert sum(1 for other in sent[index:] if other < at + 60) < 120


@given(attempts=_attempts, restart_after=st.integers(0, 300))
def test_slack_hears_a_message_a_second_and_no_more_even_over_a_restart(
    attempts: list[tuple[model.Priority, float]], restart_after: int
) -> None:
    sent, own, now = [], budget.Budget(slack.LIMIT, now=0), 0.0
    for number, (priority, pause) in enumerate(attempts):
        if number == restart_after:
            own = budget.Budget(slack.LIMIT, now=now)
        now = go(own, priority, now + pause / 10)
        sent.append(now)
    assert all(later - earlier >= 1.0 for earlier, later in itertools.pairwise(sent))
