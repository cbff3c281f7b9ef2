"""Storms: the reconciler on the real store, told to stand-ins that keep the far ends' limits.

Slack's limit is the real one made so many times faster, so that a test takes seconds. Its stand-in takes a short
burst, as Slack does: on a busy machine messages are not as far apart when they arrive as when they were sent.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from routing import alarms, budget, deciding, events, message, model, reconciler, summary
from routing.destinations import contract, pagerduty, slack
from tests.standins import faults
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import build
from webhook.store import contract as store_contract
from webhook.store import sqlite

KEY = "k" * 32
OPS = "#ops"
FASTER = 10
P1, P2, P3 = model.Priority.P1, model.Priority.P2, model.Priority.P3


@dataclasses.dataclass
class Rig:
    """A store, a pager, a channel, and the reconcilers that run on them one after the other."""

    store: store_contract.Store
    pagerduty: pagerduty_standin.PagerDuty
    slack: slack_standin.Slack
    destinations: dict[str, contract.Destination]
    happened: list[events.Event] = dataclasses.field(default_factory=list)
    running: reconciler.Reconciler | None = None

    async def hear(self, *notifications: model.Notification) -> list[str]:
        """Record these together; returns the incidents' ids."""
        now = datetime.now(UTC)
        changed = await asyncio.gather(*(self.store.record(one, now) for one in notifications))
        ids = [incident_id for some in changed for incident_id in some]
        if self.running is not None:
            self.running.wake(ids)
        return ids

    @asynccontextmanager
    async def run(self) -> AsyncIterator[reconciler.Reconciler]:
        running = await self._reconciler()
        self.running = running
        task = asyncio.create_task(running.run())
        try:
            yield running
        finally:
            running.stop()
            self.running = None
            await task

    async def run_until(self, hanging: asyncio.Event) -> None:
        """A reconciler that is cut off at that moment, as by kill -9."""
        task = asyncio.create_task((await self._reconciler()).run())
        async with asyncio.timeout(20):
            await hanging.wait()
        task.cancel()
        await asyncio.wait([task])

    async def _reconciler(self) -> reconciler.Reconciler:
        since = await self.store.destinations_since(self.destinations, datetime.now(UTC))
        return reconciler.Reconciler(
            ledger=self.store,
            route=_route,
            targets={
                name: deciding.Target(destination=destination, since=since[name])
                for name, destination in self.destinations.items()
            },
            compose=lambda situation, step: message.compose(
                situation.incident, step, surroundings=message.Surroundings(), runbooks={}
            ),
            emit=self.happened.append,
            external_url="https://alerts.example",
        )

    async def quiet(self) -> None:
        """Wait until nothing is due any more."""
        async with asyncio.timeout(60):
            # The store gives no sign when an incident comes to rest; there is only asking. The second is for
            # what the reconciler makes due between this clock's reading and the store's.
            while await self.store.due(None, datetime.now(UTC) + timedelta(seconds=1)):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def shown(self, incident_ids: list[str]) -> set[bool | None]:
        """What the channel shows of these: True for open, False for closed, None for never told or not sure."""
        situations = await self.store.situations(incident_ids)
        deliveries = [one.deliveries["channel"] for one in situations.values()]
        return {
            bool(one.shown.firing) if one.shown is not None and one.intent is None else None
            for one in deliveries
        }

    def titles(self) -> list[str]:
        return [one.text for one in self.slack.posted(OPS)]

    def refused(self) -> list[int | None]:
        """Answers other than a receipt, of both far ends."""
        answers = [one.status for one in (*self.slack.requests, *self.pagerduty.requests)]
        return [status for status in answers if status not in (200, 202)]

    def summarised(self) -> int:
        """How many incidents were told in a summary."""
        return sum(one.incidents for one in self.happened if isinstance(one, events.Summarised))


def _route(labels: model.Labels) -> list[str]:
    return ["pager", "channel"] if labels["priority"] == "P1" else ["channel"]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    store = await sqlite.open_store(tmp_path)
    async with (
        pagerduty_standin.serve(keys={KEY: "ops"}) as pager_standin,
        slack_standin.serve(channels={"s": OPS}, burst=3, per_second=FASTER) as slack_end,
    ):
        channel = slack.Slack(name="channel", webhook_url=slack_end.webhook(OPS), channel=OPS)
        limit = dataclasses.replace(slack.LIMIT, per_second=slack.LIMIT.per_second * FASTER)
        channel.far_end = budget.FarEnd(identity="channel", limit=limit)
        pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=pager_standin.url)
        await store.destinations_since(["pager", "channel"], build.T0)
        yield Rig(store, pager_standin, slack_end, {"pager": pager, "channel": channel})
        await pager.close()
        await channel.close()
    await store.close()


def incident(
    number: int, priority: model.Priority = P3, *, name: str = "DiskFilling", ended: bool = False
) -> model.Notification:
    """A message about an incident of its own with one alert."""
    now = datetime.now(UTC)
    labels = {"alertname": name, "instance": f"node-{number}"}
    alert = build.alert(f"pod-{number}", priority=priority.name, alertname=name, instance=f"node-{number}")
    alert = structs.replace(alert, starts_at=now)
    if ended:
        alert = structs.replace(alert, status=model.AlertStatus.RESOLVED, ends_at=now)
    return build.message(alert, group=labels)


async def test_a_backlog_is_told_in_one_message_and_each_incident_counts_as_told(rig: Rig) -> None:
    ids = await rig.hear(*(incident(number) for number in range(40)))
    async with rig.run():
        await rig.quiet()
    assert rig.titles() == ["[P3] DiskFilling ×40: the 5 worst, the rest on the page"]
    assert await rig.shown(ids) == {True}
    assert rig.refused() == []


async def test_p1_is_told_by_itself_and_before_the_summary(rig: Rig) -> None:
    quiet = [incident(number, P2 if number % 3 else P3) for number in range(40)]
    ids = await rig.hear(*quiet, *(incident(100 + number, P1, name="ServiceDown") for number in range(3)))
    async with rig.run():
        await rig.quiet()
    titles = rig.titles()
    assert [title.startswith("[P1] ServiceDown") for title in titles[:3]] == [True] * 3
    assert titles[3].startswith("[P2] DiskFilling ×40")
    assert await rig.shown(ids) == {True}
    assert len(rig.pagerduty.incidents) == 3
    assert rig.refused() == []


async def test_a_few_are_told_one_by_one_within_the_limit(rig: Rig) -> None:
    await rig.hear(*(incident(number) for number in range(5)))
    async with rig.run():
        await rig.quiet()
    assert len(rig.titles()) == 5
    assert rig.summarised() == 0
    assert rig.refused() == []


async def test_ends_collapse_as_beginnings_do(rig: Rig) -> None:
    ids = await rig.hear(*(incident(number) for number in range(40)))
    async with rig.run():
        await rig.quiet()
    await rig.hear(*(incident(number, ended=True) for number in range(40)))
    async with rig.run():
        await rig.quiet()
    assert rig.titles()[1:] == ["[P3 resolved] DiskFilling ×40: the 5 worst, the rest on the page"]
    assert await rig.shown(ids) == {False}


async def test_what_ended_before_it_could_be_told_is_left_out(rig: Rig) -> None:
    await rig.hear(*(incident(number) for number in range(40)))
    await rig.hear(*(incident(number, ended=True) for number in range(20)))
    async with rig.run():
        await rig.quiet()
    assert rig.titles() == ["[P3] DiskFilling ×20: the 5 worst, the rest on the page"]


async def test_a_crash_between_sending_and_recording_repeats_and_loses_nothing(rig: Rig) -> None:
    ids = await rig.hear(*(incident(number) for number in range(40)))
    rig.slack.script(faults.Hang(recorded=True))
    sent = asyncio.Event()
    waiting = asyncio.create_task(rig.slack.wait_for(lambda far: far.requests, timeout_seconds=20))
    waiting.add_done_callback(lambda _: sent.set())
    await rig.run_until(sent)
    rig.slack.clear_faults()
    assert await rig.shown(ids) == {None}
    # What ended meanwhile was perhaps shown as open, so its end is told.
    await rig.hear(*(incident(number, ended=True) for number in range(10)))
    async with rig.run():
        await rig.quiet()
    first, second = rig.slack.posted(OPS)
    assert first.text.startswith("[P3] DiskFilling ×40")
    assert second.text.startswith("[P3] DiskFilling ×30")
    assert "10 resolved" in str(second.body)
    assert "may repeat an earlier message" in str(second.body)
    assert await rig.shown(ids) == {True, False}


async def test_a_summary_that_fails_is_tried_again_and_a_p1_does_not_wait_for_it(rig: Rig) -> None:
    rig.slack.script(faults.server_error(503), times=2, where=lambda arrival: b"DiskFilling" in arrival.body)
    ids = await rig.hear(*(incident(number) for number in range(40)))
    async with rig.run():
        await rig.slack.wait_for(lambda far: far.requests, timeout_seconds=20)
        await rig.hear(incident(100, P1, name="ServiceDown"))
        await rig.slack.wait_for(lambda far: far.posted(OPS), timeout_seconds=20)
        await rig.quiet()
    assert rig.titles()[0].startswith("[P1] ServiceDown")
    assert await rig.shown(ids) == {True}
    assert rig.refused() == [503, 503]


async def test_a_summary_that_hangs_does_not_keep_a_p1_waiting(rig: Rig) -> None:
    rig.slack.script(faults.Hang(), where=lambda arrival: b"DiskFilling" in arrival.body)
    await rig.hear(*(incident(number) for number in range(40)))
    async with rig.run():
        await rig.slack.wait_for(lambda far: far.requests, timeout_seconds=20)
        await rig.hear(incident(100, P1, name="ServiceDown"))
        await rig.slack.wait_for(lambda far: far.posted(OPS), timeout_seconds=4)
        assert rig.titles()[0].startswith("[P1] ServiceDown")
        rig.slack.clear_faults()


async def test_a_summary_that_is_refused_for_good_gives_way_to_single_messages(rig: Rig) -> None:
    rig.slack.script(
        faults.Answer(status=400, body="invalid_blocks"),
        times=None,
        where=lambda arrival: "×7".encode() in arrival.body or b"\\u00d77" in arrival.body,
    )
    ids = await rig.hear(*(incident(number) for number in range(7)))
    async with rig.run():
        await rig.quiet()
    assert len(rig.titles()) == 7
    assert await rig.shown(ids) == {True}
    assert rig.refused() == [400, 400]


async def test_a_dead_letter_that_a_summary_tells_after_all_ends_its_alarm(rig: Rig) -> None:
    rig.slack.script(faults.Answer(status=400, body="invalid_blocks"), times=2)
    (dead,) = await rig.hear(incident(0))
    async with rig.run():
        await rig.quiet()
    alarm = model.incident_id(alarms.group_labels(alarms.REFUSED, "channel"))
    assert (await rig.store.situations([alarm]))[alarm].incident.open
    await rig.store.revive(dead, "channel", datetime.now(UTC))
    await rig.hear(*(incident(number) for number in range(1, 10)))
    async with rig.run():
        await rig.quiet()
    assert rig.summarised() == 10
    assert not (await rig.store.situations([alarm]))[alarm].incident.open


async def test_a_defect_of_ours_costs_a_line_and_not_the_summary(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(about: model.Incident, step: model.Step, *, external_url: str) -> summary.Line:
        if about.group_labels["instance"] == "node-0":
            raise ZeroDivisionError
        return told_line(about, step, external_url=external_url)

    told_line = summary.line
    monkeypatch.setattr(summary, "line", line)
    ids = await rig.hear(*(incident(number) for number in range(7)))
    async with rig.run():
        await rig.quiet()
    (told,) = rig.slack.posted(OPS)
    assert f"Incident {ids[0]}" in str(told.body)
    assert await rig.shown(ids) == {True}


async def test_an_incident_raised_to_p1_leaves_the_backlog(rig: Rig) -> None:
    await rig.hear(*(incident(number) for number in range(40)))
    async with rig.run() as running:
        await rig.hear(incident(7, P1))
        await rig.quiet()
        assert not running.lanes["channel"].behind
    assert any(title.startswith("[P1] DiskFilling") for title in rig.titles())
    assert len(rig.pagerduty.incidents) == 1


async def test_a_storm_of_p1_provokes_no_429_and_every_one_is_paged(rig: Rig) -> None:
    limit = budget.Limit(burst=20, per_second=10, reserved=5, at_start=1)
    pager = rig.destinations["pager"]
    assert isinstance(pager, pagerduty.PagerDuty)
    pager.far_end = budget.FarEnd(identity="pager", limit=limit)
    rig.pagerduty.rate_per_minute = 30
    await rig.hear(*(incident(number, P1, name="ServiceDown") for number in range(28)))
    async with rig.run() as running:
        await rig.pagerduty.wait_for(lambda far: len(far.incidents) == 28, timeout_seconds=30)
        await rig.quiet()
        assert running.lanes["pager"].budget_waits > 0
    assert rig.refused() == []
    assert len(rig.titles()) == 28


async def test_the_far_ends_own_word_is_kept_by_every_destination_that_leads_there(rig: Rig) -> None:
    second = slack.Slack(name="second", webhook_url=rig.slack.webhook(OPS), channel=OPS)
    channel = rig.destinations["channel"]
    assert isinstance(channel, slack.Slack)
    second.far_end = channel.far_end
    rig.destinations["second"] = second
    rig.slack.script(faults.too_many_requests(retry_after_seconds=1))
    await rig.hear(incident(1, P2))
    async with rig.run() as running:
        (refused,) = await rig.slack.wait_for(lambda far: far.requests, timeout_seconds=20)
        running.lanes["second"].put("anything", (P1, datetime.now(UTC)))
        await rig.slack.wait_for(lambda far: far.posted(OPS), timeout_seconds=20)
    assert rig.slack.posted(OPS)[0].arrival.at_seconds - refused.arrival.at_seconds >= 1
    await second.close()


async def test_a_p1_is_paged_while_thousands_of_p3_are_still_to_be_looked_at(rig: Rig) -> None:
    async with rig.run() as running:
        ids = await rig.hear(*(incident(number) for number in range(3_000)))
        await rig.hear(incident(9_999, P1, name="ServiceDown"))
        await rig.pagerduty.wait_for(lambda far: far.incidents, timeout_seconds=20)
        looked_at = len(running.lanes["channel"]) + rig.summarised()
        assert looked_at < len(ids)
