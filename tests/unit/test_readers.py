"""Reads run beside the event loop, and waiting for one has a bound."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator

import pytest

from routing import ledger
from webhook.store import readers


@pytest.fixture
async def one() -> AsyncIterator[readers.Readers]:
    """Reads with one connection, to an empty database in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    running = readers.Readers([connection])
    yield running
    await running.close()
    connection.close()


def now(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT 1").fetchone()[0])


async def test_a_read_gives_its_result(one: readers.Readers) -> None:
    assert await one.read(now) == 1


async def test_a_failing_read_leaves_the_connection_fit_for_the_next(one: readers.Readers) -> None:
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await one.read(lambda connection: connection.execute("SELECT * FROM nowhere"))
    assert await one.read(now) == 1


async def test_a_read_that_takes_too_long_is_given_up(
    one: readers.Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(readers, "_DEADLINE_SECONDS", 0.01)
    with pytest.raises(ledger.Unavailable, match="did not answer within"):
        await one.read(lambda _: let_go.wait(10))
    let_go.set()
    monkeypatch.undo()
    assert await one.read(now) == 1


async def test_too_many_reads_are_refused_at_once(
    one: readers.Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(readers, "_MOST_WAITING", 2)
    waiting = [asyncio.ensure_future(one.read(lambda _: let_go.wait(10))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ledger.Unavailable, match="2 reads wait"):
        await one.read(now)
    let_go.set()
    await asyncio.gather(*waiting)
    assert await one.read(now) == 1


async def test_a_closed_store_is_not_read(one: readers.Readers) -> None:
    await one.close()
    with pytest.raises(ledger.Unavailable, match="closed"):
        await one.read(now)
