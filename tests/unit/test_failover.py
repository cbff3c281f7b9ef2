"""Who is told in the place of a destination that does not take a P1, and that a crash at any point ends the same."""

import dataclasses
from collections.abc import Collection
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import desire, failover, model, plan
from tests.unit import test_plan
from tests.unit.build import alert, at

BACKUPS = {
    "pager": failover.Backup(to="channel", after_seconds=45, title="PagerDuty", pages=True),
    "channel": failover.Backup(to="pager", after_seconds=45, title="Slack's #incidents", pages=False),
}


class World(test_plan.World):
    """One incident at a pager and a channel that stand in for each other."""

    def __init__(self, *, told_at: Collection[str] = ("pager", "channel")) -> None:
        super().__init__(lambda _: told_at, {"pager": test_plan.PAGER, "channel": test_plan.CHANNEL})
        self.suspended: set[str] = set()

    @property
    def situation(self) -> model.Situation:
        assert self.incident is not None
        return model.Situation(incident=self.incident, deliveries=self.deliveries)

    @property
    def by_route(self) -> dict[str, desire.Desired]:
        return dict(desire.desire(self.situation.incident, self.route))

    def look(self) -> None:
        debts = failover.debts(self.situation, self.by_route, BACKUPS, at(self.now))
        for name, since in debts.items():
            self.deliveries[name] = dataclasses.replace(self.deliveries[name], owed_since=since)
        super().look()

    def due(self, name: str, now: datetime | None = None) -> model.Step | model.Wait | None:
        instant = now or at(self.now)
        desired = failover.stand_ins(self.situation, self.by_route, BACKUPS, self.suspended, instant)
        if name not in desired and name not in self.deliveries:
            return None
        return plan.plan(name, self.situation, desired, self.manners[name], instant)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.look()

    def fail(self, name: str, error: str) -> None:
        delivery = self.deliveries[name]
        self.deliveries[name] = dataclasses.replace(
            delivery, attempts=delivery.attempts + 1, last_error=error
        )

    def tell(self, name: str) -> list[str]:
        """Take every step that is due at one destination; returns what it was told."""
        count = len(self.far[name].told)
        while self.step(name):
            self.look()
        return [f"{step.act}: {step.reason}" for step in self.far[name].told[count:]]

    def last(self, name: str) -> model.Step:
        return self.far[name].told[-1]

    def look_again(self) -> datetime | None:
        return failover.look_again(self.situation, self.by_route, BACKUPS, at(self.now))


@pytest.fixture
def world() -> World:
    """A P1 that the channel was told of at second 1."""
    world = World()
    world.hear(alert())
    assert world.tell("channel") == ["open: fired"]
    return world


def test_a_p1_that_the_pager_does_not_take_is_told_in_the_channel_after_its_time(world: World) -> None:
    world.wait(44.9)
    assert world.tell("channel") == []
    world.wait(0.1)
    assert world.tell("channel") == ["update: failed_over"]
    assert world.last("channel").failed == {"pager"}
    world.wait(600)
    assert world.tell("channel") == []


def test_the_instant_of_the_failover_is_known_before(world: World) -> None:
    assert world.look_again() == at(46)
    world.wait(45)
    assert world.look_again() is None


def test_a_p1_that_is_taken_in_time_fails_over_nowhere(world: World) -> None:
    world.wait(44)
    world.tell("pager")
    assert world.look_again() is None
    world.wait(600)
    assert world.tell("channel") == []


def test_a_p2_fails_over_nowhere() -> None:
    world = World()
    world.hear(alert(priority="P2"))
    world.tell("channel")
    world.wait(600)
    assert world.tell("channel") == []


def test_nobody_waits_for_a_destination_that_is_broken(world: World) -> None:
    world.suspended = {"pager"}
    assert world.tell("channel") == ["update: failed_over"]


def test_nobody_waits_for_a_destination_that_refused_the_p1(world: World) -> None:
    step = world.due("pager")
    assert isinstance(step, model.Step)
    world.deliveries["pager"] = dataclasses.replace(world.deliveries["pager"], dead=step.shows)
    assert world.tell("channel") == ["update: failed_over"]


def test_a_failover_is_said_once(world: World) -> None:
    world.wait(50)
    world.tell("channel")
    world.hear(alert("b"), seconds=10)
    assert world.tell("channel") == ["update: alert_joined"]
    assert world.last("channel").failed == frozenset()


def test_what_is_over_before_it_was_told_is_owed_no_more(world: World) -> None:
    world.look()
    assert world.deliveries["pager"].owed_since == at(1)
    world.hear(alert(ends=2))
    assert world.deliveries["pager"].owed_since is None
    assert failover.debts(world.situation, world.by_route, BACKUPS, at(world.now)) == {}


def test_the_channel_is_told_when_the_pager_has_it(world: World) -> None:
    world.wait(50)
    world.tell("channel")
    assert world.tell("pager") == ["open: fired"]
    assert world.tell("channel") == ["update: taken_after_failover"]
    assert world.last("channel").taken == {"pager"}


def test_a_mended_destination_is_stood_in_for_until_its_receipt(world: World) -> None:
    world.suspended = {"pager"}
    world.tell("channel")
    world.suspended = set()
    assert world.tell("channel") == []
    world.tell("pager")
    assert world.tell("channel") == ["update: taken_after_failover"]


def test_alerts_that_join_do_not_put_the_failover_off(world: World) -> None:
    for number in range(5):
        world.hear(alert(f"late-{number}"), seconds=10)
        world.tell("channel")
    assert world.last("channel").failed == {"pager"}


def test_each_episode_has_its_own_time(world: World) -> None:
    world.tell("pager")
    world.hear(alert(ends=99), seconds=99)
    world.settle()
    world.hear(alert(starts=200), seconds=101)
    world.tell("channel")
    world.wait(44)
    assert world.tell("channel") == []
    world.wait(1)
    assert world.tell("channel") == ["update: failed_over"]


def test_a_pager_that_still_shows_the_last_episode_has_not_taken_this_one(world: World) -> None:
    world.tell("pager")
    world.hear(alert(ends=99), seconds=99)
    world.tell("channel")
    world.hear(alert(starts=200), seconds=101)
    world.tell("channel")
    world.wait(45)
    assert world.tell("channel") == ["update: failed_over"]


def test_a_p1_that_is_over_before_the_pager_took_it_is_closed_in_the_channel(world: World) -> None:
    world.wait(50)
    world.tell("channel")
    world.hear(alert(ends=60), seconds=10)
    assert world.tell("channel") == ["close: resolved"]
    assert world.last("channel").taken == frozenset()
    assert world.tell("pager") == [
        "open: fired_and_resolved_before_it_could_be_told",
        "close: resolved",
    ]


def test_the_pager_is_told_what_the_channel_has_not_taken() -> None:
    world = World()
    world.hear(alert())
    world.tell("pager")
    world.wait(45)
    assert world.tell("pager") == ["update: failed_over"]
    world.tell("channel")
    assert world.tell("pager") == ["update: taken_after_failover"]


def test_a_channel_that_is_no_concern_of_the_route_stands_in_all_the_same() -> None:
    world = World(told_at=["pager"])
    world.hear(alert())
    assert world.tell("channel") == []
    world.wait(45)
    assert world.tell("channel") == ["open: fired"]
    assert world.last("channel").failed == {"pager"}
    world.tell("pager")
    assert world.tell("channel") == ["close: taken_after_failover"]
    assert world.last("channel").taken == {"pager"}


def test_what_went_over_in_an_outage_of_both_is_told_by_the_first_that_comes_back() -> None:
    world = World()
    world.hear(alert())
    world.wait(3600)
    assert world.tell("channel") == ["open: fired"]
    assert world.last("channel").failed == {"pager"}
    assert world.tell("pager") == ["open: fired"]
    assert world.last("pager").failed == frozenset()
    assert world.tell("channel") == ["update: taken_after_failover"]


def test_an_alarm_about_a_destination_does_not_go_over_to_it() -> None:
    world = World(told_at=["channel"])
    world.hear(alert(phantommesh_alerts_destination="pager"))
    world.incident = structs.replace(world.situation.incident, receiver=desire.OWN_RECEIVER)
    world.wait(600)
    assert world.tell("pager") == []
    assert world.look_again() is None


def test_a_failover_whose_message_may_be_lost_is_told_again(world: World) -> None:
    world.wait(50)
    world.step("channel", cut="before send")
    assert world.tell("channel") == ["update: outcome_unknown"]
    assert world.last("channel").failed == {"pager"}


def test_a_failover_that_may_have_been_told_is_taken_back_all_the_same(world: World) -> None:
    world.wait(50)
    world.step("channel", cut="before receipt")
    world.tell("pager")
    assert world.tell("channel") == ["update: taken_after_failover"]
    assert world.last("channel").taken == {"pager"}


def test_the_sentences_say_who_for_how_long_and_why(world: World) -> None:
    world.fail("pager", "PagerDuty answered 503: overloaded.")
    world.wait(50)
    world.tell("channel")
    now = at(world.now)
    assert failover.sentences(world.situation, world.last("channel"), BACKUPS, now) == (
        "PagerDuty has not taken this page for 50 s: PagerDuty answered 503: overloaded.",
    )
    world.tell("pager")
    world.tell("channel")
    assert failover.sentences(world.situation, world.last("channel"), BACKUPS, now) == (
        "PagerDuty has been paged now, at 2026-01-15 03:00:51 UTC.",
    )


def test_a_sentence_about_a_broken_destination_does_not_speak_of_time(world: World) -> None:
    world.fail("pager", "PagerDuty answered 403")
    world.suspended = {"pager"}
    world.tell("channel")
    assert failover.sentences(world.situation, world.last("channel"), BACKUPS, at(world.now)) == (
        "PagerDuty has not taken this page: PagerDuty answered 403.",
    )


@pytest.mark.parametrize("cut", test_plan.CUTS)
@pytest.mark.parametrize("dies_at", range(8))
@pytest.mark.parametrize("down", ["pager", "channel"])
def test_a_death_after_any_step_leads_to_the_same_end(down: str, dies_at: int, cut: str) -> None:
    """As patroni tests its quorum resolver: the plan is made again from after every step."""
    world, taken = World(), 0
    (up,) = {"pager", "channel"} - {down}

    def tell(*names: str) -> None:
        nonlocal taken
        for name in names:
            while world.step(name, cut=cut if taken == dies_at else ""):
                taken += 1
                world.look()

    world.hear(alert("a"))
    tell(up)
    world.wait(50)
    tell(up)
    world.hear(alert("b", starts=1))
    tell(up)
    tell(down, up)
    world.hear(alert("a", ends=80), alert("b", starts=1, ends=80), seconds=30)
    tell(down, up)
    assert any(step.failed == {down} for step in world.far[up].told)
    assert any(step.taken == {down} for step in world.far[up].told)
    assert [far.open for far in world.far.values()] == [False, False]
    assert [far.opened for far in world.far.values()] == [1, 1]
    assert [one.owed_since for one in world.deliveries.values()] == [None, None]


actions = st.one_of(
    st.tuples(st.just("fire"), st.sampled_from("ab")),
    st.tuples(st.just("resolve"), st.sampled_from("ab")),
    st.tuples(st.just("pager"), st.sampled_from(["", *test_plan.CUTS])),
    st.tuples(st.just("channel"), st.sampled_from(["", *test_plan.CUTS])),
    st.tuples(st.just("break"), st.sampled_from(["pager", "channel"])),
    st.tuples(st.just("wait"), st.sampled_from(["10", "50"])),
)


@given(story=st.lists(actions, max_size=25))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_nobody_is_stood_in_for_in_the_end(story: list[tuple[str, str]]) -> None:
    world = World()
    runs: dict[str, float] = {}
    for action, detail in story:
        if action == "fire":
            runs.setdefault(detail, world.now + 0.5)
            world.hear(alert(detail, starts=runs[detail]))
        elif action == "resolve" and detail in runs:
            world.hear(alert(detail, starts=runs.pop(detail), ends=world.now + 0.5))
        elif action == "break":
            world.suspended ^= {detail}
        elif world.incident is not None and action == "wait":
            world.wait(float(detail))
        elif world.incident is not None and action in world.manners:
            world.step(action, cut=detail)
            world.look()
    if world.incident is None:
        return
    world.suspended = set()
    world.settle()
    world.wait(600)  # what flaps counts as over only when it has been quiet
    world.settle()
    for name, far in world.far.items():
        shown = world.deliveries[name].shown
        assert shown is not None
        assert shown.stands_in_for == frozenset()
        assert far.open == world.incident.open


def test_what_was_told_as_less_than_a_p1_and_is_one_now_fails_over() -> None:
    world = World()
    world.hear(alert("low", priority="P2"))
    world.settle()
    world.hear(alert("high"))
    world.tell("channel")
    world.wait(45)
    assert world.tell("channel") == ["update: failed_over"]
    world.tell("pager")
    assert world.tell("channel") == ["update: taken_after_failover"]
