"""What the writing thread knows without reading is what is in the file."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from routing import ledger, model
from tests.unit.build import GROUP, alert, at, message
from webhook.store import cache, contract, opening, recording, rows, sqlite

GROUPS = [GROUP, {**GROUP, "cluster": "eu-2"}]
IDS = [model.incident_id(group) for group in GROUPS]

ALERTS = st.builds(
    lambda pod, starts, lasts, summary: structs.replace(
        alert(pod, starts=starts, ends=None if lasts is None else starts + lasts),
        annotations={"summary": summary},
    ),
    st.sampled_from("abc"),
    st.integers(0, 100),
    st.none() | st.integers(0, 60),
    st.sampled_from(["", "x"]),
)
MESSAGES = st.builds(
    lambda group, alerts, truncated, confirmable: structs.replace(
        message(*alerts, group=group, truncated=truncated), confirmable=confirmable
    ),
    st.sampled_from(GROUPS),
    st.lists(ALERTS, min_size=1, max_size=3),
    st.sampled_from([0, 0, 1]),
    st.booleans(),
)
BATCHES = st.lists(st.lists(MESSAGES, min_size=1, max_size=3), min_size=1, max_size=6)


def told(
    place: Path, known: cache.Cache, batches: Sequence[Sequence[model.Notification]]
) -> tuple[list[object], dict[str, model.Incident]]:
    """What each batch changed, and the incidents in the file after all of them."""
    files = opening.open_files(place)
    try:
        changed: list[object] = []
        for number, batch in enumerate(batches):
            now = at(number * 30)
            arrivals = [recording.Arrival(notification=each, now=now) for each in batch]
            changed.append(recording.record(files.writer, known, arrivals))
            changed.append([recording.release(files.writer, known, each, now) for each in IDS])
        return changed, rows.incidents(files.writer, IDS)
    finally:
        files.close()


@given(batches=BATCHES)
def test_it_makes_no_difference_whether_anything_is_known(batches: list[list[model.Notification]]) -> None:
    known = cache.Cache()
    with tempfile.TemporaryDirectory() as place:
        with_it = told(Path(place) / "known", known, batches)
        assert with_it == told(Path(place) / "unknown", cache.Cache(most_bytes=0), batches)
    assert {each: found.incident for each in with_it[1] if (found := known.get(each))} == with_it[1]


async def test_what_was_rolled_back_is_not_known(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path)
    refused = model.Shown(episode=1, firing=frozenset(), priority=model.Priority.P1)
    changed, failed = await asyncio.gather(
        store.accept(message(alert()), sources=(), body=b"", now=at(0)),
        store.settle("nobody", "pager", refused, at(0)),  # in the same commit
        return_exceptions=True,
    )
    assert isinstance(failed, LookupError)
    assert changed == [IDS[0]]
    (situation,) = (await store.situations(IDS)).values()
    await store.close()
    assert situation.incident.open


async def test_what_the_disk_did_not_take_is_not_known(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path)
    with sqlite3.connect(tmp_path / opening.DATABASE, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ledger.Unavailable):
            await store.accept(message(alert()), sources=(), body=b"", now=at(0))
        other.execute("ROLLBACK")
    other.close()
    assert await store.accept(message(alert()), sources=(), body=b"", now=at(1)) == [IDS[0]]
    await store.close()


async def test_what_was_pruned_begins_anew(tmp_path: Path) -> None:
    store = await sqlite.open_store(tmp_path)
    for each in (alert(), alert(ends=10)):
        await store.accept(message(each), sources=(), body=b"", now=at(10))
    await store.rest(IDS[0], 2, None)
    await store.prune(contract.Retention(episodes=timedelta()), at(20))
    assert await store.situations(IDS) == {}

    await store.accept(message(alert(starts=30)), sources=(), body=b"", now=at(30))
    (situation,) = (await store.situations(IDS)).values()
    await store.close()
    assert (situation.incident.open, situation.incident.episode) == (True, 1)


async def test_a_hold_that_moved_with_the_clock_stays_moved(tmp_path: Path) -> None:
    by = timedelta(hours=1)
    newer = structs.replace(alert("a"), annotations={"summary": "worse"})
    store = await sqlite.open_store(tmp_path)
    for heard in (message(alert("a")), message(alert("b", ends=10)), message(alert("b"))):
        await store.accept(heard, sources=(), body=b"", now=at(10))
    (before,) = await store.open_incidents(1)
    await store.rebase(by)
    await store.accept(message(newer), sources=(), body=b"", now=at(11) + by)

    (after,) = await store.open_incidents(1)
    await store.close()
    held = alert("b").fingerprint
    was = before.incident.alerts[held].held_until
    assert was is not None
    assert after.incident.alerts[held].held_until == was + by


def test_it_forgets_what_was_of_no_use_for_longest() -> None:
    def known(number: int, size_bytes: int) -> cache.Known:
        return cache.Known(structs.replace(BLANK, id=str(number)), size_bytes)

    kept = cache.Cache(most_bytes=5)
    kept.keep(known(1, 2))
    kept.keep(known(2, 2))
    kept.get("1")
    kept.keep(known(3, 3))
    assert [number for number in "123" if kept.get(number)] == ["1", "3"]
    kept.keep(known(1, 1))  # it is smaller now: there is room
    kept.keep(known(4, 1))
    assert [number for number in "1234" if kept.get(number)] == ["1", "3", "4"]
    kept.keep(known(5, 6))
    assert [number for number in "12345" if kept.get(number)] == []


def test_large_alerts_count_for_what_they_are(tmp_path: Path) -> None:
    """A thousand alerts of 100 kB would be a hundred megabytes."""
    files = opening.open_files(tmp_path)
    known = cache.Cache(most_bytes=250_000)
    for number, group in enumerate(LARGE):
        heard = structs.replace(alert(str(number)), annotations={"summary": "x" * 100_000})
        arrival = recording.Arrival(notification=message(heard, group=group), now=at(0))
        recording.record(files.writer, known, [arrival])
    assert [bool(known.get(model.incident_id(group))) for group in LARGE] == [False, False, True, True]
    known.empty()
    for group in LARGE:  # and they count when they are read
        recording.release(files.writer, known, model.incident_id(group), at(0))
    files.close()
    assert [bool(known.get(model.incident_id(group))) for group in LARGE] == [False, False, True, True]


LARGE = [{"number": str(number)} for number in range(4)]
BLANK = model.Incident(
    id="",
    group_labels={},
    episode=1,
    open=True,
    priority=model.Priority.P1,
    opened_at=at(0),
    changed_at=at(0),
    resolved_at=None,
    version=1,
    receiver="",
    external_url="",
    truncated_alerts=0,
    alerts={},
)
