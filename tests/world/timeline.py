"""A fault's way to the page, and the mended service's way to the resolve: hop by hop, as it happens.

All times are wall-clock seconds of this one machine. Prometheus tells nobody of its changes, so "pending", "firing" and
"ended" are when its API first showed it, asked ten times a second.
"""

import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tests.standins import incidents
from tests.world import stack

Name = Literal[
    "fault", "scraped", "pending", "firing", "received", "paged", "told",
    "mended", "scraped again", "ended", "received again", "resolved", "told again",
]  # fmt: skip

BUDGET_SECONDS = 60.0
"""From the fault to the page, with the shipped intervals (RULES: Budget of a P1)."""

HOP_SECONDS: dict[Name, float] = {
    "scraped": 15,  # scrape_interval
    "pending": 15,  # evaluation_interval
    "firing": 15,  # ServiceDown's `for`
    "received": 5,  # group_wait
    "paged": 10,
    "told": 10,
    "scraped again": 15,
    "ended": 15,
    "received again": 10,  # group_interval
    "resolved": 10,
    "told again": 10,
}
"""How long each hop may take, by the shipped configuration. The first five are the budget."""

_LONGEST_SERVICE_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step of the way.

    Attributes:
        at_unix_seconds: when it was done.
        took_seconds: since the hop before. What Slack is "told" counts from "received", as the page beside it does.
    """

    name: Name
    at_unix_seconds: float
    took_seconds: float


async def until_paged(running: stack.Stack, service: str, *, timeout_seconds: float) -> AsyncIterator[Hop]:
    """Break a service; yield each hop until the page stands in PagerDuty and the message in Slack.

    Raises:
        TimeoutError: a single hop took longer than that. The text holds what was seen instead.
    """
    fault = running.mesh.break_service(service)
    hops = _Hops()
    yield hops.done("fault", fault.at_unix_seconds)
    yield hops.done("scraped", await fault.wait_scraped(timeout_seconds=timeout_seconds))
    await running.prometheus.wait_alert("ServiceDown", "pending", timeout_seconds=timeout_seconds)
    yield hops.done("pending", time.time())
    await running.prometheus.wait_alert("ServiceDown", "firing", timeout_seconds=timeout_seconds)
    yield hops.done("firing", time.time())
    paged = await _event(running, "trigger", timeout_seconds=timeout_seconds)
    received_at = await _received_at(running, "open")
    yield hops.done("received", received_at)
    yield hops.done("paged", paged.arrival.at_unix_seconds)
    yield hops.done("told", await _told_at(running, count=1), since=received_at)


async def until_resolved(running: stack.Stack, service: str, *, timeout_seconds: float) -> AsyncIterator[Hop]:
    """Mend it; yield each hop until PagerDuty has closed it and Slack says so. Raises as `until_paged` does."""
    mended = running.mesh.mend(service)
    hops = _Hops()
    yield hops.done("mended", mended.at_unix_seconds)
    yield hops.done("scraped again", await mended.wait_scraped(timeout_seconds=timeout_seconds))
    await running.prometheus.wait_no_alert("ServiceDown", timeout_seconds=timeout_seconds)
    yield hops.done("ended", time.time())
    resolved = await _event(running, "resolve", timeout_seconds=timeout_seconds)
    received_at = await _received_at(running, "close")
    yield hops.done("received again", received_at)
    yield hops.done("resolved", resolved.arrival.at_unix_seconds)
    yield hops.done("told again", await _told_at(running, count=2), since=received_at)


class _Hops:
    def __init__(self) -> None:
        self._before: float | None = None

    def done(self, name: Name, at: float, *, since: float | None = None) -> Hop:
        before = since if since is not None else self._before
        self._before = at
        # What was asked for may be seen a moment after its consequence.
        took_seconds = 0.0 if before is None else max(0.0, at - before)
        return Hop(name=name, at_unix_seconds=at, took_seconds=took_seconds)


async def _event(
    running: stack.Stack, action: incidents.Action, *, timeout_seconds: float
) -> incidents.Event:
    found = await running.pagerduty.wait_for(
        lambda far: next((event for event in far.events if event.action == action), None),
        timeout_seconds=timeout_seconds,
    )
    assert found is not None, "waited for"
    return found


async def _received_at(running: stack.Stack, act: Literal["open", "close"]) -> float:
    """When the service had Alertmanager's message on disk, by its own log of what it told because of it."""
    line = await running.service.wait_logged(
        re.compile(
            rf"^(?P<at>\S+) INFO routing\.delivery: told .*\bdestination=pagerduty .*\bact={act} "
            r".*\bsince_change_seconds=(?P<since>[\d.]+)",
            re.MULTILINE,
        ),
        timeout_seconds=_LONGEST_SERVICE_SECONDS,
    )
    return datetime.fromisoformat(line["at"]).timestamp() - float(line["since"])


async def _told_at(running: stack.Stack, *, count: int) -> float:
    messages = await running.slack.wait_for(
        lambda far: far.messages if len(far.messages) >= count else None,
        timeout_seconds=_LONGEST_SERVICE_SECONDS,
    )
    assert messages is not None, "waited for"
    return messages[count - 1].arrival.at_unix_seconds
