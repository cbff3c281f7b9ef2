"""Whatever happens to an incident, whoever fails, and wherever the process dies: DESIGN's invariants 2, 3 and 4.

`Truth` is what really happens: alerts fire, recover, are silenced. The service hears of it in messages that may be
late, out of order, cut off or lost, and from what Alertmanager lists. Episodes, desire, failover, flapping and plan
are the real code; the far ends are those of `test_plan`.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import episodes, flapping, model, truth
from tests.unit import build, test_failover, test_plan
from tests.unit.build import GROUP, at, message

ALL_P1 = {"a": "P1", "b": "P1", "c": "P1"}
MIXED = {"a": "P1", "b": "P1", "c": "P2"}
ENDS_FOR_GOOD = {model.Reason.RESOLVED, model.Reason.RECONCILED}
REPEATS = {model.Reason.UNCERTAIN, model.Reason.REASSERTED}


@dataclasses.dataclass
class Run:
    """One time that an alert fires."""

    starts: float
    mute: model.Mute | None = None


@dataclasses.dataclass
class Heard:
    """What a destination was sent, and whether its invariants held."""

    last: model.Step | None = None
    is_certain: bool = True
    closed: int = 0
    """The episode that was told as over for good."""
    told: set[int] = dataclasses.field(default_factory=set)
    told_at: dict[str, float] = dataclasses.field(default_factory=dict)

    def take(self, step: model.Step, now: float) -> None:
        shows = step.shows
        if self.last is not None:
            assert shows.episode >= self.last.shows.episode, "an old state over a new one"
            is_repeat = shows == self.last.shows and (step.act is model.Act.CLOSE) == (
                self.last.act is model.Act.CLOSE
            )
            assert not (is_repeat and self.is_certain) or step.reason in REPEATS, "told twice"
        if step.act is model.Act.CLOSE:
            if step.reason in ENDS_FOR_GOOD:
                self.closed = shows.episode
        else:
            assert shows.episode > self.closed or not self.is_certain, "a trigger after its resolve"
            self.told.update(range(shows.episode - step.fired_times + 1, shows.episode + 1))
            self.told_at.update(dict.fromkeys(shows.firing, now))
        self.last = step


class World(test_failover.World):
    """One incident, what is true of it, and messages that are under way."""

    def __init__(self, priorities: Mapping[str, str]) -> None:
        super().__init__()
        self.priorities = priorities
        self.runs: dict[str, Run] = {}
        self.under_way: list[model.Notification] = []
        self.heard: dict[str, Heard] = collections.defaultdict(Heard)
        self.fires_since: dict[str, float] = {}
        self.seen_over: set[str] = set()
        """What the pager's lane, which had nothing left to do, knows to be over."""
        self.p1_episodes: set[int] = set()

    # What happens

    def fire(self, name: str) -> None:
        if name not in self.runs:
            self.runs[name] = Run(self.now)
            self._say()

    def recover(self, name: str) -> None:
        run = self.runs.pop(name, None)
        if run is not None:
            over = build.alert(name, starts=run.starts, ends=self.now, priority=self.priorities[name])
            self._say(over)

    def mute(self, name: str, mute: model.Mute | None) -> None:
        if name in self.runs:
            self.runs[name].mute = mute

    def _say(self, *over: model.Alert) -> None:
        fires = [self.alert(name) for name, run in self.runs.items() if run.mute is None]
        if fires or over:
            self.under_way.append(structs.replace(message(*fires, *over), confirmable=True))

    def alert(self, name: str) -> model.Alert:
        """It, as it fires."""
        return build.alert(name, starts=self.runs[name].starts, priority=self.priorities[name])

    # What is heard of it

    def arrive(self, which: int, how: str) -> None:
        if not self.under_way:
            return
        told = self.under_way[which % len(self.under_way)]
        if how != "repeated":
            self.under_way.remove(told)
        if how == "lost":
            return
        if how == "truncated":
            told = structs.replace(told, alerts=told.alerts[:1], truncated_alerts=len(told.alerts))
        before = self.incident.firing if self.incident else ()
        self._change(episodes.absorb(self.incident, told, at(self.now)))
        fires = {one.fingerprint for one in self.situation.incident.firing}
        for one in before:
            is_p1 = model.priority_of(one.labels) is model.Priority.P1
            assert not is_p1 or one.fingerprint in fires, "the end of a P1 without proof"

    def resync(self) -> None:
        """As `routing.truth` judges, where every Alertmanager can be believed."""
        known = self.incident.alerts if self.incident else {}
        fires = {self.alert(name).fingerprint: name for name in self.runs}
        findings = {}
        for fingerprint, one in known.items():
            if one.status is not model.AlertStatus.FIRING:
                continue
            end = one.recovers_at or one.ends_at
            mute = self.runs[fires[fingerprint]].mute if fingerprint in fires else None
            if fingerprint in fires:
                kind = truth.Kind.FIRES
            elif one.held_until:
                continue
            else:
                kind = truth.Kind.RECOVERED if end else truth.Kind.GONE
            findings[fingerprint] = truth.Finding(kind=kind, starts_at=one.starts_at, end=end, mute=mute)
        incident = episodes.find(self.incident, findings, at(self.now)) if self.incident else None
        strangers = [
            self._stranger(name)
            for fingerprint, name in fires.items()
            if self.runs[name].mute is None
            and (fingerprint not in known or known[fingerprint].status is not model.AlertStatus.FIRING)
        ]
        if strangers:
            incident = episodes.list_strangers(incident, strangers, at(self.now))
        if incident is not None:
            self._change(episodes.tell_whole(incident, at(self.now)))

    def _stranger(self, name: str) -> truth.Stranger:
        return truth.Stranger(
            group_labels=GROUP,
            alert=self.alert(name),
            listed=truth.Listed(
                incident_id=model.incident_id(GROUP),
                receiver="phantommesh-alerts",
                name="ServiceDown",
                updated_at=at(self.now),
                mute=None,
            ),
        )

    def _change(self, incident: model.Incident) -> None:
        was = {one.fingerprint for one in self.incident.firing} if self.incident else set()
        self.incident = incident
        if any(model.priority_of(one.labels) is model.Priority.P1 for one in incident.firing):
            self.p1_episodes.add(incident.episode)
        for one in incident.firing:
            if one.fingerprint not in was and one.fingerprint in self.seen_over:
                self.fires_since[one.fingerprint] = self.now
        self.look()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        if self.incident is not None:
            self._change(episodes.release(self.incident, at(self.now)))

    # What is told

    def due(self, name: str, now: Any = None) -> model.Step | model.Wait | None:
        due = super().due(name, now)
        if isinstance(due, model.Wait):
            assert due.until > at(self.now), "a wait that lies in the past"
        return due

    def step(self, name: str, cut: str = "") -> model.Step | None:
        if name in self.suspended and not cut:
            return None
        heard, count = self.heard[name], len(self.far[name].told)
        step = super().step(name, cut)
        if len(self.far[name].told) > count:
            heard.take(self.far[name].told[-1], self.now)
        elif step is not None and step.act is model.Act.FORGET and not cut:
            heard.last = step  # nothing is said, and what is said next is compared with it
        if step is not None:
            heard.is_certain = cut in ("", "before intent") and (heard.is_certain or not cut)
        self.look()
        if name == "pager" and step is None:
            self._note_what_is_over()
        return step

    def _note_what_is_over(self) -> None:
        delivery, incident = self.deliveries.get("pager"), self.situation.incident
        if flapping.quiet_at(incident) is None and not (delivery and (delivery.dead_at or delivery.intent)):
            self.seen_over = {one.fingerprint for one in incident.alerts.values() if not one.fires}

    def refuse(self, name: str) -> None:
        """The far end refuses what is due there for good."""
        self.p1_episodes.discard(self.situation.incident.episode)  # said elsewhere, and replayed by hand
        step = self.due(name)
        if isinstance(step, model.Step) and step.act is not model.Act.FORGET:
            self.look()
            delivery = self.deliveries[name]
            intent = step.shows if delivery.intent else None
            self.deliveries[name] = dataclasses.replace(
                delivery, intent=intent, dead=step.shows, dead_at=at(self.now), attempts=1
            )
            self.look()

    def suspend(self, name: str) -> None:
        """It breaks, or is whole again."""
        self.suspended ^= {name}

    def mend(self) -> None:
        """Everything works, and somebody has replayed the dead letters."""
        self.suspended = set()
        for name, delivery in self.deliveries.items():
            self.deliveries[name] = dataclasses.replace(delivery, dead=None, dead_at=None)

    def reroute(self, told_at: Sequence[str]) -> None:
        self.route = lambda _: told_at
        if self.incident is not None:
            self.look()


Told = Sequence[tuple[Any, ...]]

ROUTES = [("pager", "channel"), ("pager",), ("channel",)]
names = st.sampled_from("abc")
places = st.sampled_from(["pager", "channel"])
happens = st.one_of(
    st.tuples(st.just("fire"), names),
    st.tuples(st.just("recover"), names),
    st.tuples(st.just("mute"), names, st.sampled_from([test_plan.SILENCE, test_plan.INHIBITION, None])),
    st.tuples(
        st.just("arrive"),
        st.integers(0, 2),
        st.sampled_from(["whole", "whole", "repeated", "truncated", "lost"]),
    ),
    st.tuples(st.just("arrive"), st.just(0), st.just("whole")),
    st.tuples(st.just("resync")),
    st.tuples(st.just("step"), places, st.sampled_from(["", "", *test_plan.CUTS])),
    st.tuples(st.just("settle"), places),
    st.tuples(st.just("suspend"), places),
    st.tuples(st.just("refuse"), places),
    st.tuples(st.just("wait"), st.sampled_from([2, 12, 50, 400, 700, 2000])),
)
rerouted = st.tuples(st.just("reroute"), st.sampled_from(ROUTES))


def play(story: Told, priorities: Mapping[str, str]) -> World:
    world = World(priorities)
    doing: Mapping[str, Callable[..., object]] = {
        "fire": world.fire,
        "recover": world.recover,
        "mute": world.mute,
        "arrive": world.arrive,
        "resync": world.resync,
        "wait": world.wait,
        "reroute": world.reroute,
        "suspend": world.suspend,
    }
    telling: Mapping[str, Callable[..., object]] = {
        "step": world.step,
        "refuse": world.refuse,
        "settle": functools.partial(settle, world),
    }
    for action, *details in story:
        world.now += 1
        if action in doing:
            doing[action](*details)
        elif world.incident is not None:
            telling[action](*details)
    return world


def settle(world: World, *names: str) -> None:
    """At a fixed clock there is an end."""
    for _ in range(25):
        steps = [world.step(name) for name in names or world.manners]
        if not any(steps):
            return
    raise AssertionError("no end in sight")


def end(world: World) -> None:
    """All is mended and quiet, and Alertmanager's lists are read."""
    world.mend()
    world.under_way.clear()
    world.wait(60)
    world.resync()
    if world.incident is None:
        return
    settle(world)
    world.wait(700)  # what flaps counts as over only when it has been quiet
    world.resync()
    settle(world)


def loud(incident: model.Incident) -> set[str]:
    return {one.fingerprint for one in incident.firing if one.muted != test_plan.SILENCE}


def check(world: World) -> None:
    incident = world.incident
    if incident is None:
        return
    fires = {world.alert(name).fingerprint: run for name, run in world.runs.items()}
    known = {one.fingerprint for one in incident.firing}
    assert known <= set(fires)
    assert set(fires) - known <= {name for name, run in fires.items() if run.mute}
    for name, far in world.far.items():
        assert far.open == bool(loud(incident) and name in world.route({})), name
        delivery = world.deliveries.get(name)
        if delivery is not None and delivery.shown is not None:
            assert delivery.intent is None
            assert not delivery.shown.stands_in_for
    for one in incident.firing:
        is_p1 = model.priority_of(one.labels) is model.Priority.P1
        if one.fingerprint in loud(incident) and is_p1 and "pager" in world.route({}):
            told_at = world.heard["pager"].told_at.get(one.fingerprint)
            assert told_at is not None
            assert told_at >= world.fires_since.get(one.fingerprint, 0), (
                "fires anew and the pager was not told"
            )


@given(story=st.lists(happens, min_size=20, max_size=60))
@settings(max_examples=200, deadline=None)
def test_whatever_happens_to_a_p1_everyone_is_told_what_is_true_and_in_order(
    story: Told,
) -> None:
    world = play(story, ALL_P1)
    end(world)
    check(world)
    if world.incident is not None:
        for run in world.runs.values():
            run.mute = None  # what nobody was told under a silence is told when it ends
        world.resync()
        settle(world)
    assert world.p1_episodes <= world.heard["pager"].told, "a P1 was collapsed in silence"


@given(story=st.lists(st.one_of(happens, rerouted), min_size=20, max_size=60))
@settings(max_examples=200, deadline=None)
def test_whatever_is_rerouted_and_of_whatever_tier_everyone_is_told_what_is_true(
    story: Told,
) -> None:
    world = play(story, MIXED)
    end(world)
    check(world)
