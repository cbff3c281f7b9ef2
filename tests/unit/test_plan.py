"""Which step is due at a destination, and that a crash at any point leads to the same end.

`Far` is what the far end makes of the steps, as PagerDuty does: a trigger opens or is appended, a resolve closes
or is dropped. Everything else is the real code.
"""

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import desire, episodes, model, plan, truth
from tests.unit.build import alert, at, message

PAGER = model.Manner(shows_partial_resolves=False, reassert_seconds=1800, since=at(-3600))
CHANNEL = model.Manner(shows_partial_resolves=True, reassert_seconds=None, since=at(-3600))


@dataclasses.dataclass
class Far:
    """A far end that deduplicates: what it was told, how many incidents it opened, of how many episodes."""

    told: list[model.Step] = dataclasses.field(default_factory=list)
    open: bool = False
    opened: int = 0
    episodes_told: int = 0
    told_in_this: int = 0

    def take(self, step: model.Step) -> None:
        self.told.append(step)
        if step.act is model.Act.CLOSE:
            self.open = False
        elif not self.open:
            self.open = True
            self.opened += 1
            self.told_in_this = 0
        if step.act is model.Act.OPEN:
            self.episodes_told += max(0, step.fired_times - self.told_in_this)
            self.told_in_this = max(step.fired_times, self.told_in_this)


class World:
    """One incident and its destinations, with sends that may be cut short at any point."""

    def __init__(self, route: desire.Router, manners: Mapping[str, model.Manner]) -> None:
        self.route = route
        self.manners = manners
        self.incident: model.Incident | None = None
        self.deliveries: dict[str, model.Delivery] = {}
        self.far = {name: Far() for name in manners}
        self.now = 0.0
        self.confirmable = False

    def hear(self, *alerts: model.Alert, seconds: float = 1) -> None:
        self.now += seconds
        heard = structs.replace(message(*alerts), confirmable=self.confirmable)
        self.incident = episodes.absorb(self.incident, heard, at(self.now))
        self.look()

    def find(
        self, kind: truth.Kind, *about: model.Alert, mute: model.Mute | None = None, seconds: float = 1
    ) -> None:
        """What Alertmanager's lists say of alerts on record."""
        assert self.incident is not None
        self.now += seconds
        known = [self.incident.alerts[one.fingerprint] for one in about]
        findings = {
            one.fingerprint: truth.Finding(
                kind=kind, starts_at=one.starts_at, end=one.recovers_at or one.ends_at, mute=mute
            )
            for one in known
        }
        self.incident = episodes.find(self.incident, findings, at(self.now))
        self.look()

    def look(self) -> None:
        """Note from which episode on each destination should be told, as the reconciler does after each change."""
        assert self.incident is not None
        for name in self.manners:
            if name not in self.deliveries and isinstance(self.due(name), model.Step):
                self.deliveries[name] = model.Delivery(
                    incident_id=self.incident.id,
                    destination=name,
                    since_episode=self.incident.episode,
                    owed_since=at(self.now),
                )

    def due(self, name: str, now: datetime | None = None) -> model.Step | model.Wait | None:
        assert self.incident is not None
        situation = model.Situation(incident=self.incident, deliveries=self.deliveries)
        desired = desire.desire(self.incident, self.route)
        return plan.plan(name, situation, desired, self.manners[name], now or at(self.now))

    def step(self, name: str, cut: str = "") -> model.Step | None:
        """Take the step that is due; `cut` says where the process dies."""
        step = self.due(name)
        if not isinstance(step, model.Step):
            return None
        self.look()
        delivery = self.deliveries[name]
        if cut == "before intent":
            return step
        self.deliveries[name] = dataclasses.replace(delivery, intent=step.shows)
        if cut == "before send":
            return step
        if step.act is not model.Act.FORGET:
            self.far[name].take(step)
        if cut == "before receipt":
            return step
        self.deliveries[name] = dataclasses.replace(
            delivery,
            intent=None,
            dead=None,
            shown=step.shows,
            shown_at=delivery.shown_at if step.act is model.Act.FORGET else at(self.now),
            owed_since=None,
        )
        return step

    def settle(self) -> None:
        """Take steps everywhere until nothing is due."""
        for _ in range(50):
            steps = [self.step(name) for name in self.manners]
            if not any(steps):
                return
        raise AssertionError("no end in sight")

    def reasons(self, name: str) -> list[str]:
        return [f"{step.act}: {step.reason}" for step in self.far[name].told]


def pager_world() -> World:
    return World(lambda _: ("pager",), {"pager": PAGER})


def channel_world() -> World:
    return World(lambda _: ("channel",), {"channel": CHANNEL})


def test_an_incident_is_told_once_and_its_end_once() -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    world.hear(alert())
    world.settle()
    world.hear(alert(ends=2))
    world.settle()
    world.settle()
    assert world.reasons("pager") == ["open: fired", "close: resolved"]


def test_an_alert_that_joins_is_told_everywhere() -> None:
    for world in (pager_world(), channel_world()):
        (name,) = world.manners
        world.hear(alert("a"))
        world.settle()
        world.hear(alert("b"))
        world.settle()
        assert world.reasons(name) == ["open: fired", "update: alert_joined"]


def test_one_of_several_that_resolves_is_told_in_the_channel_and_not_to_the_pager() -> None:
    told = []
    for world in (pager_world(), channel_world()):
        (name,) = world.manners
        world.hear(alert("a"), alert("b"))
        world.settle()
        world.hear(alert("a", ends=1))
        world.settle()
        told.append(world.reasons(name)[1:])
    assert told == [[], ["update: partly_resolved"]]


def test_a_priority_that_rises_is_told_to_the_pager() -> None:
    world = pager_world()
    world.hear(alert("a", priority="P2"))
    world.settle()
    low = alert("a", priority="P2")
    risen = structs.replace(low, labels={**low.labels, "priority": "P1"})
    world.hear(risen)
    world.settle()
    assert world.reasons("pager") == ["open: fired", "update: priority_raised"]


def test_the_next_episode_of_a_p1_waits_for_the_receipt_of_the_last_resolve() -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    world.hear(alert(ends=1.5))
    world.hear(alert(starts=2.5))
    world.settle()
    assert world.reasons("pager") == ["open: fired", "close: resolved", "open: fired"]


def test_episodes_of_a_p2_that_nobody_was_told_of_collapse() -> None:
    world = channel_world()
    world.hear(alert(priority="P2"))
    world.settle()
    world.hear(alert(priority="P2", ends=1.5))
    world.hear(alert(priority="P2", starts=2.5))
    world.settle()
    assert world.reasons("channel") == ["open: fired"]


def test_a_p1_that_came_and_went_during_an_outage_is_told_as_one_trigger_and_one_resolve() -> None:
    world = pager_world()
    world.hear(alert(starts=0.5))
    for run in range(7):
        world.hear(alert(starts=world.now + 0.5))
        world.hear(alert(starts=world.now - 0.5, ends=world.now + 0.5))
        assert world.incident is not None
        assert world.incident.episode == run + 1
    world.settle()
    assert world.reasons("pager") == [
        "open: fired_and_resolved_before_it_could_be_told",
        "close: resolved",
    ]
    assert world.far["pager"].told[0].fired_times == 7


def test_a_p2_that_came_and_went_during_an_outage_is_told_to_nobody() -> None:
    world = channel_world()
    world.hear(alert(priority="P2"))
    world.hear(alert(priority="P2", ends=1.5))
    world.settle()
    assert world.reasons("channel") == []


def test_news_is_told_once_each_time_and_its_end_to_nobody() -> None:
    world = channel_world()
    for run in (0, 10, 20):
        world.hear(alert(starts=run + 0.5, priority="P3", news="true"), seconds=5)
        world.settle()
        world.hear(alert(starts=run + 0.5, ends=run + 1, priority="P3", news="true"), seconds=5)
        world.settle()
    assert world.reasons("channel") == ["open: fired"] * 3
    shown = world.deliveries["channel"].shown
    assert shown is not None
    assert not shown.firing


def test_a_p2_whose_first_message_may_have_been_seen_is_told_its_end() -> None:
    world = channel_world()
    world.hear(alert(priority="P2"))
    world.step("channel", cut="before receipt")
    world.hear(alert(priority="P2", ends=1.5))
    world.settle()
    assert world.reasons("channel") == ["open: fired", "close: resolved"]


def test_a_p1_that_flaps_while_outcomes_are_unknown_is_told_as_one_trigger_and_one_resolve() -> None:
    world = pager_world()
    world.hear(alert(starts=0.5))
    for _ in range(7):
        world.step("pager", cut="before send")
        world.hear(alert(starts=world.now - 0.5, ends=world.now + 0.5))
        world.hear(alert(starts=world.now + 0.5))
    world.hear(alert(starts=world.now - 0.5, ends=world.now + 0.5))
    world.settle()
    assert world.reasons("pager") == ["open: outcome_unknown", "close: resolved"]
    assert world.far["pager"].told[0].fired_times == 8


def test_a_message_with_an_unknown_outcome_is_told_again() -> None:
    world = channel_world()
    world.hear(alert())
    world.step("channel", cut="before send")
    world.settle()
    assert world.reasons("channel") == ["open: outcome_unknown"]


def test_a_count_survives_a_crash_while_it_was_being_told() -> None:
    world = pager_world()
    for _ in range(3):
        world.hear(alert(starts=world.now + 0.5))
        world.hear(alert(starts=world.now - 0.5, ends=world.now + 0.5))
    world.step("pager", cut="before send")
    world.settle()
    assert [step.fired_times for step in world.far["pager"].told] == [3, 1]
    assert world.far["pager"].opened == 1


def test_an_unacknowledged_p1_is_reasserted_after_half_an_hour() -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    assert world.due("pager", at(world.now + 1799)) == model.Wait(until=at(world.now + 1800))
    step = world.due("pager", at(world.now + 1800))
    assert isinstance(step, model.Step)
    assert step.reason is model.Reason.REASSERTED


def test_a_p2_is_not_reasserted() -> None:
    world = pager_world()
    world.hear(alert(priority="P2"))
    world.settle()
    assert world.due("pager", at(99999)) is None


def test_a_dead_letter_is_not_sent_again_until_the_state_changes() -> None:
    world = channel_world()
    world.hear(alert("a"))
    step = world.due("channel")
    assert isinstance(step, model.Step)
    assert world.incident is not None
    world.deliveries["channel"] = model.Delivery(
        incident_id=world.incident.id, destination="channel", since_episode=1, dead=step.shows
    )
    assert world.due("channel") is None
    world.hear(alert("b"))
    assert world.due("channel") is not None


def test_a_rerouted_incident_is_resolved_at_the_old_place_after_the_new_one_has_it() -> None:
    world = World(lambda _: ("old",), {"old": PAGER, "new": PAGER})
    world.hear(alert())
    world.settle()
    world.route = lambda _: ("new",)
    assert world.due("old") is None
    world.step("new")
    world.settle()
    assert world.reasons("new") == ["open: fired"]
    assert world.reasons("old") == ["open: fired", "close: rerouted"]


def test_a_rerouted_p2_is_resolved_at_the_old_place_although_the_new_one_shows_an_earlier_episode() -> None:
    world = World(lambda _: ("old", "new"), {"old": PAGER, "new": PAGER})
    world.hear(alert(priority="P2"))
    world.settle()
    world.hear(alert(priority="P2", ends=60))
    world.hear(alert(priority="P2", starts=120))
    assert world.due("new") is None, "the same fires as before"
    world.route = lambda _: ("new",)
    world.settle()
    assert world.reasons("old") == ["open: fired", "close: rerouted"]


@pytest.mark.parametrize(("priority", "told"), [("P1", True), ("P2", True), ("P3", False)])
def test_a_new_destination_is_told_what_is_open_but_for_p3(priority: str, told: bool) -> None:
    world = World(lambda _: ("new",), {"new": dataclasses.replace(CHANNEL, since=at(60))})
    world.hear(alert(priority=priority))
    assert ("new" in world.deliveries) is told


def test_an_incident_that_moved_is_closed_after_the_other_is_shown() -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    assert world.incident is not None
    world.incident = episodes.move_away(world.incident, alert().fingerprint, "other", at(5))
    situation = model.Situation(incident=world.incident, deliveries=world.deliveries)
    desired = desire.desire(world.incident, world.route)

    def due(pending: frozenset[str]) -> model.Step | model.Wait | None:
        return plan.plan("pager", situation, desired, PAGER, at(6), moved_pending=pending)

    assert isinstance(due(frozenset({"pager"})), model.Wait)
    step = due(frozenset())
    assert isinstance(step, model.Step)
    assert (step.act, step.reason) == (model.Act.CLOSE, model.Reason.MOVED)


def test_an_alarm_about_a_destination_is_not_told_there() -> None:
    about = alert(phantommesh_alerts_destination="channel")
    assert desire.ABOUT_DESTINATION in about.labels
    world = World(lambda _: ("channel", "pager"), {"channel": CHANNEL, "pager": PAGER})
    world.hear(about)
    assert world.incident is not None
    world.incident = structs.replace(world.incident, receiver=desire.OWN_RECEIVER)
    world.deliveries.clear()
    world.settle()
    assert world.reasons("channel") == []
    assert world.reasons("pager") == ["open: fired"]


def test_an_alert_from_outside_that_claims_to_be_such_an_alarm_is_told_everywhere() -> None:
    world = World(lambda _: ("channel", "pager"), {"channel": CHANNEL, "pager": PAGER})
    world.hear(alert(phantommesh_alerts_destination="channel"))
    world.settle()
    assert world.reasons("channel") == ["open: fired"]
    assert world.reasons("pager") == ["open: fired"]


SILENCE = model.Mute(kind=model.MuteKind.SILENCED, by="ann", until=at(3600))
INHIBITION = model.Mute(kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable")
MUTING = model.Mute(kind=model.MuteKind.MUTED, by="night")


@pytest.mark.parametrize("make", [pager_world, channel_world])
def test_what_is_silenced_as_a_whole_is_closed_and_told_again_when_the_silence_ends(
    make: Callable[[], World],
) -> None:
    world = make()
    (name,) = world.manners
    world.hear(alert())
    world.settle()
    world.find(truth.Kind.FIRES, alert(), mute=SILENCE)
    world.settle()
    world.find(truth.Kind.FIRES, alert())
    world.settle()
    assert world.reasons(name) == ["open: fired", "close: silenced", "open: silence_ended"]


def test_what_resolves_while_it_is_silenced_is_told_in_the_channel_and_not_to_the_pager() -> None:
    told = []
    for world in (pager_world(), channel_world()):
        (name,) = world.manners
        world.hear(alert())
        world.settle()
        world.find(truth.Kind.FIRES, alert(), mute=SILENCE)
        world.settle()
        world.find(truth.Kind.GONE, alert())
        world.settle()
        told.append(world.reasons(name)[2:])
        world.hear(alert(starts=world.now + 0.5))
        world.settle()
        assert world.reasons(name)[-1] == "open: fired"
    assert told == [[], ["close: reconciled"]]


def test_what_is_silenced_before_it_was_told_is_told_when_the_silence_ends() -> None:
    world = pager_world()
    world.hear(alert())
    world.find(truth.Kind.FIRES, alert(), mute=SILENCE)
    world.settle()
    assert world.reasons("pager") == []
    world.find(truth.Kind.FIRES, alert())
    world.settle()
    assert world.reasons("pager") == ["open: fired"]


def test_what_is_silenced_in_part_is_told_in_the_channel_and_not_to_the_pager() -> None:
    told = []
    for world in (pager_world(), channel_world()):
        (name,) = world.manners
        world.hear(alert("a"), alert("b"))
        world.settle()
        world.find(truth.Kind.FIRES, alert("a"), mute=SILENCE)
        world.settle()
        world.find(truth.Kind.FIRES, alert("a"))
        world.settle()
        told.append(world.reasons(name)[1:])
    assert told == [[], ["update: partly_silenced", "update: silence_ended"]]


def test_the_rest_of_what_is_silenced_in_part_closes_it_as_silenced() -> None:
    world = pager_world()
    world.hear(alert("a"), alert("b"))
    world.settle()
    world.find(truth.Kind.FIRES, alert("a"), mute=SILENCE)
    world.hear(alert("b", ends=2))
    world.settle()
    assert world.reasons("pager") == ["open: fired", "close: silenced"]


@pytest.mark.parametrize("mute", [INHIBITION, MUTING])
def test_what_is_inhibited_stays_open_and_is_not_reasserted(mute: model.Mute) -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    world.find(truth.Kind.FIRES, alert(), mute=mute)
    assert world.due("pager", at(99999)) is None
    world.find(truth.Kind.FIRES, alert())
    assert isinstance(world.due("pager", at(99999)), model.Step)


def test_what_is_inhibited_is_shown_in_the_channel() -> None:
    world = channel_world()
    world.hear(alert())
    world.settle()
    world.find(truth.Kind.FIRES, alert(), mute=INHIBITION)
    world.settle()
    world.find(truth.Kind.FIRES, alert())
    world.settle()
    assert world.reasons("channel")[1:] == ["update: inhibited", "update: inhibition_ended"]


def recovery(world: World) -> None:
    world.confirmable = True
    world.hear(alert())
    world.settle()
    world.hear(alert(ends=1.5))


def test_a_recovery_without_proof_is_shown_in_the_channel_after_six_minutes() -> None:
    world = channel_world()
    recovery(world)
    assert world.due("channel") == model.Wait(until=at(361.5))
    world.now = 361.5
    world.settle()
    assert world.due("channel") is None
    world.find(truth.Kind.RECOVERED, alert())
    world.settle()
    assert world.reasons("channel") == ["open: fired", "update: recovery_unconfirmed", "close: resolved"]


def test_a_recovery_without_proof_that_is_disproved_is_told_in_the_channel() -> None:
    world = channel_world()
    recovery(world)
    world.now = 400
    world.settle()
    world.find(truth.Kind.FIRES, alert())
    world.settle()
    assert world.reasons("channel")[-1] == "update: recovery_disproved"


def test_the_pager_stays_open_until_a_recovery_is_proved() -> None:
    world = pager_world()
    recovery(world)
    world.now = 400
    world.settle()
    assert world.reasons("pager") == ["open: fired"]
    world.find(truth.Kind.RECOVERED, alert())
    world.settle()
    assert world.reasons("pager") == ["open: fired", "close: resolved"]


def test_a_p1_that_came_and_was_gone_during_an_outage_is_told() -> None:
    world = pager_world()
    world.hear(alert())
    world.find(truth.Kind.GONE, alert())
    world.settle()
    assert world.reasons("pager") == [
        "open: fired_and_resolved_before_it_could_be_told",
        "close: reconciled",
    ]


CUTS = ["before intent", "before send", "before receipt"]


def story_of_two(world: World, tell: Callable[[], None]) -> None:
    world.hear(alert("a"))
    tell()
    world.hear(alert("b", starts=1))
    tell()
    world.hear(alert("a", ends=2))
    tell()
    world.hear(alert("b", starts=1, ends=3))
    tell()
    world.hear(alert("a", starts=world.now + 0.5))
    tell()


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("dies_at", range(8))
@pytest.mark.parametrize("make", [pager_world, channel_world])
def test_a_death_after_any_step_leads_to_the_same_end(
    make: Callable[[], World], dies_at: int, cut: str
) -> None:
    """As patroni tests its quorum resolver: the plan is made again from after every step."""
    world = make()
    (name,) = world.manners
    taken = 0

    def tell() -> None:
        nonlocal taken
        for _ in range(20):
            step = world.step(name, cut=cut if taken == dies_at else "")
            if step is None:
                return
            taken += 1
        raise AssertionError("no end in sight")

    story_of_two(world, tell)
    far = world.far[name]
    assert far.open
    assert far.opened == 2


actions = st.one_of(
    st.tuples(st.just("fire"), st.sampled_from("abc")),
    st.tuples(st.just("resolve"), st.sampled_from("abc")),
    st.tuples(st.just("tell"), st.sampled_from(["", *CUTS])),
    st.tuples(st.sampled_from(["silence", "inhibit", "unmute", "gone"]), st.sampled_from("abc")),
)
MUTES = {"silence": SILENCE, "inhibit": INHIBITION, "unmute": None}


@given(priority=st.sampled_from(["P1", "P2"]), story=st.lists(actions, max_size=25))
@settings(max_examples=400, deadline=None)
def test_whatever_happens_the_far_end_agrees_in_the_end(priority: str, story: list[tuple[str, str]]) -> None:
    """So slowly that nothing flaps: what becomes of that is in test_flapping."""
    world = pager_world()
    slowly = 700
    runs: dict[str, float] = {}
    silences = 0
    for action, detail in story:
        if action == "tell":
            if world.incident is not None:
                world.step("pager", cut=detail)
        elif action == "fire":
            runs.setdefault(detail, world.now + 0.5)
            world.hear(alert(detail, starts=runs[detail], priority=priority), seconds=slowly)
        elif detail not in runs:
            continue
        elif action == "resolve":
            over = alert(detail, starts=runs.pop(detail), ends=world.now + 0.5, priority=priority)
            world.hear(over, seconds=slowly)
        elif action == "gone":
            world.find(truth.Kind.GONE, alert(detail, priority=priority))
            runs.pop(detail)
        else:
            world.find(truth.Kind.FIRES, alert(detail, priority=priority), mute=MUTES[action])
            silences += action == "silence"
    if world.incident is None:
        return
    world.settle()
    far = world.far["pager"]
    is_loud = any(not one.muted or one.muted is INHIBITION for one in world.incident.firing)
    assert far.open == is_loud
    assert far.opened <= world.incident.episode + silences
    if priority == "P1" and not silences:
        assert far.episodes_told == world.incident.episode


def test_an_alert_that_fires_again_in_an_open_incident_is_told_to_the_pager() -> None:
    world = pager_world()
    world.hear(alert("a"), alert("b"))
    world.settle()
    told_at = world.deliveries["pager"].shown_at
    world.hear(alert("a", ends=1))
    world.settle()
    assert world.reasons("pager") == ["open: fired"]
    assert (
        world.deliveries["pager"].shown_at == told_at
    )  # nothing was said, so it is reasserted when it was due
    world.hear(alert("a", starts=world.now + 0.5))
    world.settle()
    assert world.reasons("pager") == ["open: fired", "update: alert_joined"]


def test_an_end_that_was_refused_for_good_keeps_no_later_firing_from_being_told() -> None:
    world = pager_world()
    world.hear(alert())
    world.settle()
    world.hear(alert(ends=1.5))
    refused = world.due("pager")
    assert isinstance(refused, model.Step)
    world.deliveries["pager"] = dataclasses.replace(world.deliveries["pager"], dead=refused.shows)
    assert world.due("pager") is None
    world.hear(alert(starts=2.5))
    world.settle()
    assert world.reasons("pager") == ["open: fired", "open: fired"]
