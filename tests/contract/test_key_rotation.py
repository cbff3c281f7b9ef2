"""PagerDuty's key is rotated while incidents are open: nothing stays stranded there without anybody knowing."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from routing import alarms, events, message, model
from routing.destinations import contract, pagerduty
from tests.contract.test_reconciler import CHANNEL, Place, Rig, ended, now_alert
from tests.standins import faults
from tests.standins import pagerduty as standin_module
from tests.unit import told
from webhook.store import sqlite

OLD, NEW, OTHER = "0" * 31 + "a", "0" * 31 + "b", "0" * 31 + "c"


@pytest.fixture
async def standin() -> AsyncIterator[standin_module.PagerDuty]:
    keys = {OLD: "PhantomMesh", NEW: "PhantomMesh", OTHER: "PhantomMesh"}
    async with standin_module.serve(keys=keys, rate_per_minute=None) as listening:
        yield listening


def pager(standin: standin_module.PagerDuty, key: str, previous: str = "") -> pagerduty.PagerDuty:
    return pagerduty.PagerDuty(name="pager", routing_key=key, previous_key=previous, events_url=standin.url)


async def opened_with_old(standin: standin_module.PagerDuty) -> str:
    """An incident that the old key triggered; returns the reference to it."""
    receipt = await pager(standin, OLD).send(told.opening(), plain=False)
    assert receipt.reference is not None
    return receipt.reference


def update(reference: str) -> message.Message:
    about = told.incident(told.down())
    step = told.step(about, model.Act.UPDATE, model.Reason.REASSERTED)
    return dataclasses.replace(told.compose(about, step), reference=reference)


def closing(reference: str) -> message.Message:
    return dataclasses.replace(told.closing(), reference=reference)


def happened(standin: standin_module.PagerDuty) -> list[tuple[str, str]]:
    return [(event.routing_key[-1], event.outcome) for event in standin.events]


async def test_the_far_end_drops_a_resolve_that_names_another_key(standin: standin_module.PagerDuty) -> None:
    await opened_with_old(standin)
    await pager(standin, NEW).send(closing(""), plain=False)
    assert happened(standin) == [("a", "opened"), ("b", "dropped")]


async def test_what_the_old_key_triggered_goes_on_and_ends_with_it(standin: standin_module.PagerDuty) -> None:
    reference = await opened_with_old(standin)
    rotated = pager(standin, NEW, previous=OLD)
    assert await rotated.send(update(reference), plain=False) == contract.Receipt(reference=reference)
    assert await rotated.send(closing(reference), plain=False) == contract.Receipt(reference="")
    receipt = await rotated.send(told.opening(), plain=False)
    assert happened(standin) == [("a", "opened"), ("a", "appended"), ("a", "resolved"), ("b", "opened")]
    assert receipt.reference not in (None, "", reference)


async def test_an_end_of_which_no_key_is_known_goes_with_both(standin: standin_module.PagerDuty) -> None:
    await opened_with_old(standin)
    await pager(standin, NEW, previous=OLD).send(closing(""), plain=False)
    assert standin.open_incidents() == []


@pytest.mark.parametrize("gone", ["here", "at PagerDuty"])
async def test_what_is_open_and_whose_key_is_gone_is_triggered_anew(
    standin: standin_module.PagerDuty, gone: str
) -> None:
    reference = await opened_with_old(standin)
    if gone == "here":
        rotated = pager(standin, NEW)
    else:
        rotated = pager(standin, NEW, previous=OLD)
        del standin.keys[OLD]
    receipt = await rotated.send(update(reference), plain=False)
    assert happened(standin)[1:] == [("b", "opened")]
    assert "close the older incident in PagerDuty by hand" in receipt.note
    await rotated.send(closing(receipt.reference or ""), plain=False)
    assert happened(standin)[2:] == [("b", "resolved")]


@pytest.mark.parametrize("gone", ["here", "at PagerDuty"])
async def test_an_end_whose_key_is_gone_is_left_to_people(
    standin: standin_module.PagerDuty, gone: str
) -> None:
    reference = await opened_with_old(standin)
    if gone == "here":
        rotated = pager(standin, NEW, previous=OTHER)
    else:
        rotated = pager(standin, NEW, previous=OLD)
        del standin.keys[OLD]
    with pytest.raises(contract.Refused, match="close the incident in PagerDuty by hand"):
        await rotated.send(closing(reference), plain=False)


async def test_a_present_key_that_is_wrong_breaks_the_destination(standin: standin_module.PagerDuty) -> None:
    reference = await opened_with_old(standin)
    del standin.keys[NEW]
    for message_ in (told.opening(), update(""), closing("")):
        with pytest.raises(contract.Broken, match="Invalid routing key"):
            await pager(standin, NEW).send(message_, plain=False)
    await pager(standin, NEW, previous=OLD).send(closing(reference), plain=False)
    assert standin.open_incidents() == []


def test_a_reference_does_not_tell_the_key() -> None:
    assert pagerduty.reference(OLD) != pagerduty.reference(NEW)
    assert OLD not in pagerduty.reference(OLD)
    assert len(pagerduty.reference(OLD)) == 32


# Through the reconciler, on the store.


@pytest.fixture
async def rig(tmp_path: Path, standin: standin_module.PagerDuty) -> AsyncIterator[Rig]:
    store = await sqlite.open_store(tmp_path)
    rig = Rig(store=store, places={"channel": Place(CHANNEL)}, route=lambda _: ("channel", "pager"))
    rig.others["pager"] = pager(standin, OLD)
    yield rig
    await store.close()


async def test_a_rotation_while_a_p1_is_open_strands_nothing(
    rig: Rig, standin: standin_module.PagerDuty
) -> None:
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
        await rig.quiet()
    rig.others["pager"] = pager(standin, NEW, previous=OLD)
    rig.ahead += timedelta(minutes=31)
    async with rig.run():
        await standin.wait_for(lambda far: len(far.events) == 2, timeout_seconds=10)
        await rig.quiet()
        await rig.hear(ended(alert))
        await standin.wait_for(lambda far: not far.open_incidents(), timeout_seconds=10)
        await rig.quiet()
        await rig.hear(now_alert("b"))
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
    assert happened(standin) == [("a", "opened"), ("a", "appended"), ("a", "resolved"), ("b", "opened")]


async def test_a_key_that_was_taken_away_too_early_is_told_as_a_dead_letter(
    rig: Rig, standin: standin_module.PagerDuty
) -> None:
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
        await rig.quiet()
    rig.others["pager"] = pager(standin, NEW)
    async with rig.run():
        await rig.hear(ended(alert))
        assert f"{alarms.REFUSED} open: fired" in await rig.places["channel"].until(3)
        await rig.quiet()
    (situation,) = await rig.store.dead_letters(10)
    assert "by hand" in situation.deliveries["pager"].last_error


async def test_a_p1_whose_key_is_gone_is_paged_with_the_new_one_and_said(
    rig: Rig, standin: standin_module.PagerDuty
) -> None:
    async with rig.run():
        await rig.hear(now_alert())
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
        await rig.quiet()
    rig.others["pager"] = pager(standin, NEW)
    rig.ahead += timedelta(minutes=31)
    async with rig.run():
        await standin.wait_for(lambda far: len(far.open_incidents()) == 2, timeout_seconds=10)
        await rig.quiet()
    (noted,) = [one for one in rig.happened if isinstance(one, events.Noted)]
    assert "by hand" in noted.note


# A trigger of which no receipt came may have opened an incident with the key that it went with.


async def torn_off(rig: Rig, standin: standin_module.PagerDuty, alert: model.Alert) -> None:
    """A trigger with the old key whose receipt is lost, and the end of the process before it is tried again."""
    standin.script(faults.lost_receipt(), times=None)
    async with rig.run():
        await rig.hear(alert)
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
        async with asyncio.timeout(10):
            while not rig.event(events.Retried):  # noqa: ASYNC110 - the reconciler gives no sign
                await asyncio.sleep(0.01)
    standin.clear_faults()


@pytest.mark.parametrize("ends_before", [True, False])
async def test_a_trigger_without_a_receipt_is_closed_over_a_rotation(
    rig: Rig, standin: standin_module.PagerDuty, ends_before: bool
) -> None:
    alert = now_alert()
    await torn_off(rig, standin, alert)
    assert {one.routing_key for one in standin.open_incidents()} == {OLD}
    rig.others["pager"] = pager(standin, NEW, previous=OLD)
    if ends_before:
        await rig.hear(ended(alert))
    async with rig.run():
        if not ends_before:
            before = len(standin.events)
            await standin.wait_for(lambda far: len(far.events) > before, timeout_seconds=10)
            await rig.quiet()
            await rig.hear(ended(alert))
        await standin.wait_for(lambda far: not far.open_incidents(), timeout_seconds=10)
        await rig.quiet()
        await rig.hear(now_alert("b"))
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
    outcomes = happened(standin)
    assert outcomes.count(("a", "opened")) == 1
    assert outcomes[-1] == ("b", "opened")
    assert [one for one in outcomes if one[0] == "b"] == [("b", "opened")], "nobody is paged twice"


async def test_a_trigger_without_a_receipt_whose_key_is_gone_is_paged_anew_and_said(
    rig: Rig, standin: standin_module.PagerDuty
) -> None:
    await torn_off(rig, standin, now_alert())
    rig.others["pager"] = pager(standin, NEW)
    async with rig.run():
        await standin.wait_for(lambda far: len(far.open_incidents()) == 2, timeout_seconds=10)
        await rig.quiet()
    assert [one.note for one in rig.happened if isinstance(one, events.Noted)] != []


async def test_a_trigger_that_surely_opened_nothing_goes_with_the_new_key(
    rig: Rig, standin: standin_module.PagerDuty
) -> None:
    standin.script(faults.server_error(503), times=None)
    async with rig.run():
        await rig.hear(now_alert())
        async with asyncio.timeout(10):
            while not rig.event(events.Retried):  # noqa: ASYNC110 - the reconciler gives no sign
                await asyncio.sleep(0.01)
    standin.clear_faults()
    rig.others["pager"] = pager(standin, NEW, previous=OLD)
    async with rig.run():
        await standin.wait_for(lambda far: len(far.open_incidents()) == 1, timeout_seconds=10)
        await rig.quiet()
    assert happened(standin) == [("b", "opened")]
    assert rig.event(events.Noted) == []
