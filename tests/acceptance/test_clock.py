"""The wall clock of a running service is set forward and back; its time comes from a file that the test writes."""

import re
import stat
import sys
from pathlib import Path

import pytest

from tests.acceptance import serving
from tests.world import service

_SERVICE = """\
#!{python}
import pathlib, sys
from datetime import UTC, datetime, timedelta
from webhook import cli, clock

def wall():
    return datetime.now(UTC) + timedelta(seconds=float(pathlib.Path({file!r}).read_text()))

clock.Clock.__init__.__kwdefaults__["wall"] = wall
sys.exit(cli.main())
"""


@pytest.mark.parametrize("hours", [1, -1, 24 * 8], ids=["an_hour_on", "an_hour_back", "a_week_on"])
async def test_a_jump_of_the_wall_clock_repeats_nothing_and_holds_nothing_up(
    tmp_path: Path, hours: int
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    program = tmp_path / "phantommesh-alerts"
    program.write_text(_SERVICE.format(python=sys.executable, file=str(offset)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with serving.far_ends() as far:
        the_service = service.Service(state_dir=tmp_path / "state", env=far.env, executable=program)
        await the_service.start()
        try:
            assert await serving.post(the_service, "vpn-core", "P1") == 200
            await far.paged("vpn-core")
            await far.told("#phantommesh-incidents", "vpn-core")
            offset.write_text(str(hours * 3600))
            await the_service.wait_logged(re.compile("the wall clock jumped"), timeout_seconds=15)
            assert await serving.post(the_service, "redis", "P1") == 200
            await far.paged("redis")
            assert await serving.post(the_service, "vpn-core", "P1", resolved=True) == 200
            await far.pagerduty.wait_for(lambda pager: len(pager.open_incidents()) == 1, timeout_seconds=20)
            assert await the_service.stop() == 0
        finally:
            if the_service.running:
                await the_service.kill()
    told = [(event.action, event.body.get("payload", {}).get("component")) for event in far.pagerduty.events]
    assert told == [("trigger", "vpn-core"), ("trigger", "redis"), ("resolve", None)], (
        "nothing else, and no repeat"
    )
    assert "WatchdogMissing" not in the_service.log()
