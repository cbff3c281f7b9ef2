"""Failed logins: who has to wait, and how long. Over HTTP: tests/contract/test_guard.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook import logins


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> logins.Failures:
    return logins.Failures(monotonic=clock)


def used_up(failures: logins.Failures, address: str) -> None:
    for _ in range(logins.BURST):
        assert failures.count(address).wait_seconds == 0


def test_a_burst_is_free_and_what_comes_beyond_it_waits(failures: logins.Failures) -> None:
    used_up(failures, "192.0.2.1")
    assert failures.count("192.0.2.1") == logins.Failure(wait_seconds=1, is_news=True)


def test_only_the_first_failure_and_the_first_wait_are_news(failures: logins.Failures, clock: Clock) -> None:
    news = [number for number in range(3 * logins.BURST) if failures.count("192.0.2.1").is_news]
    assert news == [0, logins.BURST]
    clock.now += 10 * logins.BURST
    assert failures.count("192.0.2.1").is_news, "it was quiet for long"


def test_who_waited_as_long_as_told_fails_with_401_again(failures: logins.Failures, clock: Clock) -> None:
    used_up(failures, "192.0.2.1")
    for _ in range(50):
        waits = failures.count("192.0.2.1").wait_seconds
        assert waits == 1, "hammering does not make it longer"
    clock.now += waits + 1
    assert failures.count("192.0.2.1").wait_seconds == 0


def test_one_address_does_not_keep_another_waiting(failures: logins.Failures) -> None:
    used_up(failures, "192.0.2.1")
    assert failures.count("192.0.2.2").wait_seconds == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2:ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("unknown", "unknown", True),
    ],
)
def test_an_address_of_ipv6_stands_for_its_network(
    failures: logins.Failures, one: str, other: str, same: bool
) -> None:
    used_up(failures, one)
    assert (failures.count(other).wait_seconds > 0) is same


@given(st.integers(min_value=1, max_value=3))
def test_any_number_of_addresses_takes_bounded_memory_and_forgets_the_quietest(rounds: int) -> None:
    failures = logins.Failures(monotonic=Clock())
    used_up(failures, "192.0.2.1")
    most = 4096
    for number in range(rounds * most):
        if number % (most // 2) == 0:
            assert failures.count("192.0.2.1").wait_seconds > 0, "who goes on failing is not forgotten"
        failures.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(failures) == most
