"""kill -9 at random instants under load: nothing accepted is lost, nothing goes backwards, nobody is paged twice.

Services fail and recover without pause, each firing and each resolve posted until it is answered with 200, as
Alertmanager does. Meanwhile the process is killed wherever it happens to be (accepting, committing, sending,
recording) and started again on the same state directory.
"""

import asyncio
import random
import re
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance import failing
from tests.standins import messages, pagerduty, slack
from tests.world import ports, service, stack

KILLS = 100
SERVICES = 12
LONGEST_LIFE_SECONDS = 0.4


async def test_kill_at_any_instant_loses_nothing_and_pages_nobody_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_services = [failing.Failing(name=f"service-{number}") for number in range(SERVICES)]
    async with (
        pagerduty.serve(keys={stack.ROUTING_KEY: "PhantomMesh"}, rate_per_minute=None) as pager,
        slack.serve(channels=stack.CHANNELS, burst=None) as chat,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as client,
    ):
        the_service = service.Service(
            state_dir=tmp_path / "state",
            port=ports.free(),
            env={
                "PAGERDUTY_SERVICE_KEY": stack.ROUTING_KEY,
                "PAGERDUTY_EVENTS_URL": pager.url,
                "SLACK_INCIDENTS_WEBHOOK": chat.webhook("#phantommesh-incidents"),
            },
        )
        await the_service.start()
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as load:
            for one in failing_services:
                load.create_task(one.keep_failing(client, the_service.webhook_url, enough))
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0, LONGEST_LIFE_SECONDS))
                await the_service.kill()
                await the_service.start()
            enough.set()
        await pager.wait_for(
            lambda far: all(failing.has_heard_the_end(far, one) for one in failing_services),
            timeout_seconds=60,
        )
        await chat.wait_for(
            lambda far: all(failing.told_end_in_slack(far, one) for one in failing_services),
            timeout_seconds=60,
        )
        assert await the_service.stop() == 0

    repeats = repeated(chat.messages, [one.name for one in failing_services])
    with capsys.disabled():
        print(
            f"\n{KILLS} kills, {sum(one.accepted for one in failing_services)} messages accepted, "
            f"{len(pager.incidents)} incidents at PagerDuty, {len(chat.messages)} messages in Slack, "
            f"{len(repeats)} of them repeats"
        )
    for one in failing_services:
        failing.check_pages(pager, one)
    assert not pager.open_incidents()
    assert len(repeats) <= 2 * KILLS, "a kill cuts off at most the two workers of the lane"
    for message_ in repeats:
        assert "may repeat" in str(message_.body), "a repeat must say that it may be one"


def repeated(told: list[messages.Message], names: list[str]) -> list[messages.Message]:
    """Messages that say again what the one before them about the same service said: down, or resolved."""
    again = []
    for name in names:
        about = [one for one in told if re.search(rf"\b{name}\b", one.text)]
        again += [
            later
            for former, later in pairwise(about)
            if failing.is_resolve(former.text) == failing.is_resolve(later.text)
        ]
    return again
