"""The store cannot take a commit while the service runs: it says so, pages P1 all the same, and catches up."""

import asyncio
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance import serving
from tests.standins import pagerduty
from tests.world import service

STORE = "phantommesh-alerts.sqlite3"
SIDE_FILE = "phantommesh-alerts.unrecorded.json"
_PAGE_SECONDS = 5.0


@pytest_asyncio.fixture
async def far() -> AsyncIterator[serving.Far]:
    async with serving.far_ends() as ends:
        yield ends


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A state directory on a file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        assert os.geteuid() != 0, f"root cannot mount a small file system: {mounted.stderr}"
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Callable[[], None]:
    """Leave no room at all; returns what makes room again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 512, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast.unlink


async def until_refused(running: service.Service) -> None:
    """Post P3 messages until one is answered with 503: what room there was in the log is used up."""
    for number in range(500):
        if await serving.post(running, f"filler-{number}", "P3") == 503:
            return
    raise AssertionError("the store took everything")


async def paged_within(far: serving.Far, name: str, seconds: float) -> float:
    began = time.monotonic()
    await far.pagerduty.wait_for(
        lambda pager: any(one.opened.payload["component"] == name for one in pager.incidents),
        timeout_seconds=seconds,
    )
    return time.monotonic() - began


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does to a file."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - there is only asking
            await asyncio.sleep(0.02)


def outcomes(pager: pagerduty.PagerDuty, name: str) -> list[tuple[str, str]]:
    keys = {one.dedup_key for one in pager.incidents if one.opened.payload["component"] == name}
    return [(event.action, event.outcome) for event in pager.events if event.dedup_key in keys]


async def test_on_a_full_disk_a_p1_is_paged_at_once_and_becomes_an_incident_when_there_is_room(
    small_disk: Path, far: serving.Far, capsys: pytest.CaptureFixture[str]
) -> None:
    async with service.run(state_dir=small_disk / "state", env=far.env) as running:
        make_room = fill(small_disk)
        await until_refused(running)
        assert (await serving.ask(running, "/-/ready"))[0] == 503
        assert (await serving.ask(running, "/-/healthy"))[0] == 200
        paging = asyncio.create_task(paged_within(far, "vpn-core", _PAGE_SECONDS))
        assert await serving.post(running, "vpn-core", "P1") == 503
        seconds = await paging
        assert await serving.post(running, "vpn-core", "P1") == 503, "Alertmanager comes again"
        assert await serving.post(running, "redis", "P1") == 503
        await paged_within(far, "redis", _PAGE_SECONDS)
        assert outcomes(far.pagerduty, "vpn-core") == [("trigger", "opened")]
        assert "vpn-core" not in far.summaries("#phantommesh-incidents")

        make_room()
        await far.told("#phantommesh-incidents", "vpn-core")
        await far.told("#phantommesh-incidents", "redis")
        assert await serving.post(running, "vpn-core", "P1") == 200
        assert (await serving.ask(running, "/-/ready"))[0] == 200
        assert await serving.post(running, "vpn-core", "P1", resolved=True) == 200
        await far.told("#phantommesh-incidents", "resolved", "vpn-core")
        await far.pagerduty.wait_for(lambda pager: len(pager.open_incidents()) == 1, timeout_seconds=20)
    assert outcomes(far.pagerduty, "vpn-core") == [("trigger", "opened"), ("resolve", "resolved")]
    kept = (small_disk / "state" / SIDE_FILE).read_text()
    assert "redis" in kept, "nobody told of it again, so it is still watched"
    assert "vpn-core" not in kept
    with capsys.disabled():
        print(f"\non a full disk: {seconds * 1000:.0f} ms from the post to the page")


async def _no_growth(running: service.Service) -> Callable[[], Awaitable[None]]:
    """No file of the process can grow beyond 4 kB, so the log takes nothing and the side file does."""
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    async def nothing_is_left_of_it() -> None:
        """The limit ends with the process."""

    return nothing_is_left_of_it


async def _locked(running: service.Service) -> Callable[[], Awaitable[None]]:
    """Another program holds the database's write lock, as a careless backup does."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()",
        str(running.state_dir / STORE),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"held\n"

    async def let_go() -> None:
        await child.communicate(b"")

    return let_go


@pytest.mark.parametrize("fault", [_no_growth, _locked], ids=["no_growth", "locked"])
async def test_a_page_survives_the_process_and_is_told_and_closed_by_the_next(
    fault: Callable[[service.Service], Awaitable[Callable[[], Awaitable[None]]]],
    tmp_path: Path,
    far: serving.Far,
) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
        mend = await fault(running)
        assert await serving.post(running, "vpn-core", "P1") == 503
        await paged_within(far, "vpn-core", 15)
        await running.wait_logged(re.compile("paged past the store"), timeout_seconds=10)
        side_file = running.state_dir / SIDE_FILE
        await until(lambda: side_file.exists() and b'"shown_at":["pagerduty"]' in side_file.read_bytes())
        assert side_file.stat().st_mode & 0o777 == 0o600
        await running.kill()
        await mend()
        await running.start()
        await far.told("#phantommesh-incidents", "vpn-core")
        assert await serving.post(running, "vpn-core", "P1", resolved=True) == 200
        await far.pagerduty.wait_for(lambda pager: not pager.open_incidents(), timeout_seconds=20)
        await until(lambda: not side_file.exists())
    assert outcomes(far.pagerduty, "vpn-core") == [("trigger", "opened"), ("resolve", "resolved")]


async def test_a_dry_run_sends_nothing_past_the_store_either(tmp_path: Path, far: serving.Far) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env, options=("--dry-run",)) as running:
        await _no_growth(running)
        assert await serving.post(running, "vpn-core", "P1") == 503
        await running.wait_logged(
            re.compile(r"phantommesh\.log: .*pagerduty.*vpn-core is down"), timeout_seconds=10
        )
    assert far.pagerduty.requests == []


async def test_a_store_that_turns_corrupt_is_said_with_the_way_out_and_p1_go_on_paging(
    tmp_path: Path, far: serving.Far
) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
        for number in range(30):
            assert await serving.post(running, f"backup-{number}", "P3") == 200
        await running.restart()  # so that nothing of it is in memory
        store = running.state_dir / STORE
        broken = store.read_bytes()[:4096] + b"\xff" * (store.stat().st_size - 4096)
        with store.open("r+b") as file:
            file.write(broken)
        await until_refused(running)
        assert await serving.post(running, "vpn-core", "P1") == 503
        await paged_within(far, "vpn-core", _PAGE_SECONDS)
        await running.wait_logged(
            re.compile(r"cannot be recorded.*malformed.*restore it from a backup"), timeout_seconds=10
        )
        assert (await serving.ask(running, "/-/healthy"))[0] == 200
        await running.kill()
    status, said = await serving.refusal(tmp_path, "--listen", "127.0.0.1:0", env=far.env)
    assert status == 1
    assert f"{store} is corrupt" in said
    assert "restore it from a backup" in said
