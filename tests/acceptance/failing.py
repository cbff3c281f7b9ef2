"""Services that fail and recover without pause, posted as Alertmanager posts: until it is answered with 200."""

import asyncio
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.standins import incidents, pagerduty, slack


@dataclass(slots=True)
class Failing:
    """A service that fails and recovers again and again.

    Attributes:
        runs: how many of its failures were accepted.
        accepted_at: when each message was answered with 200, on the monotonic clock.
    """

    name: str
    runs: int = 0
    accepted_at: list[float] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return len(self.accepted_at)

    async def keep_failing(self, client: aiohttp.ClientSession, url: str, enough: asyncio.Event) -> None:
        while not enough.is_set():
            await self.fail_once(client, url, longest_seconds=0.05)

    async def fail_once(self, client: aiohttp.ClientSession, url: str, *, longest_seconds: float) -> None:
        """Fail and recover; neither that it is down nor that it is up lasts longer, once it was accepted."""
        self.runs += 1
        starts_at = datetime.now(UTC)
        await self._post(client, url, starts_at, None)
        await asyncio.sleep(random.uniform(0, longest_seconds))
        await self._post(client, url, starts_at, datetime.now(UTC))
        await asyncio.sleep(random.uniform(0.001, longest_seconds))

    async def _post(
        self, client: aiohttp.ClientSession, url: str, starts_at: datetime, ends_at: datetime | None
    ) -> None:
        body = message(self.name, self.runs, starts_at, ends_at)
        while True:
            try:
                async with client.post(url, json=body) as answer:
                    assert answer.status in (200, 503), await answer.text()
                    if answer.status == 200:
                        self.accepted_at.append(time.monotonic())
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


def is_resolve(text: str) -> bool:
    return "resolved]" in text


def check_pages(far: pagerduty.PagerDuty, failing: Failing) -> None:
    """Every run of a service was told, once, in order."""
    opened = [episode_of(one.opened) for one in incidents_of(far, failing.name)]
    assert opened == sorted(set(opened)), f"{failing.name} went backwards or paged twice: {opened}"
    triggers = [
        episode_of(event)
        for one in incidents_of(far, failing.name)
        for event in one.events
        if event.action == "trigger"
    ]
    assert triggers == sorted(triggers), f"{failing.name} showed old state over new: {triggers}"
    told = sum(
        max(fired_times(event) for event in one.events if event.action == "trigger")
        for one in incidents_of(far, failing.name)
    )
    assert told == failing.runs, f"{failing.name} failed {failing.runs} times and {told} were told"
