"""The reconciler when a destination takes no P1: told elsewhere in time, and said when it is over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from routing import alarms, events, failover, model
from routing.destinations import contract
from tests.contract.test_reconciler import CHANNEL, PAGER, Place, Rig, ended, now_alert
from webhook.store import sqlite


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    store = await sqlite.open_store(tmp_path)
    yield Rig(
        store=store,
        places={"pager": Place(PAGER), "channel": Place(CHANNEL)},
        route=lambda _: ("pager", "channel"),
        backups={
            "pager": failover.Backup(to="channel", after_seconds=45, title="PagerDuty", pages=True),
            "channel": failover.Backup(to="pager", after_seconds=45, title="Slack", pages=False),
        },
    )
    await store.close()


THIRD = model.incident_id({"alertname": "Third"})


def tries(rig: Rig) -> list[events.Retried]:
    return [one for one in rig.happened if isinstance(one, events.Retried)]


def down(place: Place, error: str = "PagerDuty answered 503") -> None:
    place.behaviour = lambda _told, _plain: contract.Passing(error, retry_after_seconds=0.02)


def up(place: Place) -> None:
    place.behaviour = lambda _told, _plain: None


async def until_failed(rig: Rig, name: str) -> None:
    """Wait until a failed attempt at a destination is on record."""
    async with asyncio.timeout(10):
        while True:
            (situation,) = await rig.store.open_incidents(10)
            delivery = situation.deliveries.get(name)
            if delivery and delivery.last_error:
                return
            await asyncio.sleep(0.01)


async def test_a_p1_goes_over_after_its_time_and_back_when_the_pager_has_it(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    down(pager)
    async with rig.run():
        await rig.hear(now_alert())
        await channel.until(1)
        await until_failed(rig, "pager")
        await rig.pass_time(timedelta(seconds=46))
        assert (await channel.until(2))[1] == "ServiceDown update: failed_over"
        up(pager)
        assert (await channel.until(3))[2] == "ServiceDown update: taken_after_failover"
        await rig.quiet()
    assert pager.steps() == ["ServiceDown open: fired"]
    summons = channel.told[1].summons
    assert summons is not None
    assert summons.why[0].startswith("PagerDuty has not taken this page for 46 s: PagerDuty answered 503")
    assert channel.told[2].summons is None
    assert channel.told[2].notes[0].startswith("PagerDuty has been paged now, at ")


async def test_the_instant_of_the_failover_needs_no_news(rig: Rig) -> None:
    """The pager hangs for long, so that nothing at all happens until the time has come."""
    rig.backups = {"pager": failover.Backup(to="channel", after_seconds=0.3, title="PagerDuty", pages=True)}
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.hangs_on = lambda _told: True
    async with rig.run():
        await rig.hear(now_alert())
        assert (await channel.until(2))[1] == "ServiceDown update: failed_over"
        assert rig.event(events.Retried) == []
        pager.go_on.set()
        await channel.until(3)


async def test_the_wait_goes_on_over_a_restart(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    down(pager)
    async with rig.run():
        await rig.hear(now_alert())
        await channel.until(1)
    rig.ahead += timedelta(seconds=46)
    async with rig.run():
        assert (await channel.until(2))[1] == "ServiceDown update: failed_over"


async def test_every_p1_that_waits_goes_over_as_soon_as_the_pager_is_broken(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    first = pager.go_on
    pager.hangs_on = lambda _told: True
    pager.behaviour = lambda _told, _plain: contract.Broken("PagerDuty answered 403")
    async with rig.run():
        await rig.hear(now_alert("a"), group={"alertname": "First"})
        await pager.until_hanging()
        await rig.hear(now_alert("b"), group={"alertname": "Second"})
        await rig.hear(now_alert("c"), group={"alertname": "Third"})  # both workers are busy: it waits
        await channel.until(3)
        pager.hangs_on = lambda told: told.incident.group_labels["alertname"] == "Third"
        pager.go_on = asyncio.Event()
        first.set()
        told = await channel.until(7)
        assert not any(one.incident_id == THIRD for one in tries(rig))
        pager.go_on.set()
    for name in ("First", "Second", "Third"):
        assert f"{name} update: failed_over" in told
    assert len(rig.event(events.LaneSuspended)) == 1


async def test_a_p1_goes_over_past_a_lane_that_hangs_on_lower_news(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    down(pager)
    channel.hangs_on = lambda told: told.step.shows.priority > 1
    async with rig.run():
        await rig.hear(now_alert("low", priority="P2"), group={"alertname": "Slow"})
        await channel.until_hanging()
        await rig.hear(now_alert())
        await channel.until(1)
        await rig.pass_time(timedelta(seconds=46))
        assert (await channel.until(2))[1] == "ServiceDown update: failed_over"
        channel.go_on.set()


async def test_the_pager_is_told_of_a_channel_that_takes_nothing(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    down(channel, "Slack answered 500")
    async with rig.run():
        await rig.hear(now_alert())
        await pager.until(1)
        await rig.pass_time(timedelta(seconds=46))
        assert (await pager.until(2))[1] == "ServiceDown update: failed_over"
        up(channel)
        assert (await pager.until(3))[2] == "ServiceDown update: taken_after_failover"


async def test_a_refused_p1_goes_over_at_once(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.behaviour = lambda _told, _plain: contract.Refused("PagerDuty answered 400")
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        assert "ServiceDown update: failed_over" in await channel.until(3)
        await rig.hear(ended(alert))
        assert "ServiceDown close: resolved" in await channel.until(4)


async def test_an_unacknowledged_p1_is_told_to_the_pager_again_every_half_hour(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    async with rig.run():
        await rig.hear(now_alert())
        await asyncio.gather(pager.until(1), channel.until(1))
        for count in (2, 3):
            await rig.quiet()
            await rig.pass_time(timedelta(minutes=29))
            await rig.quiet()
            assert len(pager.told) == count - 1
            await rig.pass_time(timedelta(minutes=1, seconds=1))
            assert (await pager.until(count))[-1] == "ServiceDown update: reasserted"
    assert len(channel.told) == 1


async def test_a_dead_letter_that_is_replayed_is_told_and_ends_its_alarm(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    channel.behaviour = lambda _told, _plain: contract.Refused("Slack answered 400")
    async with rig.run():
        await rig.hear(now_alert())
        await pager.until(3)  # the page, the alarm about the dead letter, and that the channel was not told
        await rig.quiet()
        up(channel)
        (dead,) = await rig.store.dead_letters(10)
        assert await rig.store.revive(dead.incident.id, "channel", datetime.now(UTC))
        assert rig.running is not None
        rig.running.wake([dead.incident.id])
        await channel.until(1)
        told = await pager.until(5)
        await rig.quiet()
    assert "ServiceDown update: taken_after_failover" in told
    assert f"{alarms.REFUSED} close: resolved" in told
    assert await rig.store.dead_letters(10) == []


async def test_the_alarm_about_an_end_that_was_refused_stays_until_someone_sees_to_it(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await pager.until(1)
        pager.behaviour = lambda told, _plain: (
            contract.Refused("the key is gone") if told.step.act is model.Act.CLOSE else None
        )
        await rig.hear(ended(alert))
        await channel.until(3)
        await rig.quiet()
    assert [step for step in channel.steps() if step.startswith(alarms.REFUSED)] == [
        f"{alarms.REFUSED} open: fired"
    ]


async def test_a_destination_that_was_broken_with_other_credentials_counts_as_mended(rig: Rig) -> None:
    """Nothing waits for it, so that no try could show it; the alarm must not stay for that."""
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.behaviour = lambda _told, _plain: contract.Broken("PagerDuty answered 403")
    alert = now_alert(priority="P2")
    async with rig.run():
        await rig.hear(alert)
        await channel.until(2)  # it, and that the pager is broken
        await rig.hear(ended(alert))
        await channel.until(3)
        await rig.quiet()
    async with rig.run():
        await rig.quiet()
    assert f"{alarms.BROKEN} close: resolved" not in channel.steps()
    pager.credentials = "second"
    async with rig.run():
        assert (await channel.until(4))[3] == f"{alarms.BROKEN} close: resolved"
    assert pager.told == []


async def test_a_broken_destination_is_tried_one_at_a_time(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.behaviour = lambda _told, _plain: contract.Broken("PagerDuty answered 403")
    async with rig.run():
        await rig.hear(now_alert("a"), group={"alertname": "First"})
        await channel.until(3)
        for number in range(5):
            await rig.hear(now_alert(str(number)), group={"alertname": f"More{number}"})
        pager.hangs_on = lambda _told: True
        assert rig.running is not None
        rig.running.lanes["pager"].succeeded()  # ends the pause
        rig.running.lanes["pager"].failed(0.01)
        await pager.until_hanging()
        before = pager.attempts
        await asyncio.sleep(0.3)
        assert pager.attempts == before
        up(pager)
        pager.go_on.set()
        assert len(await pager.until(6)) == 6
