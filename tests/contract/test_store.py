"""What every store must do. One suite for all of them; a new kind of store joins `STORES`."""

import asyncio
import sqlite3
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from routing import desire, model, truth
from tests.unit.build import GROUP, alert, at, message
from webhook.store import contract, opening, sqlite

OTHER_GROUP = {**GROUP, "cluster": "eu-2"}
ID = model.incident_id(GROUP)
OTHER_ID = model.incident_id(OTHER_GROUP)
KEEP_ALL = contract.Retention()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of store under test: how to open one at a place, and how to read its kept messages from outside."""

    open: Callable[[Path], Coroutine[Any, Any, contract.Store]]
    kept_bodies: Callable[[Path], list[bytes]]


def _sqlite_bodies(place: Path) -> list[bytes]:
    with closing(sqlite3.connect(place / opening.DATABASE)) as connection:
        rows = connection.execute(
            "SELECT compressed, start, start + bytes FROM notification LEFT JOIN body ON body.id = body_id "
            "ORDER BY notification.id"
        )
        return [zlib.decompress(compressed)[start:end] for compressed, start, end in rows]


STORES = {"sqlite": Kind(open=sqlite.open_store, kept_bodies=_sqlite_bodies)}


@pytest.fixture(params=list(STORES.values()), ids=list(STORES))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
async def store(kind: Kind, tmp_path: Path) -> AsyncIterator[contract.Store]:
    opened = await kind.open(tmp_path)
    yield opened
    await opened.close()


def shows(
    *alerts: model.Alert, episode: int = 1, priority: model.Priority = model.Priority.P1
) -> model.Shown:
    return model.Shown(
        episode=episode, firing=frozenset(each.fingerprint for each in alerts), priority=priority
    )


async def look(store: contract.Store, incident_id: str = ID) -> model.Situation:
    return (await store.situations([incident_id]))[incident_id]


async def accept(
    store: contract.Store, notification: model.Notification | None, seconds: float = 0, body: bytes = b"{}"
) -> list[str]:
    return list(await store.accept(notification, sources=(), body=body, now=at(seconds)))


# Recording


async def test_a_firing_opens_an_incident(store: contract.Store) -> None:
    assert await accept(store, message(alert()), 5) == [ID]

    incident = (await look(store)).incident
    assert (incident.open, incident.episode, incident.priority) == (True, 1, model.Priority.P1)
    assert incident.opened_at == at(5)


async def test_all_that_was_heard_of_an_alert_comes_back(store: contract.Store) -> None:
    heard = structs.replace(
        alert(starts=-0.123456, note="ünï \u0000 '\""), generator_url="http://prometheus.example/graph"
    )
    await accept(store, message(heard))

    kept = (await look(store)).incident.alerts[heard.fingerprint]
    assert kept == structs.replace(heard, episode=1)


async def test_what_is_not_certain_of_an_alert_comes_back(store: contract.Store) -> None:
    silence = model.Mute(
        kind=model.MuteKind.SILENCED, by="ann", comment="new disk <!channel>", until=at(3600.000001)
    )
    inhibited = model.Mute(kind=model.MuteKind.INHIBITED)
    heard = [
        structs.replace(alert("a"), recovers_at=at(5.5), muted=silence),
        structs.replace(alert("b"), muted=inhibited),
    ]
    await accept(store, message(*heard))

    kept = (await look(store)).incident.alerts
    assert list(kept.values()) == [structs.replace(each, episode=1) for each in heard]


async def test_when_episodes_began_is_remembered_for_an_hour(store: contract.Store) -> None:
    for start in (0, 100, 3650):
        await accept(store, message(alert(starts=start)), start)
        await accept(store, message(alert(ends=start + 10)), start + 10)
    assert (await look(store)).incident.openings == (at(100), at(3650))


async def test_what_was_heard_of_the_group_comes_back(store: contract.Store) -> None:
    await accept(store, message(alert(), truncated=3))

    incident = (await look(store)).incident
    assert incident.group_labels == GROUP
    assert (incident.receiver, incident.truncated_alerts) == ("phantommesh-alerts", 3)
    assert incident.external_url == "http://alertmanager.example"


async def test_a_repeat_changes_nothing(store: contract.Store) -> None:
    await accept(store, message(alert()))
    before = await look(store)

    assert await accept(store, message(alert()), 60) == []
    assert await look(store) == before


async def test_new_wording_is_kept_without_a_change_of_state(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, None)
    reworded = structs.replace(alert(), annotations={"summary": "still down"})

    assert await accept(store, message(reworded), 60) == []

    incident = (await look(store)).incident
    assert incident.alerts[reworded.fingerprint].annotations == {"summary": "still down"}
    assert incident.version == 1
    assert await store.due(None, at(100)) == []


async def test_the_last_resolve_closes_the_incident(store: contract.Store) -> None:
    await accept(store, message(alert("a"), alert("b")))

    assert await accept(store, message(alert("a", ends=10)), 11) == [ID]
    assert (await look(store)).incident.open
    assert await accept(store, message(alert("b", ends=10)), 12) == [ID]

    incident = (await look(store)).incident
    assert (incident.open, incident.resolved_at) == (False, at(12))


async def test_the_version_grows_with_each_change_of_state(store: contract.Store) -> None:
    versions = []
    for heard in (alert("a"), alert("b"), alert("a", ends=10), alert("a", ends=10)):
        await accept(store, message(heard), 20)
        versions.append((await look(store)).incident.version)
    assert versions == [1, 2, 3, 3]


async def test_each_run_is_an_episode_of_its_own(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert(ends=10)), 11)
    await accept(store, message(alert(starts=20)), 21)

    episodes = await store.episodes(ID)
    assert [(each.number, each.opened_at, each.resolved_at) for each in episodes] == [
        (2, at(21), None),
        (1, at(0), at(11)),
    ]


async def test_episodes_that_pass_within_one_commit_are_all_kept(store: contract.Store) -> None:
    await asyncio.gather(
        accept(store, message(alert()), 0),
        accept(store, message(alert(ends=10)), 11),
        accept(store, message(alert(starts=20, priority="P2")), 21),
    )
    episodes = await store.episodes(ID)
    assert [(each.number, each.resolved_at, each.priority) for each in episodes] == [
        (2, None, model.Priority.P2),
        (1, at(11), model.Priority.P1),
    ]


async def test_messages_of_one_commit_build_on_each_other(store: contract.Store) -> None:
    pods = [alert(f"pod-{number}") for number in range(50)]
    await asyncio.gather(*(accept(store, message(pod)) for pod in pods))

    incident = (await look(store)).incident
    assert {each.fingerprint for each in incident.firing} == {pod.fingerprint for pod in pods}
    assert incident.version == 50


async def test_our_own_messages_are_recorded_and_not_kept_for_audit(store: contract.Store) -> None:
    assert await store.record(message(alert()), at(0)) == [ID]
    assert (await look(store)).incident.open
    assert (await store.counts()).notifications == 0


async def test_alerts_of_long_ago_are_forgotten_by_the_next_episode(store: contract.Store) -> None:
    old, new = alert("old"), alert("new", starts=9000)
    await accept(store, message(old))
    await accept(store, message(alert("old", ends=10)), 11)
    await accept(store, message(new), 9001)

    assert set((await look(store)).incident.alerts) == {new.fingerprint}


async def test_unknown_incidents_are_left_out(store: contract.Store) -> None:
    await accept(store, message(alert()))
    assert set(await store.situations([OTHER_ID, ID])) == {ID}


# Held firings


async def stale_firing(store: contract.Store) -> model.Alert:
    """An alert that resolved and is then heard to fire since before that: held until second 55."""
    await accept(store, message(alert()))
    await accept(store, message(alert(ends=20)), 21)
    await accept(store, message(alert(starts=10)), 30)
    return alert()


async def test_a_possibly_stale_firing_is_held(store: contract.Store) -> None:
    fingerprint = (await stale_firing(store)).fingerprint

    incident = (await look(store)).incident
    assert not incident.open
    assert incident.alerts[fingerprint].held_until == at(55)


async def test_a_held_firing_counts_when_its_hold_has_ended(store: contract.Store) -> None:
    await stale_firing(store)

    assert await store.release_held(ID, at(54)) == []
    assert await store.release_held(ID, at(55)) == [ID]

    incident = (await look(store)).incident
    assert (incident.open, incident.episode) == (True, 2)
    assert await store.release_held(OTHER_ID, at(55)) == []


async def test_a_held_firing_leaves_another_incident_only_when_it_counts(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert(ends=20)), 21)
    await accept(store, message(alert(starts=25), group=OTHER_GROUP), 26)
    await accept(store, message(alert(starts=10)), 30)
    assert [situation.incident.id for situation in await store.open_incidents(10)] == [OTHER_ID]

    assert set(await store.release_held(ID, at(55))) == {ID, OTHER_ID}
    assert [situation.incident.id for situation in await store.open_incidents(10)] == [ID]


# Moves


async def test_an_alert_that_turns_up_elsewhere_moves(store: contract.Store) -> None:
    await accept(store, message(alert()))

    assert set(await accept(store, message(alert(), group=OTHER_GROUP), 10)) == {ID, OTHER_ID}

    left = (await look(store)).incident
    assert not left.open
    moved = left.alerts[alert().fingerprint]
    assert (moved.status, moved.moved_to) == (model.AlertStatus.MOVED, OTHER_ID)
    assert (await look(store, OTHER_ID)).incident.open


async def test_both_incidents_of_a_move_are_due(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, None)
    await accept(store, message(alert(), group=OTHER_GROUP), 10)
    assert set(await store.due(None, at(10))) == {ID, OTHER_ID}


async def test_a_move_within_one_commit_is_seen(store: contract.Store) -> None:
    await asyncio.gather(
        accept(store, message(alert()), 0), accept(store, message(alert(), group=OTHER_GROUP), 1)
    )
    assert [situation.incident.id for situation in await store.open_incidents(10)] == [OTHER_ID]


async def test_an_alert_that_resolved_elsewhere_in_the_same_commit_does_not_move(
    store: contract.Store,
) -> None:
    await accept(store, message(alert(), alert("b")))
    await asyncio.gather(
        accept(store, message(alert(ends=5)), 6), accept(store, message(alert(), group=OTHER_GROUP), 7)
    )
    kept = (await look(store)).incident.alerts[alert().fingerprint]
    assert kept.status is model.AlertStatus.RESOLVED


async def test_only_the_alert_that_moved_leaves(store: contract.Store) -> None:
    stays = alert("b")
    await accept(store, message(alert("a"), stays))
    await accept(store, message(alert("a"), group=OTHER_GROUP), 10)

    incident = (await look(store)).incident
    assert [each.fingerprint for each in incident.firing] == [stays.fingerprint]


async def test_a_repeat_from_the_old_group_does_not_move_it_back(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert(), group=OTHER_GROUP), 10)
    assert await accept(store, message(alert()), 20) == []
    assert await accept(store, message(alert(), group=OTHER_GROUP), 21) == []


async def test_a_resolve_told_by_the_old_group_resolves_where_the_alert_is_now(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert(), group=OTHER_GROUP), 10)

    assert await accept(store, message(alert(ends=30)), 31) == [OTHER_ID]
    assert not (await look(store, OTHER_ID)).incident.open


async def test_a_resolve_follows_an_alert_that_moved_twice(store: contract.Store) -> None:
    third = {**GROUP, "cluster": "eu-3"}
    await accept(store, message(alert()))
    await accept(store, message(alert(), group=OTHER_GROUP), 10)
    await accept(store, message(alert(), group=third), 20)

    assert await accept(store, message(alert(ends=30)), 31) == [model.incident_id(third)]
    assert await store.open_incidents(10) == []


# What Alertmanager's lists say


async def standing(store: contract.Store) -> list[truth.Standing]:
    """Everything that stands, read incident by incident."""
    found: list[truth.Standing] = []
    after = ""
    while page := await store.standing(after, 1):
        found += page
        after = page[0].incident_id
    return found


def about(one: truth.Standing, kind: truth.Kind, mute: model.Mute | None = None) -> truth.Findings:
    finding = truth.Finding(kind=kind, starts_at=one.starts_at, end=one.end, mute=mute)
    return {one.incident_id: {one.fingerprint: finding}}


SILENCE = model.Mute(kind=model.MuteKind.SILENCED, by="ann", until=at(3600))


async def test_what_fires_or_is_held_stands(store: contract.Store) -> None:
    recovering = structs.replace(
        message(alert("c", ends=20, cluster="eu-1", prometheus="a")), confirmable=True
    )
    await accept(store, message(alert("a"), alert("b"), alert("c", cluster="eu-1", prometheus="a")))
    await accept(store, message(alert("b", ends=10), alert("d", ends=10)), 11)
    await accept(store, message(alert("b", starts=5), alert("d", starts=5)), 12)
    await accept(store, recovering, 21)
    own = structs.replace(message(alert("own"), group=OTHER_GROUP), receiver=desire.OWN_RECEIVER)
    await store.record(own, at(22))

    found = {
        one.fingerprint: (one.incident_id, one.receiver, one.claims, one.end, one.held)
        for one in await standing(store)
    }
    assert found == {
        alert("a").fingerprint: (ID, "phantommesh-alerts", "", None, False),
        alert("b").fingerprint: (ID, "phantommesh-alerts", "", at(10), True),
        alert("d").fingerprint: (ID, "phantommesh-alerts", "", at(10), True),
        recovering.alerts[0].fingerprint: (ID, "phantommesh-alerts", "eu-1/a", at(20), False),
    }


async def test_one_alert_can_stand_in_two_incidents(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert(ends=20)), 21)
    await accept(store, message(alert(starts=25), group=OTHER_GROUP), 26)
    await accept(store, message(alert(starts=10)), 30)
    assert {one.incident_id for one in await standing(store)} == {ID, OTHER_ID}


async def test_a_mute_is_recorded_and_wakes_the_incident(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, None)
    (one,) = await standing(store)

    assert await store.reconcile(about(one, truth.Kind.FIRES, SILENCE), [], [], at(60)) == [ID]
    assert await store.due(None, at(60)) == [ID]
    assert (await look(store)).incident.alerts[one.fingerprint].muted == SILENCE
    (now,) = await standing(store)
    assert now.muted == SILENCE


async def test_a_finding_that_changes_nothing_wakes_nobody(store: contract.Store) -> None:
    await accept(store, message(alert()))
    (one,) = await standing(store)
    assert await store.reconcile(about(one, truth.Kind.FIRES), [], [], at(60)) == []


async def test_what_is_gone_is_closed_as_reconciled_and_remembered_so(store: contract.Store) -> None:
    await accept(store, message(alert()))
    (one,) = await standing(store)

    assert await store.reconcile(about(one, truth.Kind.GONE), [], [], at(60)) == [ID]
    incident = (await look(store)).incident
    assert (incident.open, incident.reconciled, incident.resolved_at) == (False, True, at(60))
    assert await standing(store) == []


async def test_a_finding_about_what_was_heard_of_since_is_left_out(store: contract.Store) -> None:
    await accept(store, message(alert()))
    (one,) = await standing(store)
    await asyncio.gather(
        store.reconcile(about(one, truth.Kind.GONE), [], [], at(60)),
        accept(store, message(alert(starts=55)), 60),
    )
    assert (await look(store)).incident.open


def stranger(one: model.Alert, group: Mapping[str, str] = OTHER_GROUP) -> truth.Stranger:
    listed = truth.Listed(
        incident_id=model.incident_id(group),
        receiver="hook",
        name="ServiceDown",
        updated_at=at(59),
        mute=None,
    )
    return truth.Stranger(group_labels=group, alert=one, listed=listed)


async def test_strangers_open_an_incident(store: contract.Store) -> None:
    strangers = [stranger(alert("a")), stranger(alert("b"))]
    assert await store.reconcile({}, strangers, [], at(60)) == [OTHER_ID]
    incident = (await look(store, OTHER_ID)).incident
    assert (incident.group_labels, incident.receiver, len(incident.firing)) == (OTHER_GROUP, "hook", 2)


async def test_a_stranger_leaves_the_group_where_it_was(store: contract.Store) -> None:
    await accept(store, message(alert()))
    assert set(await store.reconcile({}, [stranger(alert())], [], at(60))) == {ID, OTHER_ID}
    left = (await look(store)).incident
    assert (left.open, left.alerts[alert().fingerprint].moved_to) == (False, OTHER_ID)


async def test_what_was_told_in_part_is_known_until_it_is_told_whole(store: contract.Store) -> None:
    await accept(store, message(alert(), truncated=2))
    await accept(store, message(alert(ends=10), truncated=2), 11)
    assert await store.partial() == [ID]
    assert await store.reconcile({}, [], [ID, OTHER_ID], at(60)) == [ID]
    assert await store.partial() == []
    assert not (await look(store)).incident.open


async def test_receivers_are_those_of_what_is_open_or_was_lately(store: contract.Store) -> None:
    for number, receiver in enumerate(["open", "lately", "long ago"]):
        group = {"number": str(number)}
        await accept(store, structs.replace(message(alert(str(number)), group=group), receiver=receiver))
    await accept(
        store, structs.replace(message(alert("2", ends=10), group={"number": "2"}), receiver="long ago"), 10
    )
    await accept(
        store, structs.replace(message(alert("1", ends=50), group={"number": "1"}), receiver="lately"), 50
    )
    assert set(await store.receivers(at(20))) == {"open", "lately"}


# Due for a look


async def test_what_changed_is_due_until_it_rests(store: contract.Store) -> None:
    await accept(store, message(alert()), 5)
    assert await store.due(None, at(4)) == []
    assert await store.due(None, at(5)) == [ID]

    assert await store.rest(ID, 1, None)
    assert await store.due(None, at(99)) == []
    assert await store.next_due(at(0)) is None


async def test_only_what_fell_due_since_then_is_given(store: contract.Store) -> None:
    await accept(store, message(alert()), 5)
    await accept(store, message(alert("b"), group=OTHER_GROUP), 10)
    assert await store.due(at(5), at(10)) == [OTHER_ID]
    assert await store.due(at(4), at(9)) == [ID]


async def test_due_again_when_it_said_so(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, at(1800))
    assert await store.due(None, at(1799)) == []
    assert await store.next_due(at(0)) == at(1800)
    assert await store.next_due(at(1800)) is None
    assert await store.due(at(0), at(1800)) == [ID]


async def test_a_change_is_due_at_once_whatever_was_planned(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, at(1800))
    await accept(store, message(alert("b")), 20)
    assert await store.due(at(0), at(20)) == [ID]


async def test_nothing_rests_on_another_version(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await accept(store, message(alert("b")), 1)
    assert not await store.rest(ID, 1, None)
    assert not await store.rest(ID, 3, None)
    assert await store.due(None, at(1)) == [ID]


async def test_a_change_and_a_rest_in_one_commit_leave_it_due(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await asyncio.gather(store.rest(ID, 1, None), accept(store, message(alert("b")), 1))
    assert await store.due(None, at(1)) == [ID]


async def test_the_most_urgent_and_then_the_longest_due_come_first(store: contract.Store) -> None:
    wanted = []
    for second, (priority, place) in enumerate([("P3", 3), ("P1", 1), ("P2", 2), ("P1", 1)]):
        group = {"alertname": f"Alert{second}"}
        await accept(store, message(alert(priority=priority, n=str(second)), group=group), second)
        wanted.append((place, second, model.incident_id(group)))
    assert await store.due(None, at(10)) == [incident_id for *_, incident_id in sorted(wanted)]


async def test_what_is_open_can_be_woken(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, None)
    assert await store.wake_open(at(50)) == 1
    assert await store.due(at(49), at(50)) == [ID]


async def test_what_is_shown_as_open_somewhere_can_be_woken(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.expect(ID, ["pager"], 1, at(0))
    await store.settle(ID, "pager", shows(alert()), at(1))
    await accept(store, message(alert(ends=10)), 11)
    await store.rest(ID, 2, None)
    assert await store.wake_open(at(50)) == 1

    await store.settle(ID, "pager", shows(), at(51))
    assert await store.wake_open(at(60)) == 0


# Deliveries


@pytest.fixture
async def opened(store: contract.Store) -> contract.Store:
    """A store with one open incident that is expected at one destination."""
    await accept(store, message(alert()))
    await store.expect(ID, ["pager"], 1, at(0))
    return store


async def delivery(store: contract.Store, destination: str = "pager") -> model.Delivery:
    return (await look(store)).deliveries[destination]


async def test_what_is_expected_is_remembered_once(opened: contract.Store) -> None:
    await opened.expect(ID, ["pager", "channel"], 2, at(0))
    expected = {name: each.since_episode for name, each in (await look(opened)).deliveries.items()}
    assert expected == {"pager": 1, "channel": 2}


async def test_an_intent_is_on_record_before_the_send(opened: contract.Store) -> None:
    await opened.intend(ID, "pager", shows(alert()), at(1))
    assert (await delivery(opened)).intent == shows(alert())
    assert (await delivery(opened)).shown is None


async def test_an_intent_makes_its_destination_expected(opened: contract.Store) -> None:
    await opened.intend(ID, "channel", shows(alert(), episode=3), at(1))
    assert (await delivery(opened, "channel")).since_episode == 3


async def test_a_receipt_settles_all(opened: contract.Store) -> None:
    await opened.bury(ID, "pager", shows(), "too long", at(1))
    await opened.intend(ID, "pager", shows(alert()), at(2))
    await opened.fail(ID, "pager", "timeout", outcome_known=False)
    await opened.settle(ID, "pager", shows(alert()), at(3))

    assert await delivery(opened) == model.Delivery(
        incident_id=ID, destination="pager", since_episode=1, shown=shows(alert()), shown_at=at(3)
    )


@pytest.mark.parametrize(("outcome_known", "left"), [(True, None), (False, shows(alert()))])
async def test_a_failure_with_an_unknown_outcome_keeps_the_intent(
    opened: contract.Store, outcome_known: bool, left: model.Shown | None
) -> None:
    await opened.intend(ID, "pager", shows(alert()), at(1))
    await opened.fail(ID, "pager", "503", outcome_known=outcome_known)
    await opened.fail(ID, "pager", "504", outcome_known=outcome_known)

    failed = await delivery(opened)
    assert (failed.intent, failed.attempts, failed.last_error) == (left, 2, "504")


async def test_a_dead_letter_is_kept(opened: contract.Store) -> None:
    await opened.intend(ID, "pager", shows(alert()), at(1))
    await opened.bury(ID, "pager", shows(alert()), "invalid_blocks", at(2))

    dead = await delivery(opened)
    assert (dead.dead, dead.intent, dead.last_error) == (shows(alert()), None, "invalid_blocks")


async def test_a_dead_letter_that_may_be_shown_keeps_the_intent(opened: contract.Store) -> None:
    await opened.intend(ID, "pager", shows(alert()), at(1))
    await opened.fail(ID, "pager", "timeout", outcome_known=False)
    await opened.bury(ID, "pager", shows(alert()), "invalid", at(2), may_be_shown=True)

    dead = await delivery(opened)
    assert (dead.dead, dead.intent) == (shows(alert()), shows(alert()))


async def test_since_when_a_destination_owes_is_kept_until_the_receipt(opened: contract.Store) -> None:
    assert (await delivery(opened)).owed_since == at(0)
    await opened.expect(ID, ["pager"], 1, at(5))
    assert (await delivery(opened)).owed_since == at(0)
    await opened.fail(ID, "pager", "HTTP 503", outcome_known=True)
    assert (await delivery(opened)).owed_since == at(0)
    await opened.settle(ID, "pager", shows(alert()), at(6))
    assert (await delivery(opened)).owed_since is None
    await opened.owe(ID, {"pager": at(7)})
    assert (await delivery(opened)).owed_since == at(7)
    await opened.owe(ID, {"pager": None})
    assert (await delivery(opened)).owed_since is None


async def test_a_dead_letter_is_found_counted_and_let_go_once(opened: contract.Store) -> None:
    assert list(await opened.dead_letters(10)) == []
    assert not await opened.revive(ID, "pager", at(3))
    await opened.bury(ID, "pager", shows(alert()), "invalid_blocks", at(2))
    await opened.rest(ID, 1, None)
    assert [situation.incident.id for situation in await opened.dead_letters(10)] == [ID]
    assert (await opened.counts()).dead_letters == 1

    assert await opened.revive(ID, "pager", at(3))
    assert (await delivery(opened)).dead is None
    assert (await delivery(opened)).dead_at == at(2)  # what is told next was a dead letter
    assert await opened.due(None, at(3)) == [ID]
    assert list(await opened.dead_letters(10)) == []
    assert (await opened.counts()).dead_letters == 0
    assert not await opened.revive(ID, "pager", at(4))


async def test_a_dead_letter_is_dropped_only_while_it_is_still_that_one(opened: contract.Store) -> None:
    assert not await opened.drop_letter(ID, "pager", shows(alert()), at(1))
    await opened.bury(ID, "pager", shows(alert()), "invalid_blocks", at(2))
    assert not await opened.drop_letter(ID, "pager", shows(alert("b")), at(3))
    assert await opened.drop_letter(ID, "pager", shows(alert()), at(3))
    assert (await delivery(opened)).dead is None
    assert (await delivery(opened)).shown == shows(alert())
    assert not await opened.drop_letter(ID, "pager", shows(alert()), at(4))


async def test_when_it_was_refused_is_kept_until_a_receipt(opened: contract.Store) -> None:
    await opened.bury(ID, "pager", shows(alert()), "invalid_blocks", at(2))
    assert (await delivery(opened)).dead_at == at(2)

    await opened.settle(ID, "pager", shows(alert()), at(3))
    assert (await delivery(opened)).dead_at is None


async def test_a_reference_stays_until_it_is_replaced(opened: contract.Store) -> None:
    assert (await delivery(opened)).reference == ""
    for reference, kept in (("key-1", "key-1"), (None, "key-1"), ("key-2", "key-2"), ("", "")):
        await opened.settle(ID, "pager", shows(alert()), at(1), reference=reference)
        assert (await delivery(opened)).reference == kept


async def test_a_reference_is_on_record_before_the_send_and_stays_while_it_may_be_shown(
    opened: contract.Store,
) -> None:
    await opened.intend(ID, "pager", shows(alert()), at(1), reference="key-1")
    await opened.fail(ID, "pager", "timeout", outcome_known=False)
    await opened.intend(ID, "pager", shows(alert("b")), at(2), reference="key-2")
    await opened.bury(ID, "pager", shows(alert("b")), "invalid", at(2), may_be_shown=True)
    assert (await delivery(opened)).reference == "key-1"
    await opened.fail(ID, "pager", "503", outcome_known=True)
    assert (await delivery(opened)).reference == ""
    await opened.intend(ID, "pager", shows(alert()), at(3), reference="key-2")
    await opened.bury(ID, "pager", shows(alert()), "invalid", at(3))
    assert (await delivery(opened)).reference == ""


@pytest.mark.parametrize("reference", ["", "key-1"])
async def test_the_reference_of_what_is_shown_stays_whatever_is_tried(
    opened: contract.Store, reference: str
) -> None:
    await opened.settle(ID, "pager", shows(alert()), at(1), reference=reference)
    await opened.intend(ID, "pager", shows(alert("b")), at(2), reference="key-2")
    await opened.fail(ID, "pager", "503", outcome_known=True)
    await opened.bury(ID, "pager", shows(), "invalid", at(3))
    assert (await delivery(opened)).reference == reference


async def test_all_that_a_destination_shows_comes_back(opened: contract.Store) -> None:
    fingerprints = [frozenset([alert(name).fingerprint]) for name in "abc"]
    shown = replace(
        shows(*map(alert, "abc")),
        silenced=fingerprints[0],
        inhibited=fingerprints[1],
        unconfirmed=fingerprints[2],
    )
    await opened.settle(ID, "pager", shown, at(1))
    assert (await delivery(opened)).shown == shown


async def test_a_receipt_from_where_nothing_was_expected_is_an_error(opened: contract.Store) -> None:
    with pytest.raises(LookupError, match="channel"):
        await opened.settle(ID, "channel", shows(alert()), at(1))


async def test_what_a_destination_shows_or_may_show_as_open(opened: contract.Store) -> None:
    assert await opened.shown_open(["pager", "channel"]) == {}
    await opened.intend(ID, "channel", shows(alert()), at(1))
    assert await opened.shown_open(["pager", "channel"]) == {"channel": [ID]}
    await opened.settle(ID, "pager", shows(alert()), at(1))
    assert await opened.shown_open(["pager"]) == {"pager": [ID]}
    await opened.intend(ID, "pager", shows(), at(2))
    assert await opened.shown_open(["pager"]) == {"pager": [ID]}
    await opened.settle(ID, "pager", shows(), at(2))
    assert await opened.shown_open(["pager"]) == {}


async def test_a_destination_is_as_old_as_its_first_mention(store: contract.Store) -> None:
    assert await store.destinations_since(["a"], at(0)) == {"a": at(0)}
    assert await store.destinations_since(["a", "b"], at(9)) == {"a": at(0), "b": at(9)}


# What the page asks


async def test_open_incidents_are_listed_by_urgency_and_age(store: contract.Store) -> None:
    groups = [{"alertname": name} for name in ("minor", "late", "early")]
    for group, priority, second in zip(groups, ("P3", "P1", "P1"), (1, 3, 2), strict=True):
        await accept(store, message(alert(priority=priority, of=group["alertname"]), group=group), second)

    listed = [situation.incident.group_labels["alertname"] for situation in await store.open_incidents(10)]
    assert listed == ["early", "late", "minor"]
    assert len(await store.open_incidents(2)) == 2


async def test_closed_incidents_are_listed_with_the_last_closed_first(store: contract.Store) -> None:
    for second, group in ((10, GROUP), (20, OTHER_GROUP)):
        heard = alert(of=group["cluster"])
        await accept(store, message(heard, group=group), 1)
        ended = structs.replace(heard, status=model.AlertStatus.RESOLVED, ends_at=at(second))
        await accept(store, message(ended, group=group), second)
    await accept(store, message(alert("open"), group={"alertname": "Open"}), 30)

    recent = [situation.incident.id for situation in await store.recent_incidents(10)]
    assert recent == [OTHER_ID, ID]
    assert len(await store.recent_incidents(1)) == 1


async def test_a_resolve_of_something_never_heard_of_is_not_listed(store: contract.Store) -> None:
    await accept(store, message(alert(ends=10)), 11)
    assert await store.recent_incidents(10) == []


async def test_sources_are_known_by_their_last_watchdog(store: contract.Store) -> None:
    await store.accept(None, sources=["eu-1", "eu-2"], body=b"{}", now=at(0))
    await store.accept(message(alert()), sources=["eu-1"], body=b"{}", now=at(30))
    await store.accept(None, sources=["eu-1"], body=b"{}", now=at(20))
    assert await store.sources() == {"eu-1": at(30), "eu-2": at(0)}


async def test_what_some_were_told_already_is_recorded_as_shown_there(store: contract.Store) -> None:
    await store.record_told(message(alert("a")), {"pager": "key-1"}, at(0))
    (situation,) = await store.open_incidents(10)
    shown = situation.deliveries["pager"].shown
    assert shown == model.Shown(
        episode=1, firing=frozenset({alert("a").fingerprint}), priority=model.Priority.P1
    )
    assert await store.due(None, at(0)) == [ID], "others are to be told"
    await store.record_told(message(alert("b")), {"pager": "key-2"}, at(1))
    (situation,) = await store.open_incidents(10)
    assert len(situation.incident.firing) == 2
    assert situation.deliveries["pager"].shown == shown, "what is shown as open keeps what is noted of it"
    assert situation.deliveries["pager"].reference == "key-1"


async def test_what_is_told_already_and_does_not_count_as_firing_is_not_shown(store: contract.Store) -> None:
    await store.record(message(alert(ends=10)), at(10))
    await store.record_told(message(alert(starts=5)), {"pager": "key-3"}, at(11))
    assert await store.open_incidents(10) == []


async def test_open_incidents_are_found_by_whose_messages_they_come_from(store: contract.Store) -> None:
    own = structs.replace(message(alert("own"), group={"alertname": "Own"}), receiver="itself")
    over = structs.replace(message(alert("over", ends=1), group={"alertname": "Over"}), receiver="itself")
    for notification in (message(alert()), own, over):
        await store.record(notification, at(1))
    assert await store.open_from("itself") == [model.incident_id({"alertname": "Own"})]


async def test_counts(store: contract.Store) -> None:
    await accept(store, message(alert()), body=b"first")
    await accept(store, message(alert(priority="P2"), group=OTHER_GROUP), body=b"second")
    counts = await store.counts()
    assert counts.open_incidents == {model.Priority.P1: 1, model.Priority.P2: 1, model.Priority.P3: 0}
    assert counts.notifications == 2


async def test_a_probe_passes_while_the_store_commits(store: contract.Store) -> None:
    await store.probe()


# Keeping and forgetting


async def test_messages_are_kept_as_they_arrived(kind: Kind, store: contract.Store, tmp_path: Path) -> None:
    bodies = [b'{"version": "4"}', b"\xff\x00", b'{"version": "4"}']
    for body in bodies:
        await accept(store, None, body=body)
    assert kind.kept_bodies(tmp_path) == bodies


async def test_messages_of_one_commit_are_kept_each_by_itself(
    kind: Kind, store: contract.Store, tmp_path: Path
) -> None:
    bodies = [b"one", b"", b"three", b"one"]
    await asyncio.gather(*(accept(store, message(alert()), body=body) for body in bodies))
    assert kind.kept_bodies(tmp_path) == bodies


async def test_a_repeat_of_what_was_removed_is_kept_anew(
    kind: Kind, store: contract.Store, tmp_path: Path
) -> None:
    await accept(store, message(alert()), 0, body=b"one")
    await store.prune(contract.Retention(notifications_bytes=0), at(1))
    await accept(store, message(alert()), 2, body=b"one")
    assert kind.kept_bodies(tmp_path) == [b"one"]


async def test_a_repeat_is_kept_anew_after_a_day(kind: Kind, store: contract.Store, tmp_path: Path) -> None:
    """Else an alert that goes on for months would keep all that once was committed together with it."""
    for seconds in (0, 86_400, 86_401, 86_402):
        await accept(store, message(alert()), seconds, body=b"one")
    await store.prune(contract.Retention(notifications=timedelta()), at(86_401))
    assert kind.kept_bodies(tmp_path) == [b"one", b"one"]
    size = (await store.counts()).notifications_bytes
    await store.prune(contract.Retention(notifications_bytes=0), at(86_403))
    assert size == 2 * 64 + len(zlib.compress(b"one", level=1))
    assert (await store.counts()).notifications_bytes == 0


async def test_a_repeated_body_takes_next_to_nothing(store: contract.Store) -> None:
    body = bytes(range(256)) * 100
    await accept(store, message(alert()), body=body)
    first = (await store.counts()).notifications_bytes
    await asyncio.gather(*(accept(store, message(alert()), 1, body=body) for _ in range(10)))

    counts = await store.counts()
    assert counts.notifications == 11
    assert counts.notifications_bytes - first < 10 * 100


async def test_messages_past_their_time_go(kind: Kind, store: contract.Store, tmp_path: Path) -> None:
    day = 86400
    for body in (b"old", b"both", b"old too"):
        await accept(store, None, 0, body=body)
    for body in (b"both", b"new"):
        await accept(store, None, 2 * day, body=body)

    assert await store.prune(KEEP_ALL, at(14 * day)) == 0
    assert await store.prune(KEEP_ALL, at(16 * day)) == 3
    assert kind.kept_bodies(tmp_path) == [b"both", b"new"]
    assert (await store.counts()).notifications == 2


async def test_the_oldest_messages_go_when_there_are_too_many(
    kind: Kind, store: contract.Store, tmp_path: Path
) -> None:
    bodies = [bytes([number]) * 3 for number in range(200)] * 3
    for body in bodies:
        await accept(store, None, body=body)
    size = (await store.counts()).notifications_bytes
    await store.prune(contract.Retention(notifications_bytes=size // 2), at(1))

    kept = kind.kept_bodies(tmp_path)
    assert kept == bodies[len(bodies) - len(kept) :]
    counts = await store.counts()
    assert 0 <= size // 2 - counts.notifications_bytes < 200
    await store.prune(contract.Retention(notifications_bytes=0), at(1))
    assert (await store.counts()).notifications_bytes == 0


async def closed_and_settled(store: contract.Store) -> None:
    await accept(store, message(alert()), 0, body=b"1")
    await store.expect(ID, ["pager"], 1, at(0))
    await store.settle(ID, "pager", shows(alert()), at(1))
    await accept(store, message(alert(ends=10)), 11, body=b"2")
    await store.settle(ID, "pager", shows(), at(12))
    await store.rest(ID, 2, None)


AFTER = at(11) + timedelta(days=90)


async def test_an_incident_goes_90_days_after_it_closed(store: contract.Store) -> None:
    await closed_and_settled(store)

    await store.prune(KEEP_ALL, AFTER)
    assert set(await store.situations([ID])) == {ID}
    await store.prune(KEEP_ALL, AFTER + timedelta(seconds=1))
    assert await store.situations([ID]) == {}
    assert await store.episodes(ID) == []


async def test_an_open_incident_is_kept_for_ever(store: contract.Store) -> None:
    await accept(store, message(alert()))
    await store.rest(ID, 1, None)
    await store.prune(KEEP_ALL, at(0) + timedelta(days=10_000))
    assert (await look(store)).incident.open
    assert len(await store.episodes(ID)) == 1


async def test_earlier_episodes_of_an_open_incident_go(store: contract.Store) -> None:
    await closed_and_settled(store)
    await accept(store, message(alert(starts=20)), 21)
    await store.prune(KEEP_ALL, AFTER + timedelta(seconds=1))
    assert [episode.number for episode in await store.episodes(ID)] == [2]


@pytest.mark.parametrize("left", ["shown", "intent", "due"])
async def test_a_closed_incident_with_something_left_to_do_is_kept(store: contract.Store, left: str) -> None:
    await closed_and_settled(store)
    if left == "shown":
        await store.settle(ID, "pager", shows(alert()), at(20))
    if left == "intent":
        await store.intend(ID, "pager", shows(), at(20))
    if left == "due":
        await store.rest(ID, 2, at(30))
    await store.prune(KEEP_ALL, AFTER + timedelta(days=1))
    assert set(await store.situations([ID])) == {ID}
    assert len(await store.episodes(ID)) == 1


async def test_a_dead_letter_keeps_nothing_alive(store: contract.Store) -> None:
    await closed_and_settled(store)
    await store.settle(ID, "pager", shows(alert()), at(20))
    await store.bury(ID, "pager", shows(), "invalid", at(21))
    await store.prune(KEEP_ALL, AFTER + timedelta(days=1))
    assert await store.situations([ID]) == {}


async def test_a_resolve_of_something_never_heard_of_goes_too(store: contract.Store) -> None:
    await accept(store, message(alert(ends=10)), 11)
    await store.rest(ID, 1, None)
    await store.prune(KEEP_ALL, AFTER + timedelta(seconds=1))
    assert await store.situations([ID]) == {}


async def test_more_than_one_bite_is_pruned(store: contract.Store) -> None:
    for number in range(7):
        await asyncio.gather(*(accept(store, None, body=f"{number}/{n}".encode()) for n in range(100)))
    assert await store.prune(KEEP_ALL, at(0) + timedelta(days=15)) == 700


# Reopening


async def test_all_is_there_after_reopening(kind: Kind, tmp_path: Path) -> None:
    first = await kind.open(tmp_path)
    await first.accept(message(alert()), sources=["eu-1"], body=b"{}", now=at(0))
    await first.expect(ID, ["pager"], 1, at(0))
    await first.intend(ID, "pager", shows(alert()), at(1))
    before = await look(first)
    await first.close()

    second = await kind.open(tmp_path)
    assert await look(second) == before
    assert await second.due(None, at(0)) == [ID]
    assert await second.sources() == {"eu-1": at(0)}
    await second.close()


async def test_closing_finishes_what_was_asked_for(kind: Kind, tmp_path: Path) -> None:
    first = await kind.open(tmp_path)
    accepts = [asyncio.ensure_future(accept(first, message(alert(f"pod-{n}")))) for n in range(20)]
    await asyncio.sleep(0)
    await first.close()
    assert await asyncio.gather(*accepts) == [[ID]] * 20

    second = await kind.open(tmp_path)
    assert len((await look(second)).incident.firing) == 20
    await second.close()


# When the clock jumps

MOVED = {
    "incident": {"opened_at", "changed_at", "due_at"},
    "incident_alerts": {"held_until"},
    "delivery": {"shown_at", "owed_since"},
    "source": {"last_heard"},
    "destination": {"since"},
}
NOT_MOVED = {
    "incident": {"resolved_at"},  # history
    "incident_alerts": {"starts_at", "ends_at", "recovers_at"},  # Alertmanager's
    "episode": {"opened_at", "resolved_at"},  # history
    "delivery": {"dead_at"},  # history
    "notification": {"received_at"},  # history
}


@pytest.mark.parametrize("seconds", [3600, -3600])
async def test_what_waits_moves_along_with_a_clock_that_jumped(store: contract.Store, seconds: float) -> None:
    by = timedelta(seconds=seconds)
    await store.destinations_since(["pager"], at(0))
    await store.accept(message(alert("a"), alert("b", ends=0)), sources=["eu-1"], body=b"", now=at(0))
    await store.record(message(alert("b")), at(1))  # possibly stale, so it is held
    await store.expect(ID, ["pager", "channel"], 1, at(1))
    shows = model.Shown(episode=1, firing=frozenset({"x"}), priority=model.Priority.P1)
    await store.settle(ID, "pager", shows, at(2))
    (before,) = await store.open_incidents(10)

    await store.rebase(by)

    (after,) = await store.open_incidents(10)
    held = alert("b").fingerprint
    held_until = before.incident.alerts[held].held_until
    assert held_until is not None
    for name in ("opened_at", "changed_at"):
        assert getattr(after.incident, name) == getattr(before.incident, name) + by
    assert after.incident.openings == tuple(opening + by for opening in before.incident.openings)
    assert after.incident.alerts[held] == structs.replace(
        before.incident.alerts[held], held_until=held_until + by
    )
    assert after.deliveries["pager"] == replace(before.deliveries["pager"], shown_at=at(2) + by)
    assert after.deliveries["channel"] == replace(before.deliveries["channel"], owed_since=at(1) + by)
    assert await store.sources() == {"eu-1": at(0) + by}
    assert await store.destinations_since(["pager"], at(9)) == {"pager": at(0) + by}
    assert await store.due(None, at(0.5) + by) == []
    assert await store.due(None, at(1) + by) == [ID]


async def test_every_instant_in_the_schema_is_said_to_move_or_not(
    store: contract.Store, tmp_path: Path
) -> None:
    """A new column with an instant has to be looked at here, and in sqlite.sql's rebase_ statements."""
    await store.probe()
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(tmp_path / opening.DATABASE)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            instants = {
                name
                for name in columns
                if name.endswith(("_at", "_until", "_since", "_heard")) or name == "since"
            }
            if instants:
                found[table] = instants
    found["incident_alerts"] = {  # as JSON
        field.name for field in structs.fields(model.Alert) if "datetime" in str(field.type)
    }
    said = {table: MOVED.get(table, set()) | NOT_MOVED.get(table, set()) for table in {*MOVED, *NOT_MOVED}}
    assert found == said
