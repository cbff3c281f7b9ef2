"""The reconciler on the real store: what each destination is told, whatever goes wrong.

`Place` is a destination that does as a test says; everything else is the real code.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import structs

from routing import alarms, deciding, desire, events, failover, message, model, reconciler
from routing.destinations import contract
from tests.unit import build
from webhook.store import contract as store_contract
from webhook.store import sqlite

PAGER = contract.Traits(shows_partial_resolves=False, reassert_seconds=1800)
CHANNEL = contract.Traits(shows_partial_resolves=True, reassert_seconds=None)

ID = model.incident_id(build.GROUP)

Behaviour = Callable[[message.Message, bool], contract.Failure | None]


class Place:
    """A destination: remembers what it was told, and fails or hangs as it is told to."""

    def __init__(self, traits: contract.Traits) -> None:
        self.traits = traits
        self.credentials = "first"
        self.told: list[message.Message] = []
        self.attempts = 0
        self.behaviour: Behaviour = lambda _told, _plain: None
        self.hangs_on: Callable[[message.Message], bool] = lambda _told: False
        self.hanging = asyncio.Event()
        self.go_on = asyncio.Event()
        self._changed = asyncio.Condition()

    async def send(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        self.attempts += 1
        if self.hangs_on(told):
            self.hanging.set()
            await self.go_on.wait()
        failure = self.behaviour(told, plain)
        if failure is not None:
            raise failure
        async with self._changed:
            self.told.append(told)
            self._changed.notify_all()
        return contract.Receipt()

    async def rehearse(self, told: message.Message, *, plain: bool) -> None:  # noqa: ARG002
        return

    async def close(self) -> None:
        return

    async def until_hanging(self) -> None:
        async with asyncio.timeout(10):
            await self.hanging.wait()

    async def until(self, count: int) -> list[str]:
        """Wait until it was told so many things; returns what."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.told) >= count)
        return self.steps()

    def steps(self) -> list[str]:
        return [
            f"{one.incident.group_labels['alertname']} {one.step.act}: {one.step.reason}" for one in self.told
        ]


@dataclasses.dataclass
class Rig:
    """A store, destinations, and the reconcilers that run on them one after the other.

    Attributes:
        ahead: how far the reconciler's clock is ahead of this machine's.
    """

    store: store_contract.Store
    places: dict[str, Place]
    others: dict[str, contract.Destination] = dataclasses.field(default_factory=dict, kw_only=True)
    route: desire.Router
    backups: failover.Backups = dataclasses.field(default_factory=dict)
    ahead: timedelta = timedelta()
    happened: list[events.Event] = dataclasses.field(default_factory=list)
    running: reconciler.Reconciler | None = None

    async def hear(self, *alerts: model.Alert, group: Mapping[str, str] = build.GROUP) -> None:
        changed = await self.store.record(build.message(*alerts, group=group), datetime.now(UTC))
        if self.running is not None:
            self.running.wake(changed)

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """A reconciler at work; in the end it finishes what is under way."""
        self.running = await self._reconciler()
        task = asyncio.create_task(self.running.run())
        try:
            yield
        finally:
            self.running.stop()
            self.running = None
            await task

    async def die(self) -> None:
        """A reconciler that is cut off while its destination hangs, as by kill -9."""
        task = asyncio.create_task((await self._reconciler()).run())
        await next(iter(self.places.values())).until_hanging()
        task.cancel()
        await asyncio.wait([task])

    async def _reconciler(self) -> reconciler.Reconciler:
        destinations: dict[str, contract.Destination] = {**self.places, **self.others}
        since = await self.store.destinations_since(destinations, datetime.now(UTC))
        return reconciler.Reconciler(
            ledger=self.store,
            route=self.route,
            targets={
                name: deciding.Target(destination=place, since=since[name])
                for name, place in destinations.items()
            },
            compose=lambda situation, step: message.compose(
                situation.incident,
                step,
                surroundings=message.Surroundings(),
                runbooks={},
                elsewhere=failover.sentences(situation, step, self.backups, datetime.now(UTC) + self.ahead),
            ),
            emit=self.happened.append,
            backups=self.backups,
            clock=lambda: datetime.now(UTC) + self.ahead,
        )

    async def pass_time(self, span: timedelta) -> None:
        """Let the clock jump, and the reconciler notice."""
        self.ahead += span
        if self.running is not None:
            self.running.wake([situation.incident.id for situation in await self.store.open_incidents(10)])

    async def quiet(self) -> None:
        """Wait until nothing is due any more but in the future."""
        async with asyncio.timeout(10):
            # The store gives no sign when an incident comes to rest; there is only asking.
            while await self.store.due(None, datetime.now(UTC)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def event(self, kind: type[events.Event]) -> list[events.Event]:
        return [one for one in self.happened if isinstance(one, kind)]


class Held:
    """The store; once `holds`, what is asked at the end of a look waits, and with it the next look."""

    def __init__(self, store: store_contract.Store, holds: Callable[[], bool]) -> None:
        self.holding, self.go_on = asyncio.Event(), asyncio.Event()
        self._store = store
        self._holds = holds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def next_due(self, after: datetime) -> datetime | None:
        if self._holds():
            self.holding.set()
            await self.go_on.wait()
        return await self._store.next_due(after)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    store = await sqlite.open_store(tmp_path)
    places = {"pager": Place(PAGER), "channel": Place(CHANNEL)}
    yield Rig(store=store, places=places, route=lambda _: ("pager", "channel"))
    await store.close()


def now_alert(name: str = "a", *, priority: str = "P1") -> model.Alert:
    """An alert that fires from now on, by this machine's clock."""
    return structs.replace(build.alert(name, priority=priority), starts_at=datetime.now(UTC))


def ended(alert: model.Alert) -> model.Alert:
    return structs.replace(alert, status=model.AlertStatus.RESOLVED, ends_at=datetime.now(UTC))


async def test_every_destination_is_told_the_trigger_and_then_the_resolve(rig: Rig) -> None:
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await asyncio.gather(*(place.until(1) for place in rig.places.values()))
        await rig.hear(ended(alert))
        for place in rig.places.values():
            assert await place.until(2) == ["ServiceDown open: fired", "ServiceDown close: resolved"]


async def test_what_was_recorded_before_the_start_is_told(rig: Rig) -> None:
    await rig.hear(now_alert())
    async with rig.run():
        await rig.places["pager"].until(1)


async def test_nothing_is_told_twice_by_a_restart(rig: Rig) -> None:
    await rig.hear(now_alert())
    async with rig.run():
        await rig.places["pager"].until(1)
        await rig.places["channel"].until(1)
        await rig.quiet()
    async with rig.run():
        await rig.quiet()
    assert [len(place.told) for place in rig.places.values()] == [1, 1]


async def test_a_send_that_hangs_does_not_keep_a_p1_waiting(rig: Rig) -> None:
    pager = rig.places["pager"]
    pager.hangs_on = lambda told: told.step.shows.priority is model.Priority.P3
    async with rig.run():
        await rig.hear(now_alert(priority="P3"), group={"alertname": "Slow"})
        await pager.until_hanging()
        await rig.hear(now_alert("b"))
        assert await pager.until(1) == ["ServiceDown open: fired"]
        pager.go_on.set()


async def test_who_pages_is_told_before_the_others_are(rig: Rig) -> None:
    asked: list[str] = []

    def notes(name: str) -> Behaviour:
        return lambda _told, _plain: asked.append(name)

    for name in ("channel", "pager"):
        rig.places[name] = rig.places.pop(name)  # the pager is now the last in the configuration
        rig.places[name].behaviour = notes(name)
    async with rig.run():
        await rig.hear(now_alert())
        await asyncio.gather(*(place.until(1) for place in rig.places.values()))
    assert asked == ["pager", "channel"]


async def test_what_changed_after_a_look_is_told_as_it_is_now(rig: Rig) -> None:
    pager, rig.route = rig.places["pager"], lambda _: ("pager",)
    pager.hangs_on = lambda told: told.incident.group_labels["alertname"] == "Slow"
    held = Held(rig.store, lambda: rig.running is not None and ID in rig.running.lanes["pager"])
    rig.store = cast("store_contract.Store", held)
    one, other = now_alert("one", priority="P2"), now_alert("other", priority="P2")
    async with rig.run(), asyncio.timeout(10):
        await rig.hear(now_alert(priority="P2"), group={"alertname": "Slow"})
        await pager.until_hanging()
        await rig.hear(one)
        await held.holding.wait()  # it was looked at and waits in the lane
        await rig.hear(one, other)  # on record, and not looked at
        pager.go_on.set()
        try:
            await pager.until(2)
        finally:
            held.go_on.set()
    assert pager.told[1].step.joined == {one.fingerprint, other.fingerprint}


async def test_a_lane_that_hangs_does_not_keep_another_waiting(rig: Rig) -> None:
    rig.places["pager"].hangs_on = lambda _told: True
    async with rig.run():
        await rig.hear(now_alert())
        await rig.places["channel"].until(1)
        rig.places["pager"].go_on.set()


async def test_a_passing_fault_is_tried_again_until_it_works(rig: Rig) -> None:
    faults = [contract.Passing("HTTP 503", retry_after_seconds=0.01) for _ in range(3)]
    rig.places["pager"].behaviour = lambda _told, _plain: faults.pop() if faults else None
    async with rig.run():
        await rig.hear(now_alert())
        assert await rig.places["pager"].until(1) == ["ServiceDown open: fired"]
    assert len(rig.event(events.Retried)) == 3


async def test_an_incident_that_the_far_end_cannot_bear_keeps_no_other_waiting(rig: Rig) -> None:
    def chokes(told: message.Message, _plain: bool) -> contract.Failure | None:
        odd = told.incident.group_labels["alertname"] == "Odd"
        return contract.Passing("500", outcome_known=False) if odd else None

    pager = rig.places["pager"]
    pager.behaviour = chokes
    async with rig.run():
        await rig.hear(now_alert(), group={"alertname": "Odd"})
        await rig.hear(now_alert("b"))
        await rig.hear(now_alert("c", priority="P3"), group={"alertname": "Info"})
        assert set(await pager.until(2)) == {"ServiceDown open: fired", "Info open: fired"}
        pager.behaviour = lambda _told, _plain: None
        assert "Odd open: outcome_unknown" in await pager.until(3)


async def test_after_an_unknown_outcome_the_state_is_told_again_and_said_to_be_a_repeat(rig: Rig) -> None:
    faults = [contract.Passing("no answer", outcome_known=False, retry_after_seconds=0.01)]
    rig.places["channel"].behaviour = lambda _told, _plain: faults.pop() if faults else None
    async with rig.run():
        await rig.hear(now_alert())
        assert await rig.places["channel"].until(1) == ["ServiceDown open: outcome_unknown"]
        await rig.quiet()
    assert [one.possibly_repeated for one in rig.event(events.Sent) if isinstance(one, events.Sent)].count(
        True
    ) == 1


async def test_a_try_that_surely_failed_does_not_make_an_earlier_one_certain(rig: Rig) -> None:
    faults = [
        contract.Passing("HTTP 503", retry_after_seconds=0.01),
        contract.Passing("no answer", outcome_known=False, retry_after_seconds=0.01),
    ]
    rig.places["channel"].behaviour = lambda _told, _plain: faults.pop() if faults else None
    async with rig.run():
        await rig.hear(now_alert())
        assert await rig.places["channel"].until(1) == ["ServiceDown open: outcome_unknown"]


async def test_a_process_that_died_while_sending_tells_the_state_again(rig: Rig) -> None:
    del rig.places["channel"]
    rig.route = lambda _: ("pager",)
    pager = rig.places["pager"]
    pager.hangs_on = lambda _told: True
    await rig.hear(now_alert())
    await rig.die()
    pager.hangs_on = lambda _told: False
    async with rig.run():
        assert await pager.until(1) == ["ServiceDown open: outcome_unknown"]


async def test_a_send_under_way_is_finished_and_recorded_before_the_end(rig: Rig) -> None:
    pager = rig.places["pager"]
    pager.hangs_on = lambda _told: True
    async with rig.run():
        await rig.hear(now_alert())
        await pager.until_hanging()
        asyncio.get_running_loop().call_later(0.05, pager.go_on.set)
    (situation,) = await rig.store.open_incidents(10)
    shown = situation.deliveries["pager"].shown
    assert shown is not None
    assert shown.firing


async def test_a_broken_destination_raises_one_alarm_elsewhere_and_catches_up_when_mended(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.behaviour = lambda _told, _plain: contract.Broken("HTTP 403: invalid routing key")
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        told = await channel.until(2)
        assert sorted(told) == [f"{alarms.BROKEN} open: fired", "ServiceDown open: fired"]
        assert pager.told == []
        pager.behaviour = lambda _told, _plain: None
        assert rig.running is not None
        rig.running.lanes["pager"].succeeded()  # ends the pause
        await rig.hear(now_alert("b"))
        assert (await pager.until(1))[0].startswith("ServiceDown open")
        assert f"{alarms.BROKEN} close: resolved" in await channel.until(4)
    assert len(rig.event(events.LaneSuspended)) == 1


async def test_an_alarm_about_a_destination_survives_a_restart_and_is_resolved_after_it(rig: Rig) -> None:
    pager, channel = rig.places["pager"], rig.places["channel"]
    pager.behaviour = lambda _told, _plain: contract.Broken("HTTP 403")
    await rig.hear(now_alert())
    async with rig.run():
        await channel.until(2)
    pager.behaviour = lambda _told, _plain: None
    async with rig.run():
        assert f"{alarms.BROKEN} close: resolved" in await channel.until(3)


async def test_a_refused_message_is_tried_in_plain_form(rig: Rig) -> None:
    rig.places["channel"].behaviour = lambda _told, plain: (
        None if plain else contract.Refused("invalid_blocks")
    )
    async with rig.run():
        await rig.hear(now_alert())
        await rig.places["channel"].until(1)
    assert rig.event(events.Dead) == []


async def test_a_message_refused_in_plain_form_too_is_a_dead_letter_announced_elsewhere(rig: Rig) -> None:
    channel, pager = rig.places["channel"], rig.places["pager"]
    channel.behaviour = lambda _told, _plain: contract.Refused("msg_too_long")
    async with rig.run():
        await rig.hear(now_alert())
        assert f"{alarms.REFUSED} open: fired" in await pager.until(2)
        await rig.quiet()
        assert channel.attempts == 2
    assert len(rig.event(events.Dead)) == 1


async def test_the_alarm_about_a_dead_letter_ends_with_its_incident(rig: Rig) -> None:
    channel, pager = rig.places["channel"], rig.places["pager"]
    channel.behaviour = lambda _told, _plain: contract.Refused("msg_too_long")
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await pager.until(2)
        await rig.hear(ended(alert))
        assert f"{alarms.REFUSED} close: resolved" in await pager.until(4)


async def test_a_defect_in_a_destination_costs_a_message_and_not_the_service(rig: Rig) -> None:
    def defect(told: message.Message, _plain: bool) -> contract.Failure | None:
        if told.incident.group_labels["alertname"] == "Odd":
            raise ZeroDivisionError
        return None

    rig.places["channel"].behaviour = defect
    async with rig.run():
        await rig.hear(now_alert(), group={"alertname": "Odd"})
        await rig.hear(now_alert("b"))
        assert "ServiceDown open: fired" in await rig.places["channel"].until(1)
        await rig.quiet()
    assert len(rig.event(events.Dead)) == 1


@pytest.mark.parametrize("where", ["compose", "render"])
async def test_a_defect_in_what_is_told_still_pages(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def defect(*_args: object, **_kwargs: object) -> str:
        raise ZeroDivisionError

    def chokes(told: message.Message, _plain: bool) -> contract.Failure | None:
        if told.shown_alerts and where == "render":
            raise ZeroDivisionError
        return None

    rig.places["pager"].behaviour = chokes
    if where == "compose":
        monkeypatch.setattr(message, "_title", defect)
    async with rig.run():
        await rig.hear(now_alert())
        assert await rig.places["pager"].until(1) == ["ServiceDown open: fired"]
        await rig.quiet()
    (told,) = rig.places["pager"].told
    assert told.title == f"[P1] Incident {told.incident.id}"
    assert rig.event(events.Dead) == []


async def test_a_defect_in_a_decision_costs_one_incident_and_not_the_service(rig: Rig) -> None:
    def route(labels: model.Labels) -> list[str]:
        if labels["pod"] == "odd":
            raise ZeroDivisionError
        return ["pager"]

    rig.route = route
    async with rig.run():
        await rig.hear(now_alert("odd"), group={"alertname": "Odd"})
        await rig.hear(now_alert("even"))
        assert await rig.places["pager"].until(1) == ["ServiceDown open: fired"]


async def test_the_end_of_news_is_told_to_nobody_and_rests(rig: Rig) -> None:
    news = structs.replace(
        now_alert(priority="P3"), labels={**now_alert().labels, "priority": "P3", "news": "true"}
    )
    async with rig.run():
        await rig.hear(news)
        await rig.places["channel"].until(1)
        await rig.hear(ended(news))
        await rig.quiet()
    assert [place.steps() for place in rig.places.values()] == [["ServiceDown open: fired"]] * 2
    assert await rig.store.shown_open(["channel", "pager"]) in ({}, {"channel": [], "pager": []})


async def test_a_mended_route_moves_what_is_open(rig: Rig) -> None:
    rig.route = lambda _: ("channel",)
    async with rig.run():
        await rig.hear(now_alert())
        await rig.places["channel"].until(1)
        await rig.quiet()
    rig.route = lambda _: ("pager",)
    async with rig.run():
        assert await rig.places["pager"].until(1) == ["ServiceDown open: fired"]
        assert (await rig.places["channel"].until(2))[1] == "ServiceDown close: rerouted"


async def test_an_alert_in_a_new_group_is_told_there_before_its_old_incident_is_closed(rig: Rig) -> None:
    alert = now_alert()
    order: list[str] = []

    def note(told: message.Message, _plain: bool) -> contract.Failure | None:
        order.append(f"{told.incident.group_labels.get('service', 'old')} {told.step.act}")
        return None

    rig.places["pager"].behaviour = note
    async with rig.run():
        await rig.hear(alert)
        await rig.places["pager"].until(1)
        await rig.hear(alert, group={**build.GROUP, "service": "vpn-core"})
        await rig.places["pager"].until(3)
    assert order == ["old open", "vpn-core open", "old close"]


async def test_a_held_firing_is_told_when_its_hold_has_ended(rig: Rig) -> None:
    alert = now_alert()
    async with rig.run():
        await rig.hear(alert)
        await rig.places["pager"].until(1)
        await rig.hear(ended(alert))
        await rig.places["pager"].until(2)
    long_ago = datetime.now(UTC) - timedelta(seconds=60)
    await rig.store.record(build.message(alert), long_ago)
    assert not await rig.store.open_incidents(10)
    async with rig.run():
        assert (await rig.places["pager"].until(3))[2] == "ServiceDown open: fired"


async def test_a_p2_that_flaps_is_told_three_times_and_then_stays_shown_until_it_is_quiet(rig: Rig) -> None:
    channel = rig.places["channel"]
    async with rig.run():
        for _ in range(5):
            alert = now_alert(priority="P2")
            await rig.hear(alert)
            await rig.quiet()
            await rig.hear(ended(alert))
            await rig.quiet()
    beginning = ["ServiceDown open: fired", "ServiceDown close: resolved"] * 2
    assert channel.steps() == [*beginning, "ServiceDown open: fired"]
    quiet_at = await rig.store.next_due(datetime.now(UTC))
    assert quiet_at is not None
    assert timedelta(minutes=9) < quiet_at - datetime.now(UTC) < timedelta(minutes=10)
