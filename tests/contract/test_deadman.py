"""The dead-man's switch over a real store: raised, ended, across restarts and changes of the configuration."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from routing import ledger, model, sources
from tests.unit.build import at
from webhook import deadman
from webhook.store import contract, sqlite

LISTED = sources.Policy(expected=(sources.Expected(cluster="prod"),))


class Watch:
    """The switch over a store, with a clock that is set by hand."""

    def __init__(self, store: contract.Store, policy: sources.Policy) -> None:
        self.store = store
        self.policy = policy
        self.now = at(0)
        self.woken: list[str] = []
        self.judged: Mapping[str, str] = {}
        self.start()

    def start(self) -> None:
        """A process of its own begins."""
        self.deadman = deadman.Deadman(
            store=self.store,
            policy=lambda: self.policy,
            wake=self.woken.extend,
            judged=self._judged,
            clock=lambda: self.now,
        )

    def _judged(self, judged: Sequence[sources.Source]) -> None:
        self.judged = {source.name: source.state.value for source in judged}

    async def hear(self, *keys: str) -> None:
        await self.store.accept(None, sources=keys, body=b"watchdog", now=self.now)

    async def look(self, seconds: float) -> set[str]:
        """Look at that time; returns the sources about which an alarm is open."""
        self.now = at(seconds)
        await self.deadman.look()
        return await self.alarms()

    async def alarms(self) -> set[str]:
        found = await self.store.open_incidents(100)
        assert {one.incident.group_labels["alertname"] for one in found} <= {"WatchdogMissing"}
        return {one.incident.group_labels[sources.NAME] for one in found}


@pytest.fixture
async def watch(tmp_path: Path) -> AsyncIterator[Watch]:
    store = await sqlite.open_store(tmp_path)
    yield Watch(store, sources.Policy())
    await store.close()


async def test_a_source_that_falls_silent_raises_one_alarm_that_ends_when_it_is_heard_again(
    watch: Watch,
) -> None:
    await watch.hear("prod")
    assert await watch.look(179) == set()
    assert watch.judged == {"prod": "alive"}
    assert await watch.look(180) == {"prod"}
    assert watch.judged == {"prod": "missing"}
    incident_id = model.incident_id(sources.group_labels("prod"))
    assert watch.woken == [incident_id]
    assert await watch.look(3600) == {"prod"}
    assert watch.woken == [incident_id], "it is raised once"

    await watch.hear("prod")
    assert await watch.look(3601) == set()
    assert watch.woken == [incident_id, incident_id]
    assert await watch.look(4000) == {"prod"}, "silent again"
    assert (await watch.store.situations([incident_id]))[incident_id].incident.episode == 2


async def test_a_fresh_installation_whose_watchdog_never_arrives_pages(watch: Watch) -> None:
    assert await watch.look(179) == set()
    assert await watch.look(180) == {"any"}
    await watch.hear("prod")
    assert await watch.look(181) == set()


async def test_a_watchdog_itself_is_never_an_incident(watch: Watch) -> None:
    await watch.hear("prod")
    await watch.look(1)
    assert await watch.store.open_incidents(10) == []


async def test_a_restart_neither_ends_nor_repeats_an_alarm_and_waits_before_it_raises_another(
    watch: Watch,
) -> None:
    await watch.hear("prod", "staging")
    watch.now = at(170)
    await watch.hear("staging")
    assert await watch.look(180) == {"prod"}
    watch.now = at(3600)
    watch.start()
    assert await watch.look(3601) == {"prod"}, "staging may have spoken while nobody listened"
    assert watch.judged == {"prod": "not yet heard", "staging": "not yet heard"}
    assert await watch.look(3779) == {"prod"}
    assert await watch.look(3780) == {"prod", "staging"}
    assert len(watch.woken) == 2
    await watch.hear("prod")
    assert await watch.look(3790) == {"staging"}


async def test_an_alarm_ends_when_its_source_is_expected_no_longer(watch: Watch) -> None:
    await watch.hear("old", "prod")
    assert await watch.look(180) == {"old", "prod"}
    watch.policy = LISTED
    assert await watch.look(181) == {"prod"}


async def test_an_alarm_ends_when_its_source_was_taken_out_while_the_service_was_down(watch: Watch) -> None:
    watch.policy = LISTED
    assert await watch.look(180) == {"prod"}
    watch.policy = sources.Policy(expected=())
    watch.start()
    assert await watch.look(200) == set()


async def test_what_could_not_be_recorded_was_not_silence(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watch.hear("prod")

    async def cannot() -> Mapping[str, datetime]:
        raise ledger.Unavailable("no room on the disk")

    with monkeypatch.context() as broken:
        broken.setattr(watch.store, "sources", cannot)
        assert await watch.look(600) == set()
    assert await watch.look(601) == set()
    assert watch.judged == {"prod": "not yet heard"}
    assert await watch.look(780) == {"prod"}


async def test_other_alarms_of_our_own_are_left_alone(watch: Watch) -> None:
    other = model.Notification(
        group_labels={"alertname": "DestinationBroken"},
        alerts=sources.firing(
            sources.Source(name="x", state=sources.State.MISSING, heard_at=None), at(0)
        ).alerts,
        receiver="phantommesh-alerts (itself)",
    )
    await watch.store.record(other, at(0))
    watch.policy = sources.Policy(expected=())
    watch.now = at(0) + timedelta(hours=1)
    await watch.deadman.look()
    assert len(await watch.store.open_incidents(10)) == 1
