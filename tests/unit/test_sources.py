"""Which sources are alive, awaited or missing, and the alarm about one."""

from datetime import datetime, timedelta

import pytest

from routing import model, sources
from tests.unit.build import at

PROD = sources.Expected(cluster="prod")
SECOND = sources.Expected(cluster="prod", prometheus="b")
ANY = sources.Policy()
LONG_AGO = at(-86_400)


def states(
    policy: sources.Policy, heard: dict[str, datetime], *, since: datetime = LONG_AGO, now: float = 0
) -> dict[str, str]:
    judged = sources.judge(policy, heard, since=since, now=at(now))
    return {source.name: source.state.value for source in judged}


def expecting(*expected: sources.Expected) -> sources.Policy:
    return sources.Policy(expected=expected)


@pytest.mark.parametrize(("silent_for", "state"), [(179.9, "alive"), (180, "missing")])
def test_a_source_is_missing_after_three_minutes_of_silence(silent_for: float, state: str) -> None:
    assert states(expecting(PROD), {"prod": at(-silent_for)}) == {"prod": state}


@pytest.mark.parametrize(("listening_for", "state"), [(179.9, "not yet heard"), (180, "missing")])
@pytest.mark.parametrize("heard", [{}, {"prod": at(-3600)}])
def test_silence_before_this_service_listened_says_nothing(
    listening_for: float, state: str, heard: dict[str, datetime]
) -> None:
    assert states(expecting(PROD), heard, since=at(-listening_for)) == {"prod": state}


def test_a_watchdog_that_never_arrives_at_a_fresh_installation_is_missing() -> None:
    assert states(ANY, {}, since=at(0), now=179) == {"any": "not yet heard"}
    assert states(ANY, {}, since=at(0), now=180) == {"any": "missing"}


def test_where_any_will_do_each_that_was_heard_counts() -> None:
    assert states(ANY, {"prod": at(-10), "staging/b": at(-300)}) == {"prod": "alive", "staging/b": "missing"}


def test_where_any_will_do_one_that_is_silent_for_a_week_is_forgotten() -> None:
    week = sources.FORGOTTEN_AFTER.total_seconds()
    assert states(ANY, {"prod": at(-10), "old": at(-week)}) == {"prod": "alive", "old": "silent"}
    assert states(ANY, {"old": at(-week)}) == {"any": "missing", "old": "silent"}, "one at least"


def test_a_listed_cluster_is_alive_by_any_prometheus_of_it() -> None:
    assert states(expecting(PROD), {"prod/a": at(-300), "prod/b": at(-10)}) == {"prod": "alive"}


def test_a_listed_prometheus_is_alive_by_itself_alone() -> None:
    heard = {"prod/a": at(-10), "prod": at(-10)}
    assert states(expecting(SECOND), heard) == {"prod": "alive", "prod/a": "alive", "prod/b": "missing"}


def test_a_cluster_is_not_alive_by_another_one_whose_name_begins_the_same() -> None:
    assert states(expecting(PROD), {"production": at(-300)}) == {"prod": "missing", "production": "silent"}


def test_where_nothing_is_expected_nothing_is_missing() -> None:
    assert states(expecting(), {"prod": at(-300)}) == {"prod": "silent"}


def test_how_long_one_may_be_silent_can_be_changed() -> None:
    policy = sources.Policy(expected=(PROD,), missing_after=timedelta(minutes=10))
    assert states(policy, {"prod": at(-599)}) == {"prod": "alive"}
    assert states(policy, {"prod": at(-600)}) == {"prod": "missing"}


def test_a_source_that_was_heard_in_the_future_of_a_clock_that_was_set_back_is_alive() -> None:
    assert states(expecting(PROD), {"prod": at(3600)}) == {"prod": "alive"}


@pytest.mark.parametrize(
    ("name", "heard_at", "summary"),
    [
        ("any", None, "No Watchdog has arrived yet"),
        ("prod", None, "No Watchdog of prod has arrived yet"),
        ("prod/a", at(-300), "No Watchdog of prod/a has arrived for 5 min 0 s"),
        ("", at(-300), "No Watchdog of (no cluster label) has arrived for 5 min 0 s"),
    ],
)
def test_the_alarm_is_a_p1_that_names_the_source(name: str, heard_at: datetime | None, summary: str) -> None:
    source = sources.Source(name=name, state=sources.State.MISSING, heard_at=heard_at)
    told = sources.firing(source, at(0))
    (alert,) = told.alerts
    assert told.group_labels["alertname"] == alert.labels["alertname"] == "WatchdogMissing"
    assert told.group_labels[sources.NAME] == name
    assert model.priority_of(alert.labels) is model.Priority.P1
    assert alert.annotations["summary"] == summary


def test_two_sources_are_two_incidents() -> None:
    assert model.incident_id(sources.group_labels("a")) != model.incident_id(sources.group_labels("b"))
