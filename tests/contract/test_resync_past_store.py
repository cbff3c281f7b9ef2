"""What becomes of a page that went past the store, where the real Alertmanager never managed to deliver it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from routing import model
from tests.contract import resynced
from tests.world import pulse
from webhook import unrecorded
from webhook.store import opening

pytestmark = pytest.mark.real

_A_FLUSH_SECONDS = 11.0


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[resynced.World]:
    async with resynced.run(tmp_path, resynced.NEWEST) as running:
        yield running


@contextmanager
def _locked(world: resynced.World) -> Iterator[None]:
    """Meanwhile the store takes no commit."""
    file = world.folder / "state" / opening.DATABASE
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def _refused(world: resynced.World) -> model.Notification:
    """Wait until a message about ServiceDown was answered with 503; returns it."""
    async with asyncio.timeout(resynced.DEADLINE_SECONDS):
        while True:
            for what, heard in world.past_store.heard:
                if what == "refused" and heard.group_labels["alertname"] == "ServiceDown":
                    return heard
            await asyncio.sleep(0.05)


async def test_what_was_paged_past_the_store_and_has_resolved_since_is_reconciled(
    world: resynced.World,
) -> None:
    """Alertmanager tells nothing of an alert that it never managed to deliver and that has resolved since."""
    async with world.start() as running, pulse.run(running) as source:
        world.believes(running)
        await world.until_seen(lambda seen: all(one.believed for one in seen))
        with _locked(world):
            await source.fire(**resynced.DOWN)
            refused = await _refused(world)
            await source.resolve("ServiceDown")
            # The flush with the firing has 10 s in all, retries included, and says nothing when it gives up.
            await asyncio.sleep(_A_FLUSH_SECONDS)
        page = unrecorded.cut(refused, unrecorded.firing_p1(refused))
        await world.store.record_told(page, {"pagerduty": ""}, datetime.now(UTC))
        assert (await world.until(lambda now: not resynced.is_open(now))).reconciled
        resolves = [
            alert
            for _, heard in world.past_store.heard
            for alert in heard.alerts
            if alert.status is model.AlertStatus.RESOLVED
        ]
        assert resolves == [], "no message said so"
