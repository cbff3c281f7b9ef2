"""kill -9 at random instants under load: nothing accepted is lost, nothing goes backwards, nobody is paged twice.

Services fail and recover without pause, each firing and each resolve posted until it is answered with 200, as
Alertmanager does. Meanwhile the process is killed wherever it happens to be (accepting, committing, sending,
recording) and started again on the same state directory.
"""

import asyncio
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.standins import incidents, messages, pagerduty, slack
from tests.world import ports, service, stack

KILLS = 100
SERVICES = 12
LONGEST_LIFE_SECONDS = 0.4


@dataclass(slots=True)
class Failing:
    """A service that fails and recovers again and again; `runs` of its failures were accepted."""

    name: str
    runs: int = 0
    accepted: int = 0

    async def keep_failing(self, client: aiohttp.ClientSession, url: str, enough: asyncio.Event) -> None:
        while not enough.is_set():
            self.runs += 1
            starts_at = datetime.now(UTC)
            await self._post(client, url, starts_at, None)
            await asyncio.sleep(random.uniform(0, 0.05))
            await self._post(client, url, starts_at, datetime.now(UTC))
            await asyncio.sleep(random.uniform(0.001, 0.05))

    async def _post(
        self, client: aiohttp.ClientSession, url: str, starts_at: datetime, ends_at: datetime | None
    ) -> None:
        body = message(self.name, self.runs, starts_at, ends_at)
        while True:
            try:
                async with client.post(url, json=body) as answer:
                    assert answer.status in (200, 503), await answer.text()
                    if answer.status == 200:
                        self.accepted += 1
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # killed while it answered, or not started yet: Alertmanager tries again, so do we
            await asyncio.sleep(0.02)


def message(name: str, run: int, starts_at: datetime, ends_at: datetime | None) -> Mapping[str, Any]:
    labels = {"alertname": "ServiceDown", "service": name, "severity": "critical", "priority": "P1"}
    status = "firing" if ends_at is None else "resolved"
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{name}}}",
        "status": status,
        "receiver": "phantommesh-alerts",
        "groupLabels": {"alertname": "ServiceDown", "service": name},
        "commonLabels": labels,
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": {"summary": f"{name} run {run} is down"},
                "startsAt": starts_at.isoformat(),
                "endsAt": "0001-01-01T00:00:00Z" if ends_at is None else ends_at.isoformat(),
                "generatorURL": "http://prometheus.example/graph",
                "fingerprint": f"{int(name.removeprefix('service-')):016x}",
            }
        ],
    }


def run_of(text: str) -> int:
    found = re.search(r"run (\d+) is down", text)
    assert found is not None, text
    return int(found[1])


def episode_of(trigger: incidents.Event) -> int:
    return int(trigger.payload["custom_details"]["episode"])


def fired_times(trigger: incidents.Event) -> int:
    found = re.search(r"Fired (\d+) times?", str(trigger.payload))
    return int(found[1]) if found else 1


def incidents_of(far: pagerduty.PagerDuty, name: str) -> list[incidents.Incident]:
    return [one for one in far.incidents if one.opened.payload["component"] == name]


def has_heard_the_end(far: pagerduty.PagerDuty, failing: Failing) -> bool:
    told = incidents_of(far, failing.name)
    return bool(told) and told[-1].resolved and run_of(told[-1].latest.payload["summary"]) == failing.runs


def told_end_in_slack(far: slack.Slack, failing: Failing) -> bool:
    told = [one.text for one in far.messages if re.search(rf"\b{failing.name}\b", one.text)]
    return bool(told) and is_resolve(told[-1]) and run_of(told[-1]) == failing.runs


@pytest.fixture
def failing_services() -> list[Failing]:
    return [Failing(name=f"service-{number}") for number in range(SERVICES)]


async def test_kill_at_any_instant_loses_nothing_and_pages_nobody_twice(
    tmp_path: Path, failing_services: list[Failing], capsys: pytest.CaptureFixture[str]
) -> None:
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
            for failing in failing_services:
                load.create_task(failing.keep_failing(client, the_service.webhook_url, enough))
            for _ in range(KILLS):
                await asyncio.sleep(random.uniform(0, LONGEST_LIFE_SECONDS))
                await the_service.kill()
                await the_service.start()
            enough.set()
        await pager.wait_for(
            lambda far: all(has_heard_the_end(far, one) for one in failing_services), timeout_seconds=60
        )
        await chat.wait_for(
            lambda far: all(told_end_in_slack(far, one) for one in failing_services), timeout_seconds=60
        )
        assert await the_service.stop() == 0

    repeats = repeated(chat.messages, [one.name for one in failing_services])
    with capsys.disabled():
        print(
            f"\n{KILLS} kills, {sum(one.accepted for one in failing_services)} messages accepted, "
            f"{len(pager.incidents)} incidents at PagerDuty, {len(chat.messages)} messages in Slack, "
            f"{len(repeats)} of them repeats"
        )
    for failing in failing_services:
        opened = [episode_of(one.opened) for one in incidents_of(pager, failing.name)]
        assert opened == sorted(set(opened)), f"{failing.name} went backwards or paged twice: {opened}"
        triggers = [
            episode_of(event)
            for one in incidents_of(pager, failing.name)
            for event in one.events
            if event.action == "trigger"
        ]
        assert triggers == sorted(triggers), f"{failing.name} showed old state over new: {triggers}"
        told = sum(
            max(fired_times(event) for event in one.events if event.action == "trigger")
            for one in incidents_of(pager, failing.name)
        )
        assert told == failing.runs, f"{failing.name} failed {failing.runs} times and {told} were told"
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
            later for former, later in pairwise(about) if is_resolve(former.text) == is_resolve(later.text)
        ]
    return again


def is_resolve(text: str) -> bool:
    return "resolved]" in text
