"""One run from a fault to its resolve on the real programs, written down for the tests that look at it."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from tests import parts as programs
from tests.standins import incidents, messages
from tests.world import stack, timeline

SERVICE = "vpn-core"
_LONGEST_HOP_SECONDS = 60.0
_RESENT_SECONDS = 90.0
_LINK = re.compile(r'href="([^"#]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What people and machines saw.

    Attributes:
        told_in_health: how many events and messages there were before the fault.
        links: every address in what PagerDuty and Slack got while it fired, and what the pages of this service there
            lead to, each with the status that a browser gets.
        broken_rules: rules that Prometheus could not evaluate, each with its error.
        page: `/` of the service after the resolve, with the Watchdog's source.
    """

    service_url: str
    told_in_health: int
    hops: Sequence[timeline.Hop]
    events: Sequence[incidents.Event]
    messages: Sequence[messages.Message]
    refused: Sequence[str]
    links: Mapping[str, int]
    firing_at_the_end: Sequence[str]
    broken_rules: Mapping[str, str]
    page: str

    @property
    def fault_to_page_seconds(self) -> float:
        at = {hop.name: hop.at_unix_seconds for hop in self.hops}
        return at["paged"] - at["fault"]


async def record(parts: programs.Parts, folder: Path) -> Recording:
    """Start everything, break a service, wait for the page, mend it, wait for the resolve."""
    async with stack.run(parts, folder) as running:
        told_in_health = len(running.pagerduty.requests) + len(running.slack.requests)
        hops = [
            hop async for hop in timeline.until_paged(running, SERVICE, timeout_seconds=_LONGEST_HOP_SECONDS)
        ]
        links = await _statuses(_addresses(running), own=running.service.url)
        hops += [
            hop
            async for hop in timeline.until_resolved(running, SERVICE, timeout_seconds=_LONGEST_HOP_SECONDS)
        ]
        return Recording(
            service_url=running.service.url,
            told_in_health=told_in_health,
            hops=hops,
            events=list(running.pagerduty.events),
            messages=list(running.slack.messages),
            refused=[
                str(request.reasons or request.body)
                for request in [*running.pagerduty.requests, *running.slack.requests]
                if request.status not in (200, 202)
            ],
            links=links,
            # Pending ones are left out: a rate over 5 minutes says little of a series that is a minute old.
            firing_at_the_end=[
                one["labels"]["alertname"]
                for one in await running.prometheus.alerts()
                if one["state"] == "firing"
            ],
            broken_rules=await _broken_rules(running),
            page=await _page_with_a_source(running.service.url),
        )


def _addresses(running: stack.Stack) -> set[str]:
    found = {link for message in running.slack.messages for link in message.links}
    for event in running.pagerduty.events:
        found |= {link["href"] for link in event.links} | {event.body["client_url"]}
    return found


async def _statuses(addresses: set[str], *, own: str) -> dict[str, int]:
    statuses = {}
    while addresses:
        address = addresses.pop()
        statuses[address], text = await _get(address)
        if address.startswith(own):
            onward = {urljoin(address, href) for href in _LINK.findall(text.replace("&amp;", "&"))}
            here = {one for one in onward if urlsplit(one).netloc == urlsplit(own).netloc}
            addresses |= here - statuses.keys()
    return statuses


async def status(address: str) -> int:
    """What a browser is answered there."""
    return (await _get(address))[0]


async def _get(address: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(address) as answer:
        return answer.status, await answer.text()


async def _page_with_a_source(service_url: str) -> str:
    """The service's first page, once it has heard a Watchdog.

    A Watchdog that fires before Prometheus has discovered Alertmanager goes nowhere, and is sent again a minute later.
    """
    async with asyncio.timeout(_RESENT_SECONDS):
        while True:
            _, page = await _get(f"{service_url}/")
            if "its Watchdog was last heard" in page:
                return page
            await asyncio.sleep(0.5)


async def _broken_rules(running: stack.Stack) -> dict[str, str]:
    _, text = await _get(f"{running.prometheus.url}/api/v1/rules")
    answer: Any = json.loads(text)
    return {
        rule["name"]: rule.get("lastError", "")
        for group in answer["data"]["groups"]
        for rule in group["rules"]
        if rule["health"] == "err"
    }
