"""One thread writes: what waits together is committed together, and no request can fail its neighbours."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from routing import ledger
from webhook.store import writer

Operation = Callable[[sqlite3.Connection], Any]


@pytest.fixture
def connection(tmp_path: Path) -> Any:
    """A connection to a file with one table, as the writer gets it."""
    with closing(
        sqlite3.connect(tmp_path / "db", isolation_level=None, check_same_thread=False, timeout=0)
    ) as opened:
        opened.execute("PRAGMA journal_mode = WAL")
        opened.execute("CREATE TABLE note (text TEXT UNIQUE)")
        yield opened


@pytest.fixture
async def single(connection: sqlite3.Connection) -> AsyncIterator[writer.Writer[Operation]]:
    def apply(requests: Sequence[Operation]) -> Sequence[object]:
        return [request(connection) for request in requests]

    running = writer.Writer(connection, apply)
    yield running
    await running.close()


def write(text: str) -> Operation:
    return lambda connection: connection.execute("INSERT INTO note VALUES (?)", (text,)).rowcount


def written(tmp_path: Path) -> set[str]:
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        return {text for (text,) in connection.execute("SELECT text FROM note")}


class Held:
    """A request that keeps the thread busy until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.let_go.wait(10)


async def test_what_arrives_together_shares_one_commit(
    single: writer.Writer[Operation], connection: sqlite3.Connection, tmp_path: Path
) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    await asyncio.gather(*(single.submit(write(str(number))) for number in range(100)))
    assert statements.count("COMMIT") == 1
    assert len(written(tmp_path)) == 100


async def test_what_arrives_during_a_commit_shares_the_next_one(
    single: writer.Writer[Operation], connection: sqlite3.Connection
) -> None:
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    held = Held()
    first = asyncio.ensure_future(single.submit(held))
    await asyncio.to_thread(held.begun.wait)
    rest = []
    for number in range(20):
        rest.append(asyncio.ensure_future(single.submit(write(str(number)))))
        await asyncio.sleep(0)
    held.let_go.set()
    await asyncio.gather(first, *rest)
    assert statements.count("COMMIT") == 2


async def test_each_request_gets_its_own_result(single: writer.Writer[Operation]) -> None:
    def answer(number: int) -> Operation:
        return lambda _: number

    assert await asyncio.gather(*(single.submit(answer(number)) for number in range(5))) == [0, 1, 2, 3, 4]


async def test_it_answers_only_after_the_commit(single: writer.Writer[Operation], tmp_path: Path) -> None:
    await single.submit(write("durable"))
    assert written(tmp_path) == {"durable"}


async def test_a_failing_request_leaves_its_neighbours_unharmed(
    single: writer.Writer[Operation], tmp_path: Path
) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        write("half done")(connection)
        raise ValueError("its own fault")

    outcomes = await asyncio.gather(
        single.submit(write("before")),
        single.submit(fail),
        single.submit(write("after")),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [int, ValueError, int]
    assert written(tmp_path) == {"before", "after"}


async def test_a_broken_constraint_is_the_fault_of_its_own_request(single: writer.Writer[Operation]) -> None:
    outcomes = await asyncio.gather(
        single.submit(write("same")), single.submit(write("same")), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [int, sqlite3.IntegrityError]


async def test_a_full_disk_fails_the_whole_commit_and_the_thread_lives_on(
    single: writer.Writer[Operation], tmp_path: Path
) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 8")
        connection.execute("INSERT INTO note VALUES (hex(zeroblob(100000)))")

    outcomes = await asyncio.gather(
        single.submit(write("neighbour")), single.submit(fill), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [ledger.Unavailable, ledger.Unavailable]
    assert "full" in str(outcomes[0])
    assert written(tmp_path) == set()
    assert await single.submit(write("afterwards")) == 1


async def test_a_locked_file_is_unavailable_only_while_it_is_locked(
    single: writer.Writer[Operation], tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ledger.Unavailable, match="locked"):
            await single.submit(write("a"))
        other.execute("ROLLBACK")
    assert await single.submit(write("a")) == 1


async def test_a_full_queue_refuses_at_once(single: writer.Writer[Operation]) -> None:
    held = Held()
    waiting = [asyncio.ensure_future(single.submit(held))]
    await asyncio.to_thread(held.begun.wait)
    for number in range(3):
        waiting.append(asyncio.ensure_future(single.submit(write(str(number)), most_waiting=3)))
        await asyncio.sleep(0)

    with pytest.raises(ledger.Unavailable, match="3 requests wait"):
        await single.submit(write("one too many"), most_waiting=3)
    held.let_go.set()
    await asyncio.gather(*waiting)


async def test_a_request_that_waits_too_long_is_given_up_and_not_done(
    single: writer.Writer[Operation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    heard: list[object] = []
    monkeypatch.setattr(writer, "_DEADLINE_SECONDS", 0.01)
    under_way = asyncio.ensure_future(single.submit(held, late=lambda _: heard.append("under way")))
    await asyncio.to_thread(held.begun.wait)
    with pytest.raises(ledger.Unavailable, match="did not commit within"):
        await single.submit(write("late"), late=lambda _: heard.append("late"))
    with pytest.raises(ledger.Unavailable, match="did not commit within"):
        await under_way
    monkeypatch.undo()
    held.let_go.set()
    await single.submit(write("next"))
    assert written(tmp_path) == {"next"}
    assert heard == ["under way"]


async def test_after_closing_nothing_is_taken(connection: sqlite3.Connection) -> None:
    closed = writer.Writer[Operation](connection, lambda requests: [None for _ in requests])
    await closed.close()
    with pytest.raises(ledger.Unavailable, match="closed"):
        await closed.submit(write("late"))
