"""An older version is stopped and this one started on the same store, while Alertmanager goes on posting.

The older version is real: the last commit with schema 1, taken from the history of this repository.
"""

import asyncio
import io
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests import parts
from tests.acceptance import failing
from tests.standins import pagerduty
from tests.world import ports, service, stack
from webhook.store import copying, opening, statements

LANES = 4
SERVICES_OF_A_LANE = 3
"""Before the upgrade, and as many after it. PagerDuty takes about 120 events a minute, and these are fewer."""
FAILURES_OF_A_SERVICE = 2
"""With a third it would flap, and its end be told only when it was quiet for 10 minutes."""
LONGEST_GAP_SECONDS = 30.0
"""Half of what a P1 may take from fault to page; a machine that runs other tests needs most of it."""


def git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=parts.CHECKOUT, capture_output=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(
            f"the older version is in git's history, which is not here: {done.stderr.decode().strip()}"
        )
    return done.stdout


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The program as it was before schema 2: an executable beside its packages."""
    added = git("log", "--diff-filter=A", "--format=%H", "--", "webhook/store/migrations/0002_truth.sql")
    if not added.strip():
        pytest.skip("the older version is in git's history, which does not go back so far")
    folder = tmp_path / "older"
    packed = git("archive", f"{added.split()[-1].decode()}^", "webhook", "routing", "rules")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    executable = folder / "phantommesh-alerts"
    executable.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        "from webhook.cli import main\n"
        "main()\n"
    )
    executable.chmod(0o700)
    return executable


def schema_of(file: Path) -> int:
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


async def test_an_upgrade_under_load_loses_nothing_and_keeps_a_copy(
    tmp_path: Path, older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    services: list[failing.Failing] = []
    database = tmp_path / "state" / opening.DATABASE
    async with (
        pagerduty.serve(keys={stack.ROUTING_KEY: "PhantomMesh"}, rate_per_minute=None) as pager,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client,
    ):
        running = service.Service(
            state_dir=tmp_path / "state",
            port=ports.free(),
            env={
                "PAGERDUTY_SERVICE_KEY": stack.ROUTING_KEY,
                "PAGERDUTY_EVENTS_URL": pager.url,
            },
            executable=older,
        )
        await running.start()
        half_way = asyncio.Barrier(LANES + 1)
        async with asyncio.TaskGroup() as load:
            for lane in range(LANES):
                load.create_task(keep_failing(lane, services, client, running.webhook_url, half_way))
            await half_way.wait()
            assert schema_of(database) == 1
            # They go on: what is posted from here on finds the old version, none, or the new one.
            assert await running.stop() == 0
            running.executable = service.CONSOLE_SCRIPT
            await running.start()
        await pager.wait_for(
            lambda far: all(failing.has_heard_the_end(far, one) for one in services), timeout_seconds=60
        )
        assert await running.stop() == 0

    accepted_at = sorted(at for one in services for at in one.accepted_at)
    gap_seconds = max(later - former for former, later in pairwise(accepted_at))
    with capsys.disabled():
        print(
            f"\nUpgrade under load: nothing accepted for {gap_seconds:.2f} s between the old version and the new, "
            f"{len(accepted_at)} messages accepted, {sum(one.runs for one in services)} failures told"
        )
    for one in services:
        failing.check_pages(pager, one)
    assert not pager.open_incidents()
    assert gap_seconds < LONGEST_GAP_SECONDS
    assert schema_of(database) == len(statements.migrations())
    kept = database.with_name(f"{database.name}.before-schema-2")
    copying.check(kept)
    assert schema_of(kept) == 1


async def keep_failing(
    lane: int,
    services: list[failing.Failing],
    client: aiohttp.ClientSession,
    url: str,
    half_way: asyncio.Barrier,
) -> None:
    """One service after the other fails and recovers. In the middle it says so, and goes on at once."""
    for number in range(2 * SERVICES_OF_A_LANE):
        if number == SERVICES_OF_A_LANE:
            await half_way.wait()
        one = failing.Failing(name=f"service-{lane}{number:02}")
        services.append(one)
        for _ in range(FAILURES_OF_A_SERVICE):
            await one.fail_once(client, url, longest_seconds=0.3)
