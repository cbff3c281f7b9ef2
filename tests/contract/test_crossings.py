"""Faults that cross: each is mended by itself elsewhere, here they meet. See `crossed`."""

import asyncio
from pathlib import Path

import pytest

from routing import model
from tests.contract import crossed
from tests.contract.crossed import INCIDENTS, NEW, OLD, World, ended, firing
from tests.standins import faults
from tests.unit import build


@pytest.mark.parametrize("back", ["before the silence", "while it is silenced", "after the silence", "never"])
def test_a_p1_that_failed_over_is_silenced_and_pagerduty_comes_back(tmp_path: Path, back: str) -> None:
    async def story(world: World) -> None:
        alert = firing()
        world.pagerduty.script(faults.server_error(503), times=None)
        await world.hear(alert)
        await asyncio.sleep(60)
        assert "not taken this page" in world.slack.render_plain()
        if back == "before the silence":
            world.pagerduty.clear_faults()
            await asyncio.sleep(60)
            assert world.paged() == [("a", "opened")]
        await world.silence(alert)
        await asyncio.sleep(60)
        if back == "while it is silenced":
            world.pagerduty.clear_faults()
            await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == [], "what is silenced pages nobody"
        assert "silenced" in world.titles()[-1].lower()
        await world.find(alert)
        await asyncio.sleep(60)
        if back == "after the silence":
            world.pagerduty.clear_faults()
            await asyncio.sleep(60)
        if back == "never":
            assert "<!channel>" in str(world.slack.posted(INCIDENTS)[-1].body), "it goes over again"
            await world.hear(ended(alert))
            await asyncio.sleep(60)
            assert "resolved" in world.titles()[-1]
            world.pagerduty.clear_faults()
            await asyncio.sleep(90)
            assert world.paged() == [("a", "opened"), ("a", "resolved")], "never silently collapsed"
            return
        assert len(world.pagerduty.open_incidents()) == 1
        assert "PagerDuty has been paged now" in world.slack.render_plain() or back == "while it is silenced"
        await world.hear(ended(alert))
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        opened = [one for one in world.paged() if one[1] == "opened"]
        assert len(opened) == (2 if back == "before the silence" else 1)
        assert "resolved" in world.titles()[-1]
        await world.quiet()

    crossed.play(tmp_path, story)


async def paged_past_the_store(world: World, alert: model.Alert) -> None:
    with world.store_down():
        assert not await world.hear(alert)
        await world.pagerduty.wait_for(lambda far: far.open_incidents(), timeout_seconds=60)
    while world.direct.busy_with(model.incident_id(build.GROUP)):  # noqa: ASYNC110 - the next turn or two
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("first", ["the page is recorded", "the message is recorded", "the end is recorded"])
@pytest.mark.parametrize("rotated", [False, True])
def test_a_page_past_the_store_is_one_incident_and_is_closed(
    tmp_path: Path, first: str, rotated: bool
) -> None:
    async def story(world: World) -> None:
        alert = firing()
        await paged_past_the_store(world, alert)
        if rotated:
            await world.load(NEW, OLD)
        if first == "the message is recorded":
            assert await world.hear(alert)
        if first == "the end is recorded":
            assert await world.hear(ended(alert))
        await world.catchup.look()
        await asyncio.sleep(40 * 60)  # it is told again meanwhile, as every open P1 is
        if first != "the end is recorded":
            assert len(world.pagerduty.open_incidents()) == 1
        assert await world.hear(ended(alert))
        await asyncio.sleep(60)
        await world.quiet()
        assert world.pagerduty.open_incidents() == []
        assert [outcome for _, outcome in world.paged()].count("opened") == 1
        assert [title.partition(" (")[0] for title in world.titles()] == [
            "[P1, resolved since] ServiceDown" if first == "the end is recorded" else "[P1] ServiceDown",
            "[P1 resolved] ServiceDown",
        ]
        assert len(world.book) == 0

    crossed.play(tmp_path, story)


def test_the_key_is_rotated_while_the_incident_is_silenced(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        alert = firing()
        await world.hear(alert)
        await asyncio.sleep(10)
        await world.silence(alert)
        await asyncio.sleep(10)
        await world.load(NEW, OLD)
        await asyncio.sleep(10)
        await world.find(alert)
        await asyncio.sleep(10)
        await world.load(NEW)
        await asyncio.sleep(10)
        await world.hear(ended(alert))
        await asyncio.sleep(10)
        assert world.paged() == [("a", "opened"), ("a", "resolved"), ("b", "opened"), ("b", "resolved")]
        await world.quiet()

    crossed.play(tmp_path, story)


def test_a_key_rotated_while_the_silences_resolve_has_no_receipt(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        alert = firing()
        await world.hear(alert)
        await asyncio.sleep(10)
        world.pagerduty.script(faults.lost_receipt(), times=None)
        await world.silence(alert)
        await asyncio.sleep(10)
        world.pagerduty.clear_faults()
        await world.load(NEW, OLD)
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        await world.find(alert)
        await asyncio.sleep(60)
        (still,) = world.pagerduty.open_incidents()
        assert still.routing_key == NEW
        await world.hear(ended(alert))
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        await world.quiet()

    crossed.play(tmp_path, story)


def test_a_reload_with_the_right_key_mends_a_suspended_lane(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        del world.pagerduty.keys[OLD]
        first, second = firing("a"), firing("b")
        other = {"alertname": "Other", "cluster": "eu-1"}
        await world.hear(first)
        await asyncio.sleep(20)
        assert world.paged() == []
        assert "<!channel>" in str([one.body for one in world.slack.posted(INCIDENTS)])
        await world.hear(second, group=other)
        await asyncio.sleep(20)
        await world.load(OLD)  # a reload that mends nothing
        await asyncio.sleep(20)
        await world.load(NEW)
        await asyncio.sleep(60)
        assert world.paged() == [("b", "opened"), ("b", "opened")]
        alarms = [title for title in world.titles() if "DestinationBroken" in title]
        assert len(alarms) == 2, alarms
        assert "resolved" in alarms[1]
        await world.hear(ended(first))
        await world.hear(ended(second), group=other)
        await asyncio.sleep(60)
        assert world.pagerduty.open_incidents() == []
        assert len(world.paged()) == 4
        await world.quiet()

    crossed.play(tmp_path, story)
