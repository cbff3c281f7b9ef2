"""What is measured, each as a process of its own: the two limits, this service, Alertmanager; and the far ends."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests import parts
from tests.standins import pagerduty, slack
from tests.world import alertmanager, service

KEYS = [f"{number:032x}" for number in range(1, 51)]
"""PagerDuty takes 120 events a minute for a key, and after its start the service spends one a second. Fifty services
with a key each can be paged 20 times a second without a wait."""
_CHANNELS = {"incidents": "#phantommesh-incidents", "ops": "#phantommesh-ops", "info": "#phantommesh-info"}
_GROUP_BY = ["alertname", "cluster", "namespace", "service"]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class FarEnds:
    """The stand-ins for PagerDuty and Slack."""

    pagerduty: pagerduty.PagerDuty
    slack: slack.Slack


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A process that takes posts at an address."""

    pid: int
    address: str

    def cpu_seconds(self) -> float:
        """What it has worked so far, in all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def most_memory_bytes(self) -> int:
        """The most that it ever held."""
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None, "Linux tells it of every process"
        return int(found[1]) * 1024

    async def settled(self, *, timeout_seconds: float = 300.0) -> None:
        """Wait until it has nothing left to do: it worked for less than a tenth of half a second.

        Raises:
            TimeoutError: it is still at work.
        """
        async with asyncio.timeout(timeout_seconds):
            before = self.cpu_seconds()
            while True:
                await asyncio.sleep(0.5)
                now = self.cpu_seconds()
                if now - before <= 0.05:
                    return
                before = now


@asynccontextmanager
async def far_ends() -> AsyncIterator[FarEnds]:
    async with (
        pagerduty.serve(keys={key: f"service {key[-1]}" for key in KEYS}, rate_per_minute=None) as pages,
        slack.serve(channels={f"{name}-secret": channel for name, channel in _CHANNELS.items()}) as channels,
    ):
        yield FarEnds(pagerduty=pages, slack=channels)


@asynccontextmanager
async def limit(database: Path | None = None) -> AsyncIterator[Subject]:
    """The bare handler; with a database the one that keeps the raw body first."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.bare", *([str(database)] if database else []),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert child.stdout is not None, "asked for"
        line = (await child.stdout.readline()).decode()
        yield Subject(pid=child.pid, address=f"{line.removeprefix('listening on ').strip()}/")
    finally:
        child.kill()
        await child.wait()


@asynccontextmanager
async def this(
    folder: Path, far: FarEnds, *, alertmanager_url: str = "", tells_p3: bool = True
) -> AsyncIterator[Subject]:
    """This service, with every destination live. A second run in the same folder finds what the first one kept."""
    config = _laid_out(folder / "routing.yml", _routing(tells_p3=tells_p3))
    async with service.run(
        state_dir=folder / "state",
        config_path=config,
        env={
            "PAGERDUTY_EVENTS_URL": far.pagerduty.url,
            **{f"KEY_{number}": key for number, key in enumerate(KEYS)},
            **{
                f"SLACK_{name.upper()}_WEBHOOK": far.slack.webhook(channel)
                for name, channel in _CHANNELS.items()
            },
            **({"ALERTMANAGER_URL": alertmanager_url} if alertmanager_url else {}),
        },
    ) as running:
        yield Subject(pid=running.pid, address=running.webhook_url)


def _laid_out(file: Path, content: Mapping[str, object]) -> Path:
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content))
    return file


def paged(number: int) -> str:
    """How the name of a service begins that has this key."""
    return f"page-{number % len(KEYS):02d}-"


def _routing(*, tells_p3: bool) -> dict[str, object]:
    pagers = [f"pagerduty-{number}" for number in range(len(KEYS))]
    return {
        "destinations": {
            **{
                pager: {"kind": "pagerduty", "routing_key": {"env": f"KEY_{number}"}}
                for number, pager in enumerate(pagers)
            },
            **{
                f"slack-{name}": {
                    "kind": "slack",
                    "channel": channel,
                    "webhook": {"env": f"SLACK_{name.upper()}_WEBHOOK"},
                }
                for name, channel in _CHANNELS.items()
            },
            "log": {"kind": "log"},
        },
        "route": {
            "routes": [
                *(
                    {
                        "matchers": ['priority="P1"', f'service=~"{paged(number)}.*"'],
                        "destinations": [pager, "slack-incidents", "log"],
                    }
                    for number, pager in enumerate(pagers)
                ),
                {"matchers": ['priority="P1"'], "destinations": ["pagerduty-0", "slack-incidents", "log"]},
                {"matchers": ['priority="P2"'], "destinations": ["slack-ops", "log"]},
                *(
                    [{"matchers": ['priority="P3"'], "destinations": ["slack-info", "log"]}]
                    if tells_p3
                    else []
                ),
            ],
        },
        # The only P1 is to be the one that is measured.
        "sources": {"expected": []},
    }


@asynccontextmanager
async def theirs(
    programs: parts.Parts, folder: Path, far: FarEnds, *, group_wait: str = "30s"
) -> AsyncIterator[Subject]:
    """The real Alertmanager, with its own receivers for PagerDuty and Slack."""
    receiver = {
        "name": "phantommesh-alerts",
        "pagerduty_configs": [{"routing_key": KEYS[0], "url": f"{far.pagerduty.url}/v2/enqueue"}],
        "slack_configs": [
            {"api_url": far.slack.webhook(_CHANNELS["info"]), "channel": "#phantommesh-info"},
        ],
    }
    route = {
        "receiver": "phantommesh-alerts",
        "group_by": _GROUP_BY,
        "group_wait": group_wait,
        "group_interval": "5m",
    }
    config = _laid_out(folder / "alertmanager.yml", {"route": route, "receivers": [receiver]})
    async with alertmanager.run(programs, config, folder=folder) as running:
        yield Subject(pid=running.child.pid, address=f"{running.url}/api/v2/alerts")
