"""Flapping: shown as a fact, of a P2 or P3 without repeated messages, and nothing of a P1 is kept back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import flapping, model
from tests.unit import told
from tests.unit.build import alert, at
from tests.unit.test_plan import CHANNEL, PAGER, World

MINUTE = 60.0


def flaps(world: World, times: int, *, priority: str, gap: float = MINUTE) -> None:
    """Fire and resolve so many times, so far apart, everything told as soon as it is due."""
    for _ in range(times):
        now = world.now
        world.hear(alert(priority=priority, starts=now + gap), seconds=gap)
        world.settle()
        world.hear(alert(priority=priority, starts=now + gap, ends=now + 2 * gap), seconds=gap)
        world.settle()


def world_of(manner: model.Manner) -> World:
    return World(lambda _: ("there",), {"there": manner})


def pass_time(world: World, seconds: float) -> None:
    world.now += seconds
    world.settle()


def test_a_channel_is_told_of_the_third_opening_and_then_of_the_end_of_it_all() -> None:
    world = world_of(CHANNEL)
    flaps(world, 8, priority="P2")
    twice = ["open: fired", "close: resolved"] * 2
    assert world.reasons("there") == [*twice, "open: fired"]
    pass_time(world, 10 * MINUTE)
    assert world.reasons("there") == [*twice, "open: fired", "close: resolved"]


@pytest.mark.parametrize("manner", [PAGER, CHANNEL])
def test_of_a_p1_each_firing_and_each_resolve_is_told(manner: model.Manner) -> None:
    world = world_of(manner)
    flaps(world, 8, priority="P1")
    assert world.reasons("there") == ["open: fired", "close: resolved"] * 8


def test_what_goes_on_firing_after_it_flapped_is_told_as_one() -> None:
    for manner in (CHANNEL, PAGER):
        world = world_of(manner)
        flaps(world, 4, priority="P2")
        before = len(world.reasons("there"))
        world.hear(alert(priority="P2", starts=world.now + 1))
        world.settle()
        pass_time(world, 11 * MINUTE)
        assert world.reasons("there")[before:] == []
        world.hear(alert(priority="P2", starts=world.now - 600, ends=world.now + 1))
        world.settle()
        pass_time(world, 10 * MINUTE)
        assert world.reasons("there")[-1] == "close: resolved"


def test_an_alert_that_was_not_shown_is_told_once_while_it_flaps() -> None:
    world = world_of(CHANNEL)
    flaps(world, 4, priority="P2")
    before = len(world.reasons("there"))
    for _ in range(3):
        start = world.now + MINUTE
        world.hear(alert("b", priority="P2", starts=start), seconds=MINUTE)
        world.settle()
        world.hear(alert("b", priority="P2", starts=start, ends=start + MINUTE), seconds=MINUTE)
        world.settle()
    assert world.reasons("there")[before:] == ["update: flapping"]


def test_a_priority_that_rises_while_it_flaps_is_told_at_once() -> None:
    world = world_of(CHANNEL)
    flaps(world, 4, priority="P3")
    world.hear(alert("b", priority="P2", starts=world.now + 1))
    world.settle()
    assert world.reasons("there")[-1] == "update: priority_raised"
    world.hear(alert("c", priority="P1", starts=world.now + 1))
    world.settle()
    assert world.far["there"].told[-1].shows.priority is model.Priority.P1


def test_openings_that_are_far_apart_are_each_told() -> None:
    world = world_of(CHANNEL)
    flaps(world, 4, priority="P2", gap=11 * MINUTE)
    assert world.reasons("there") == ["open: fired", "close: resolved"] * 4


def flapped(*openings: float, resolved: float | None = None) -> model.Incident:
    return told.incident(
        told.down(ends=resolved),
        openings=tuple(at(opening) for opening in openings),
        opened_at=at(openings[-1]),
        changed_at=at(openings[-1] if resolved is None else resolved),
        resolved_at=None if resolved is None else at(resolved),
    )


@pytest.mark.parametrize(
    ("openings", "fact"),
    [
        ((0, 60), ""),
        ((0, 600, 1200), "Flapping: 3 times in 20 minutes."),
        ((0, 600, 1201), ""),
        ((0, 1300, 1360, 1420), "Flapping: 3 times in 2 minutes."),
        ((0, 60, 120, 180, 1000), "Flapping: 5 times in 17 minutes."),
    ],
)
def test_the_fact(openings: tuple[float, ...], fact: str) -> None:
    assert flapping.fact(flapped(*openings)) == fact


def test_it_flaps_until_it_was_quiet_for_ten_minutes() -> None:
    assert flapping.quiet_at(flapped(0, 60, 120)) == at(720)
    assert flapping.quiet_at(flapped(0, 60, 120, resolved=200)) == at(800)


def test_a_message_says_that_it_flaps_and_a_p2_that_it_stays_shown() -> None:
    about = flapped(0, 60, 120)
    shown = told.compose(about, told.step(about))
    assert shown.title.startswith("[P1, flapping] ServiceDown")
    assert shown.notes == ("Flapping: 3 times in 2 minutes.",)
    less = structs.replace(about, priority=model.Priority.P2)
    stays = "It is shown as firing until it was quiet for 10 minutes."
    assert told.compose(less, told.step(less)).notes == (*shown.notes, stays)
    over = flapped(0, 60, 120, resolved=200)
    closing = told.compose(over, told.step(over, model.Act.CLOSE, model.Reason.RESOLVED))
    assert closing.title.startswith("[P1 resolved] ServiceDown")
    assert closing.notes == ("Flapping: 3 times in 4 minutes.",)


_moves = st.lists(
    st.tuples(
        st.sampled_from(["fire", "end"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from([5.0, 60.0, 400.0, 700.0]),
        st.sampled_from(["", "", "before intent", "before send", "before receipt"]),
    ),
    max_size=30,
)


@given(priority=st.sampled_from(["P1", "P2"]), moves=_moves, pages=st.booleans())
@settings(max_examples=200, deadline=None)
def test_whatever_happens_quiet_brings_the_truth(
    priority: str, moves: list[tuple[str, str, float, str]], pages: bool
) -> None:
    world = world_of(PAGER if pages else CHANNEL)
    firing: dict[str, float] = {}
    for what, name, pause, cut in moves:
        now = world.now + pause
        if what == "fire":
            firing.setdefault(name, now)
            world.hear(alert(name, priority=priority, starts=firing[name]), seconds=pause)
        elif name in firing:
            world.hear(alert(name, priority=priority, starts=firing.pop(name), ends=now), seconds=pause)
        else:
            world.now = now
        if world.incident is None:
            continue
        world.step("there", cut) if cut else world.settle()
    if world.incident is None:
        return
    world.settle()
    pass_time(world, 10 * MINUTE)
    assert world.far["there"].open == world.incident.open
    shown = world.deliveries["there"].shown if "there" in world.deliveries else None
    if world.incident.open:
        assert shown is not None
        assert shown.episode == world.incident.episode or priority == "P2", "episodes of a P2 collapse"
        fires = {one.fingerprint for one in world.incident.firing}
        assert shown.firing >= fires if pages else shown.firing == fires
