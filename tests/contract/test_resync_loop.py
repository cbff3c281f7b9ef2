"""Resync goes on, whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.build import alert, message
from webhook import resync
from webhook.store import contract, sqlite

NOBODY = "http://127.0.0.1:9"
CADENCE = resync.Cadence(every_seconds=0.05, waiting_seconds=0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[contract.Store]:
    opened = await sqlite.open_store(tmp_path)
    yield opened
    await opened.close()


class Watched:
    """A resync of one Alertmanager that is not there, and each look at it."""

    def __init__(self, store: contract.Store, *, fails: int = 0) -> None:
        self.looks: asyncio.Queue[resync.Looked] = asyncio.Queue()
        self.fails = fails
        self.woken: list[str] = []
        self.resyncing = resync.Resync(
            store=store,
            wake=self.woken.extend,
            observe=self._observe,
            clock=lambda: datetime.now(UTC),
            cadence=CADENCE,
        )
        self.resyncing.ask([NOBODY])

    def _observe(self, look: resync.Looked) -> None:
        self.fails -= 1
        if self.fails >= 0:
            raise ValueError("a defect")
        self.looks.put_nowait(look)

    async def look(self) -> resync.Looked:
        running = asyncio.create_task(self.resyncing.run())
        try:
            async with asyncio.timeout(30):
                return await self.looks.get()
        finally:
            running.cancel()
            await asyncio.wait([running])


async def test_an_alertmanager_that_is_not_there_changes_nothing(
    store: contract.Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.record(message(alert()), datetime.now(UTC))
    watched = Watched(store)
    (seen,) = (await watched.look()).seen
    assert (seen.address, seen.answered_at, seen.believed) == (NOBODY, None, False)
    assert seen.error.startswith("it cannot be reached")
    assert watched.woken == []
    assert [record.getMessage() for record in caplog.records if record.name == "webhook.resync"] == [
        "an Alertmanager is not believed"
    ]


async def test_a_defect_costs_one_look(store: contract.Store, caplog: pytest.LogCaptureFixture) -> None:
    await Watched(store, fails=1).look()
    assert "a look at the Alertmanagers failed" in caplog.text


async def test_a_store_that_cannot_be_read_is_waited_for_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await sqlite.open_store(tmp_path / "closed")
    await store.close()
    watched = Watched(store)
    running = asyncio.create_task(watched.resyncing.run())
    async with asyncio.timeout(30):
        while "resync has to wait for the store" not in caplog.text:  # noqa: ASYNC110  a log has no event
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert caplog.text.count("resync has to wait for the store") == 1
