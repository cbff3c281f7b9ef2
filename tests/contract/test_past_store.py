"""A P1 past the store: the real PagerDuty client to the stand-in, and the real store that it is recorded in later."""

import asyncio
import logging
import stat
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from msgspec import structs

from routing import message, model
from routing.destinations import contract as destinations
from routing.destinations import log, pagerduty
from tests.standins import faults
from tests.standins import pagerduty as far_end
from tests.unit.build import GROUP, alert, at
from tests.unit.build import message as heard
from webhook import catchup, direct, pagebook, unrecorded
from webhook.store import contract, sqlite

KEY = "0123456789abcdef0123456789abcdef"
ID = model.incident_id(GROUP)


class Rig:
    """A process's part of it, over a store and a PagerDuty that outlive it."""

    def __init__(self, state_dir: Path, store: contract.Store, pager: far_end.PagerDuty) -> None:
        self.store = store
        self.far = pager
        self.now = at(0)
        self.seconds = 0.0
        self.resyncs = True
        self.closed = False
        self.pagers: dict[str, destinations.Destination] = {
            "pagerduty": pagerduty.PagerDuty(name="pagerduty", routing_key=KEY, events_url=pager.url)
        }
        self.compose: direct.Compose = lambda situation, step: message.compose(
            situation.incident, step, surroundings=message.Surroundings(), runbooks={}
        )
        self.outcomes: list[str] = []
        self.woken: list[str] = []
        self.finished = asyncio.Event()
        self.book = pagebook.Book(state_dir)
        self.direct = direct.Direct(
            book=self.book,
            ways=lambda: direct.Ways(route=self.route, pagers=self.pagers, compose=self.compose),
            outcome=self._outcome,
            clock=lambda: self.now,
            monotonic=lambda: self.seconds,
        )
        self.catchup = catchup.CatchUp(
            store=store,
            book=self.book,
            pages=self.direct,
            resyncs=lambda: self.resyncs,
            wake=self.woken.extend,
            clock=lambda: self.now,
        )

    def route(self, labels: model.Labels) -> Collection[str]:
        return ("pagerduty", "channel") if labels.get("to") != "channel" else ("channel",)

    def _outcome(self, outcome: direct.Outcome) -> None:
        self.outcomes.append(outcome)
        self.finished.set()

    async def refuse(self, *alerts: model.Alert, group: model.Labels = GROUP) -> None:
        """Refuse a message whose P1 has to be paged, and wait until that was tried and is noted."""
        self.finished.clear()
        self.direct.refused(heard(*alerts, group=group))
        async with asyncio.timeout(15):
            await self.finished.wait()
            while self.direct.busy_with(model.incident_id(group)):  # noqa: ASYNC110 - the next turn or two
                await asyncio.sleep(0)

    def refuse_quietly(self, *alerts: model.Alert, group: model.Labels = GROUP) -> bool:
        """Refuse a message; whether anything is to be paged for it."""
        self.direct.refused(heard(*alerts, group=group))
        return bool(self.direct._waiting)

    def events(self) -> list[tuple[str, str]]:
        return [(event.action, event.outcome) for event in self.far.events]

    async def delivery(self, name: str) -> model.Delivery | None:
        return (await self.store.situations([ID]))[ID].deliveries.get(name)


@pytest.fixture
async def pager() -> AsyncIterator[far_end.PagerDuty]:
    async with far_end.serve(keys={KEY: "PhantomMesh"}) as standin:
        yield standin


@pytest.fixture
async def rig(tmp_path: Path, pager: far_end.PagerDuty) -> AsyncIterator[Rig]:
    store = await sqlite.open_store(tmp_path)
    made = Rig(tmp_path, store, pager)
    await made.book.open()
    task = asyncio.create_task(made.direct.run())
    yield made
    task.cancel()
    await asyncio.wait([task])
    for destination in made.pagers.values():
        await destination.close()
    if not made.closed:
        await store.close()


# Paging


async def test_a_refused_p1_is_paged_with_the_key_that_its_incident_has(rig: Rig) -> None:
    await rig.refuse(alert())
    (event,) = rig.far.events
    assert event.dedup_key == model.dedup_key(ID)
    assert event.outcome == "opened"
    payload = event.body["payload"]
    assert payload["severity"] == "critical"
    assert "ServiceDown" in payload["summary"]
    assert "cannot write its record" in str(payload["custom_details"]["notes"])
    assert rig.outcomes == ["sent"]


@pytest.mark.parametrize("priority", ["P2", "P3", "odd"])
def test_what_is_no_p1_is_not_paged(rig: Rig, priority: str) -> None:
    assert not rig.refuse_quietly(alert(priority=priority))


def test_what_is_over_is_not_paged(rig: Rig) -> None:
    assert not rig.refuse_quietly(alert(ends=10))


async def test_only_the_p1_of_a_message_are_paged(rig: Rig) -> None:
    await rig.refuse(alert("a"), alert("b", priority="P2"), alert("c", ends=5))
    (page,) = rig.book.pages()
    assert page.fingerprints == {alert("a").fingerprint}


async def test_what_goes_to_no_pager_is_not_paged_and_is_remembered(rig: Rig) -> None:
    rig.direct.refused(heard(alert("a", to="channel")))
    await rig.refuse(alert(), group={"alertname": "Other"})
    assert [event.dedup_key for event in rig.far.events] == [
        model.dedup_key(model.incident_id({"alertname": "Other"}))
    ]


async def test_alertmanager_comes_again_all_the_time_and_nobody_is_paged_twice(rig: Rig) -> None:
    await rig.refuse(alert("a"))
    for rig.seconds in (1, 59, 61, 1799):
        assert not rig.refuse_quietly(alert("a")), rig.seconds
    rig.seconds = 1800
    await rig.refuse(alert("a"))
    assert rig.events() == [("trigger", "opened"), ("trigger", "appended")], (
        "as every open P1 is, after 30 min"
    )


async def test_an_alert_that_joins_is_told_once_a_minute_at_most(rig: Rig) -> None:
    await rig.refuse(alert("a"))
    rig.seconds = 59
    assert not rig.refuse_quietly(alert("a"), alert("b"))
    rig.seconds = 60
    await rig.refuse(alert("a"), alert("b"))
    assert rig.events() == [("trigger", "opened"), ("trigger", "appended")]
    (page,) = rig.book.pages()
    assert page.fingerprints == {alert("a").fingerprint, alert("b").fingerprint}


async def test_after_a_failure_it_is_tried_again_when_alertmanager_comes_again(rig: Rig) -> None:
    rig.far.script(faults.server_error(503))
    await rig.refuse(alert())
    assert rig.outcomes == ["failed"]
    rig.seconds = 1.9
    assert not rig.refuse_quietly(alert())
    rig.seconds = 2
    await rig.refuse(alert())
    assert rig.outcomes == ["failed", "sent"]
    assert rig.events() == [("trigger", "opened")]


async def test_retry_after_is_obeyed(rig: Rig) -> None:
    rig.far.script(faults.Answer(status=429, headers={"Retry-After": "30"}))
    await rig.refuse(alert())
    rig.seconds = 29
    assert not rig.refuse_quietly(alert())
    rig.seconds = 30
    await rig.refuse(alert())
    assert rig.outcomes == ["failed", "sent"]


async def test_a_defect_in_rendering_costs_the_page_its_form_and_not_the_page(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_situation: model.Situation, _step: model.Step) -> message.Message:
        raise RuntimeError("a defect")

    rig.compose = broken
    await rig.refuse(alert())
    assert rig.outcomes == ["sent"]
    assert rig.far.events[0].dedup_key == model.dedup_key(ID)
    assert "a defect" in caplog.text


async def test_what_pagerduty_refuses_is_sent_in_the_plain_form(rig: Rig) -> None:
    rig.far.script(faults.Answer(status=400, body='{"errors": ["no"]}'))
    await rig.refuse(alert())
    assert rig.outcomes == ["sent"]
    assert "links" not in rig.far.events[0].body


@pytest.mark.parametrize(
    "labels",
    [
        {"severity": "critical", "priority": "p1", "x": "\0\x1b[2J\u202e<!channel>"},
        {"priority": "P1", "long": "x" * 100_000},
        {"priority": "P1", **{f"label_{n}": "v" * 500 for n in range(500)}},
        {"priority": "P1", "f": "%s {0} ${HOME} {{ .Labels }}"},
    ],
)
async def test_hostile_labels_page_and_are_remembered_cut(rig: Rig, labels: dict[str, str]) -> None:
    hostile = structs.replace(alert(), labels=labels, annotations={"summary": "y" * 200_000})
    await rig.refuse(hostile)
    assert rig.outcomes == ["sent"]
    (page,) = rig.book.pages()
    assert len(unrecorded.encode([page])) < 40_000
    assert page.fingerprints == {hostile.fingerprint}


async def test_a_message_of_5000_alerts_pages_and_is_remembered_cut(rig: Rig) -> None:
    await rig.refuse(*(alert(str(number)) for number in range(5_000)))
    assert rig.outcomes == ["sent"]
    assert len(unrecorded.encode(rig.book.pages())) < 40_000


def test_when_too_many_wait_one_more_has_to_come_again(rig: Rig) -> None:
    for number in range(direct.MOST_WAITING):
        rig.direct.refused(heard(alert(), group={"number": str(number)}))
    assert rig.outcomes == []
    rig.direct.refused(heard(alert(), group={"number": "one more"}))
    assert rig.outcomes == ["dropped"]
    rig.direct._waiting.clear()


async def test_in_a_dry_run_it_is_printed_and_nothing_is_sent(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await rig.pagers["pagerduty"].close()
    rig.pagers["pagerduty"] = log.Log(name="pagerduty (dry)", stands_for="pagerduty")
    await rig.refuse(alert())
    assert rig.far.requests == []
    assert "pagerduty (dry)" in caplog.text


# What is remembered


async def test_the_side_file_is_private_and_a_new_process_reads_it(
    rig: Rig, tmp_path: Path, pager: far_end.PagerDuty
) -> None:
    await rig.refuse(alert())
    assert await rig.book.written()
    file = tmp_path / pagebook.FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = Rig(tmp_path, rig.store, pager)
    await again.book.open()
    assert again.book.pages() == rig.book.pages()
    await again.pagers["pagerduty"].close()

    rig.book.forget(ID)
    await rig.book.close()
    assert not file.exists()


async def test_what_cannot_be_written_is_kept_in_memory_and_said_once(
    rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{pagebook.FILE}.new").mkdir()  # in the way
    await rig.refuse(alert())
    assert not await rig.book.written()
    assert not await rig.book.written()
    assert caplog.text.count("kept in memory only") == 1
    assert len(rig.book) == 1
    (tmp_path / f"{pagebook.FILE}.new").rmdir()
    assert await rig.book.written()


@pytest.mark.parametrize("content", [b"", b"[", b"\xff\xfe", b'[{"notification": 3}]', b"{}"])
async def test_a_side_file_of_no_use_is_put_aside_and_named(
    rig: Rig, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / pagebook.FILE).write_bytes(content)
    await rig.book.open()
    assert len(rig.book) == 0
    aside = tmp_path / "phantommesh-alerts.unrecorded.unreadable"
    assert aside.read_bytes() == content
    assert str(aside) in str([record.__dict__ for record in caplog.records])


def test_no_more_is_remembered_than_there_is_room_for(rig: Rig) -> None:
    for number in range(pagebook.MOST_PAGES):
        page = unrecorded.Page(notification=heard(alert(), group={"number": str(number)}))
        assert rig.book.keep(page)
    assert rig.book.keep(page)
    assert not rig.book.keep(unrecorded.Page(notification=heard(alert())))


# When the store is back


async def test_a_page_becomes_a_delivery_that_the_others_are_still_told_of(rig: Rig) -> None:
    await rig.refuse(alert())
    await rig.catchup.look()
    (open_now,) = await rig.store.open_incidents(10)
    assert open_now.incident.id == ID
    assert rig.woken == [ID]
    shown = open_now.deliveries["pagerduty"].shown
    assert shown is not None
    assert shown.firing == {alert().fingerprint}
    assert shown.episode == open_now.incident.episode
    assert "channel" not in open_now.deliveries, "that is the reconciler's to tell"
    assert len(rig.book) == 0


async def test_a_page_that_did_not_get_through_is_recorded_and_left_to_tell(rig: Rig) -> None:
    rig.far.script(faults.server_error(500))
    await rig.refuse(alert())
    await rig.catchup.look()
    (open_now,) = await rig.store.open_incidents(10)
    assert open_now.deliveries == {}
    assert len(rig.book) == 0


async def test_while_the_store_is_still_down_it_waits(rig: Rig) -> None:
    await rig.refuse(alert())
    await rig.store.close()
    rig.closed = True
    await rig.catchup.look()
    assert len(rig.book) == 1


async def test_what_was_heard_in_the_meantime_is_not_recorded_again(rig: Rig) -> None:
    """The store is back, Alertmanager told of the firing and of the resolve, and only then is there a look."""
    await rig.refuse(alert())
    await rig.store.accept(heard(alert()), sources=(), body=b"1", now=at(5))
    await rig.store.accept(heard(alert(ends=6)), sources=(), body=b"2", now=at(6))
    await rig.catchup.look()
    assert await rig.store.open_incidents(10) == []
    assert len(rig.book) == 0


async def test_an_incident_of_earlier_opens_again(rig: Rig) -> None:
    await rig.store.accept(heard(alert(starts=-100)), sources=(), body=b"1", now=at(-99))
    await rig.store.accept(heard(alert(starts=-100, ends=-50)), sources=(), body=b"2", now=at(-49))
    await rig.refuse(alert())
    await rig.catchup.look()
    (open_now,) = await rig.store.open_incidents(10)
    assert open_now.incident.episode == 2
    assert open_now.deliveries["pagerduty"].since_episode == 2


async def test_one_that_is_shown_as_open_anyway_only_learns_of_what_joined(rig: Rig) -> None:
    await rig.store.accept(heard(alert("a")), sources=(), body=b"1", now=at(0))
    shows = model.Shown(episode=1, firing=frozenset({alert("a").fingerprint}), priority=model.Priority.P1)
    await rig.store.expect(ID, ["pagerduty"], 1, at(0))
    await rig.store.settle(ID, "pagerduty", shows, at(1))
    await rig.refuse(alert("a"), alert("b", starts=2))
    await rig.catchup.look()
    (open_now,) = await rig.store.open_incidents(10)
    assert len(open_now.incident.firing) == 2
    assert open_now.deliveries["pagerduty"].shown == shows, "the reconciler appends what joined"


async def test_what_is_recorded_is_forgotten_and_the_next_outage_pages_anew(rig: Rig) -> None:
    await rig.refuse(alert())
    rig.direct.recorded(heard(alert()))
    assert len(rig.book) == 0
    assert rig.refuse_quietly(alert())


async def test_a_message_about_others_of_the_group_does_not_make_it_forgotten(rig: Rig) -> None:
    await rig.refuse(alert("a"))
    rig.direct.recorded(heard(alert("b")))
    assert len(rig.book) == 1


# Without Alertmanager's address


@pytest.fixture
async def blind(rig: Rig) -> Rig:
    """A page that was recorded where nobody can ask Alertmanager."""
    rig.resyncs = False
    await rig.refuse(alert())
    await rig.catchup.look()
    assert len(await rig.store.open_incidents(10)) == 1
    return rig


async def look_at(rig: Rig, now: datetime, *, watchdog: bool) -> bool:
    """Look at that time; whether the incident is still open then."""
    rig.now = now
    if watchdog:
        await rig.store.accept(None, sources=["prod"], body=b"watchdog", now=now)
    await rig.catchup.look()
    return bool(await rig.store.open_incidents(10))


UNHEARD = catchup.UNHEARD_FOR


async def test_what_alertmanager_does_not_tell_of_again_is_taken_to_be_over(
    blind: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    assert await look_at(blind, at(0) + UNHEARD - timedelta(seconds=1), watchdog=True)
    blind.woken.clear()
    assert not await look_at(blind, at(0) + UNHEARD, watchdog=True)
    assert blind.woken == [ID]
    assert len(blind.book) == 0
    assert "not heard of since: taken to be over" in caplog.text
    incident = (await blind.store.situations([ID]))[ID].incident
    assert "not heard of since" in incident.alerts[alert().fingerprint].annotations["description"]


async def test_silence_proves_nothing_while_no_watchdog_arrives(blind: Rig) -> None:
    assert await look_at(blind, at(0) + 2 * UNHEARD, watchdog=False)
    assert not await look_at(blind, at(1) + 2 * UNHEARD, watchdog=True)


async def test_what_is_heard_of_again_goes_the_ordinary_way(blind: Rig) -> None:
    await blind.store.accept(heard(alert()), sources=(), body=b"1", now=at(60))
    blind.direct.recorded(heard(alert()))
    assert len(blind.book) == 0
    assert await look_at(blind, at(0) + 2 * UNHEARD, watchdog=True)


async def test_a_restart_goes_on_waiting(blind: Rig, tmp_path: Path, pager: far_end.PagerDuty) -> None:
    assert await blind.book.written()
    again = Rig(tmp_path, blind.store, pager)
    await again.book.open()
    again.resyncs = False
    assert await look_at(again, at(0) + UNHEARD - timedelta(seconds=1), watchdog=True)
    assert not await look_at(again, at(0) + UNHEARD, watchdog=True)
    await again.pagers["pagerduty"].close()
