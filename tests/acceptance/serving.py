"""The service as an operator runs it, with the stand-ins it tells and Alertmanager's messages to it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tests.standins import pagerduty, slack
from tests.world import process, service, stack

Priority = Literal["P1", "P2", "P3"]

ROUTING = """\
destinations:
  pagerduty:
    kind: pagerduty
    routing_key: {env: PAGERDUTY_SERVICE_KEY}
  slack-ops:
    kind: slack
    channel: "#phantommesh-ops"
    webhook: {env: SLACK_OPS_WEBHOOK}
  log:
    kind: log
route:
  destinations: [log]
  routes:
    - matchers: ['priority="P1"']
      destinations: [pagerduty]
    - matchers: ['priority="P2"']
      destinations: [slack-ops]
"""
"""A small routing.yml. Tests change words of it."""

_STARTED_AT = datetime.now(UTC) - timedelta(minutes=5)
_ENDS_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """PagerDuty and Slack."""

    pagerduty: pagerduty.PagerDuty
    slack: slack.Slack

    @property
    def env(self) -> dict[str, str]:
        """An environment with all of it live."""
        return {
            "PAGERDUTY_SERVICE_KEY": stack.ROUTING_KEY,
            "PAGERDUTY_EVENTS_URL": self.pagerduty.url,
            "SLACK_INCIDENTS_WEBHOOK": self.slack.webhook("#phantommesh-incidents"),
            "SLACK_OPS_WEBHOOK": self.slack.webhook("#phantommesh-ops"),
            "SLACK_INFO_WEBHOOK": self.slack.webhook("#phantommesh-info"),
        }

    async def paged(self, name: str) -> None:
        """Wait until a P1 about this service stands in PagerDuty."""
        await self.pagerduty.wait_for(
            lambda far: any(one.opened.payload["component"] == name for one in far.incidents),
            timeout_seconds=20,
        )

    async def told(self, channel: str, *words: str) -> None:
        """Wait until a message with all these words stands in a channel."""
        await self.slack.wait_for(
            lambda far: any(all(word in one.text for word in words) for one in far.posted(channel)),
            timeout_seconds=20,
        )

    def summaries(self, channel: str) -> list[str]:
        """The names of the services that a channel was told of, in order."""
        return [one.text.partition(": ")[2].split()[0].rstrip(":") for one in self.slack.posted(channel)]


@asynccontextmanager
async def far_ends() -> AsyncIterator[Far]:
    async with (
        pagerduty.serve(keys={stack.ROUTING_KEY: "PhantomMesh"}, rate_per_minute=None) as pager,
        slack.serve(channels=stack.CHANNELS, burst=None) as chat,
    ):
        yield Far(pagerduty=pager, slack=chat)


async def refusal(folder: Path, *options: str, env: Mapping[str, str]) -> tuple[int | None, str]:
    """Start `serve` where it should refuse to; return its exit status and all that it said."""
    command = [str(service.CONSOLE_SCRIPT), "serve", "--state-dir", str(folder / "state"), *options]
    child = await asyncio.create_subprocess_exec(
        *process.mortal(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=process.environment(env),
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(), timeout=_ENDS_SECONDS)
    except TimeoutError:
        child.kill()
        output, _ = await child.communicate()
        raise AssertionError(f"it served:\n{output.decode()}") from None
    return child.returncode, output.decode()


async def post(
    running: service.Service,
    name: str,
    priority: Priority,
    *,
    resolved: bool = False,
    token: str | None = None,
) -> int:
    """Post a message about a service as Alertmanager would; return the status of the answer."""
    return (
        await ask(running, "/webhook/alertmanager", body=_message(name, priority, resolved), token=token)
    )[0]


async def ask(
    running: service.Service,
    path: str,
    *,
    method: str | None = None,
    body: Mapping[str, Any] | None = None,
    token: str | None = None,
) -> tuple[int, str]:
    """The status and the text of an answer. With a body it is a POST."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout = aiohttp.ClientTimeout(total=15)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.request(
            method or ("GET" if body is None else "POST"), f"{running.url}{path}", json=body
        ) as answer,
    ):
        return answer.status, await answer.text()


def _message(name: str, priority: Priority, resolved: bool) -> Mapping[str, Any]:
    status = "resolved" if resolved else "firing"
    group = {"alertname": "ServiceDown", "service": name}
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{name}}}",
        "status": status,
        "receiver": "phantommesh-alerts",
        "groupLabels": group,
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": [
            {
                "status": status,
                "labels": {**group, "priority": priority},
                "annotations": {"summary": f"{name} is down"},
                "startsAt": _STARTED_AT.isoformat(),
                "endsAt": datetime.now(UTC).isoformat() if resolved else "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.example/graph",
                "fingerprint": f"{abs(hash(name)) % 2**64:016x}",
            }
        ],
    }
