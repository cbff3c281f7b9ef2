"""Changes of state that cross an outage, a fallback, a hold or a doubt. See `crossed`."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs

from routing import model, sources, truth
from tests.contract import crossed
from tests.contract.crossed import INCIDENTS, OPS, World, ended, firing, now
from tests.standins import faults
from webhook import deadman


async def shown_open(world: World, group: model.Labels, name: str = "ops") -> bool | None:
    """Whether a destination shows the incident as open; None where it was never told of it."""
    found = model.incident_id(group)
    delivery = (await world.store.situations([found]))[found].deliveries.get(name)
    assert delivery is None or delivery.intent is None
    return bool(delivery.shown.firing) if delivery and delivery.shown else None


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_summary_ends_true_although_its_incidents_flap_meanwhile(tmp_path: Path, cut_off: bool) -> None:
    async def story(world: World) -> None:
        groups = [{"alertname": f"Slow{number}"} for number in range(9)]
        alerts = [firing(str(number), "P2" if number % 2 else "P3") for number in range(9)]
        world.slack.script(faults.server_error(503), times=None)
        for group, alert in zip(groups, alerts, strict=True):
            await world.hear(alert, group=group)
        await asyncio.sleep(60)
        for _ in range(3):  # 0 comes to rest as over, 1 as firing
            for number in (0, 1):
                await world.hear(ended(alerts[number]), group=groups[number])
                await asyncio.sleep(20)
                alerts[number] = firing(str(number), "P2" if number % 2 else "P3")
                await world.hear(alerts[number], group=groups[number])
        await world.hear(ended(alerts[0]), group=groups[0])
        world.slack.clear_faults()
        hang = faults.Hang(recorded=True)
        world.slack.script(hang, where=world.slack.to(OPS))
        await world.slack.wait_for(lambda far: far.posted(OPS), timeout_seconds=60)
        assert "alerts" in world.titles(OPS)[0], "the summary is said and has no receipt yet"
        await world.hear(ended(alerts[2]), group=groups[2])
        await world.hear(ended(alerts[1]), group=groups[1])
        alerts[1] = firing("1", "P2")
        await world.hear(alerts[1], group=groups[1])
        if cut_off:
            await world.load()
        await asyncio.sleep(120)
        # The first may have been in a message that was under way when it ended: then its end was told too.
        open_now = [bool(await shown_open(world, group)) for group in groups]
        assert open_now == [False, True, False, *[True] * 6]
        for number in range(1, 9):
            if number != 2:
                await world.hear(ended(alerts[number]), group=groups[number])
        await asyncio.sleep(40 * 60)  # what flaps is closed once it has been calm for a while
        assert not any([await shown_open(world, group) for group in groups])
        await world.quiet()

    crossed.play(tmp_path, story)


def test_a_p1_joins_what_the_channel_shows_in_its_plain_form(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.slack.script(faults.Answer(status=400, body="invalid_blocks"))
        first, second = firing("a"), firing("b")
        await world.hear(first)
        await asyncio.sleep(10)
        (plain,) = world.slack.posted(INCIDENTS)
        assert not plain.blocks
        await world.hear(second)
        await asyncio.sleep(10)
        joined = world.slack.posted(INCIDENTS)[1]
        assert joined.blocks
        assert world.paged() == [("a", "opened"), ("a", "appended")]
        await world.hear(ended(first), ended(second))
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        assert "resolved" in world.titles()[-1]
        assert len(world.titles()) == 3
        await world.quiet()

    crossed.play(tmp_path, story)


def test_a_p1_joins_a_p2_that_the_channel_shows_in_its_plain_form(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.slack.script(faults.Answer(status=400, body="invalid_blocks"))
        lower, higher = firing("a", "P2"), firing("b")
        await world.hear(lower)
        await asyncio.sleep(10)
        assert not world.slack.posted(OPS)[0].blocks
        await world.hear(higher)
        await asyncio.sleep(30)
        assert world.paged() == [("a", "opened")]
        assert world.titles() != []
        await world.hear(ended(lower), ended(higher))
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        for name in ("ops", "incidents"):
            assert await shown_open(world, (await world.incident()).group_labels, name) is False
        await world.quiet()

    crossed.play(tmp_path, story)


@pytest.mark.parametrize("ends", ["while it is held", "after that"])
def test_a_message_that_leaves_alerts_out_comes_while_a_firing_is_held(tmp_path: Path, ends: str) -> None:
    async def story(world: World) -> None:
        alert = firing()
        await world.hear(alert)
        await asyncio.sleep(30)
        await world.hear(ended(alert))
        await asyncio.sleep(30)
        assert world.paged() == [("a", "opened"), ("a", "resolved")]
        again = structs.replace(alert, starts_at=alert.starts_at - timedelta(seconds=5))
        await world.hear(again, truncated_alerts=3)
        assert not (await world.incident()).open, "it is possibly stale"
        if ends == "while it is held":
            await world.hear(ended(again), truncated_alerts=3)
            await asyncio.sleep(120)
            assert not (await world.incident()).open
            assert len(world.paged()) == 2
            await world.quiet()
            return
        await asyncio.sleep(60)
        assert len(world.pagerduty.open_incidents()) == 1, "in doubt a P1 pages"
        await world.hear(ended(again), truncated_alerts=3)
        await asyncio.sleep(60)
        assert len(world.pagerduty.open_incidents()) == 1, "something may fire that was left out"
        await world.hear(ended(again))
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        assert "resolved" in world.titles()[-1]
        await world.quiet()

    crossed.play(tmp_path, story)


def test_its_watchdog_is_missing_while_the_end_of_a_p1_waits_for_proof(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        policy = sources.Policy(expected=(sources.Expected(cluster="eu-1"),))
        watch = deadman.Deadman(
            store=world.store,
            policy=lambda: policy,
            wake=lambda changed: world.wake(*changed),
            judged=lambda _judged: None,
            clock=now,
        )
        await watch.look()
        await world.store.accept(None, sources=["eu-1"], body=b"beat", now=now())
        alert = firing()
        await world.hear(alert)
        await asyncio.sleep(30)
        await world.hear(ended(alert), confirmable=True)
        for _ in range(8):
            await asyncio.sleep(60)
            await watch.look()
        assert len(world.pagerduty.open_incidents()) == 2, "itself, and that nobody can know"
        assert "unconfirmed" in world.slack.render_plain()
        assert len([title for title in world.titles() if "WatchdogMissing" in title]) == 1
        await world.store.accept(None, sources=["eu-1"], body=b"beat again", now=now())
        await watch.look()
        await asyncio.sleep(10)
        (still,) = world.pagerduty.open_incidents()
        assert still.dedup_key == model.dedup_key((await world.incident()).id)
        await world.find(alert, truth.Kind.RECOVERED)
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        assert sorted(outcome for _, outcome in world.paged()) == ["opened"] * 2 + ["resolved"] * 2
        await world.quiet()

    crossed.play(tmp_path, story)


@pytest.mark.parametrize("receipts", ["none comes", "they are lost"])
def test_a_p1_that_nobody_heard_of_is_told_where_its_p2_goes_on(tmp_path: Path, receipts: str) -> None:
    """All goes to the same places, so that what goes on would hide what is over."""

    async def story(world: World) -> None:
        world.route = lambda _: ("pager", "incidents")
        await world.load()
        lower, higher = firing("low", "P2"), firing("high")
        fault = faults.server_error(503) if receipts == "none comes" else faults.Reset()
        world.pagerduty.script(fault, times=None)
        world.slack.script(fault, times=None)
        await world.hear(lower, higher)
        await asyncio.sleep(20)
        await world.hear(ended(higher))
        await asyncio.sleep(20)
        world.pagerduty.clear_faults()
        world.slack.clear_faults()
        await asyncio.sleep(120)
        assert [one.payload["severity"] for one in world.pagerduty.events] == ["critical"]
        assert "high is down" in str(world.pagerduty.events[0].body)
        assert [title.partition(" (")[0] for title in world.titles()] == [
            "[P1] ServiceDown",
            "[P2] ServiceDown",
        ]
        await world.hear(ended(lower))
        await asyncio.sleep(120)
        assert world.pagerduty.open_incidents() == []
        assert len(world.titles()) == 3
        await world.quiet()

    crossed.play(tmp_path, story)


@pytest.mark.parametrize("slack_down", [False, True])
def test_a_p1_that_the_pager_never_heard_of_is_told_although_only_a_p2_is_left(
    tmp_path: Path, slack_down: bool
) -> None:
    async def story(world: World) -> None:
        lower, higher = firing("low", "P2"), firing("high")
        world.pagerduty.script(faults.server_error(503), times=None)
        if slack_down:
            world.slack.script(faults.server_error(503), times=None)
        await world.hear(lower, higher)
        await asyncio.sleep(90)
        await world.hear(ended(higher))
        await asyncio.sleep(90)
        world.pagerduty.clear_faults()
        world.slack.clear_faults()
        await asyncio.sleep(120)
        assert "[P1, resolved since]" in world.pagerduty.events[0].payload["summary"]
        assert world.paged() == [("a", "opened"), ("a", "resolved")]
        first = "[P1, resolved since] ServiceDown" if slack_down else "[P1] ServiceDown"
        assert world.titles()[0].startswith(first)
        assert world.titles()[-1].startswith("[P1 resolved] ServiceDown")
        assert [title.partition(" (")[0] for title in world.titles(OPS)] == ["[P2] ServiceDown"]
        await world.hear(ended(lower))
        await asyncio.sleep(120)
        assert len(world.paged()) == 2
        assert world.titles(OPS)[-1].startswith("[P2 resolved] ServiceDown")
        await world.quiet()

    crossed.play(tmp_path, story)
