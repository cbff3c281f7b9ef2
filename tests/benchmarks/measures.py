"""The measurements. Each says in its result what it measured; none asserts anything."""

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests import parts
from tests.benchmarks import bodies, posting, subjects
from tests.standins import pagerduty

SIZES = (1, 10, 100)
OURS, BARE, RAW = "this service", "bare handler", "raw and durable"
JSON = {"Content-Type": "application/json"}
_PAGED = re.compile(rb"page-\d+-\d+")
_GROUPS = 64
_PAGE_SECONDS = 60.0
_pages = itertools.count(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long and how much; figures of a small scale say only that the benchmarks run."""

    sizes: Sequence[int] = SIZES
    post_seconds: float = 3.0
    paged_seconds: float = 10.0
    pages: int = 20
    storm: int = 10_000
    open_incidents: int = 10_000
    costed: int = 3_000


QUICK = Scale(
    sizes=(10,), post_seconds=0.3, paged_seconds=1.0, pages=3, storm=200, open_incidents=100, costed=200
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How many requests a second were accepted.

    Attributes:
        cpu_seconds: of the subject, a request.
        load_busy: the share of the time in which the load itself worked.
    """

    subject: str
    alerts: int
    rate: float
    cpu_seconds: float
    load_busy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds from the instant at which something was due to its end."""

    subject: str
    p50_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What it costs to hold so many open alerts.

    Attributes:
        cpu_seconds: a notification about 10 of them.
        memory_bytes: the most that was held.
        ready_seconds: from the start of the process to its first "ready".
    """

    open_alerts: int
    resync: bool
    cpu_seconds: float
    memory_bytes: int
    ready_seconds: float


def alertmanagers() -> Mapping[str, parts.Parts]:
    """The newest and the oldest that are here, by the name that the table gives them."""
    found = {
        name: parts.generation(suite)
        for name, suite in (("Alertmanager 0.33", "forky"), ("Alertmanager 0.25", "bookworm"))
    }
    return {name: here for name, here in found.items() if here is not None}


async def rates(folder: Path, far: subjects.FarEnds, scale: Scale) -> AsyncIterator[Rate]:
    """Accepted notifications a second, each with new values in every alert, over 32 connections."""
    for alerts in scale.sizes:
        message = bodies.message(alerts)
        async with subjects.limit() as bare:
            yield await _rate(BARE, bare, message, alerts, scale, groups=_GROUPS)
        async with subjects.limit(folder / f"raw-{alerts}.sqlite3") as raw:
            yield await _rate(RAW, raw, message, alerts, scale, groups=_GROUPS)
        async with subjects.this(folder / f"this-{alerts}", far) as ours:
            yield await _rate(OURS, ours, message, alerts, scale, groups=_GROUPS)
        for name, programs in alertmanagers().items():
            async with subjects.theirs(programs, folder / f"{name}-{alerts}", far) as theirs:
                # One group, because that is where it is fastest.
                yield await _rate(name, theirs, bodies.alerts(alerts), alerts, scale, groups=1)


async def _rate(
    name: str, subject: subjects.Subject, template: str, alerts: int, scale: Scale, *, groups: int
) -> Rate:
    await posting.post(subject.address, template, groups=groups, count=groups)
    await subject.settled()
    worked = subject.cpu_seconds()
    outcome = await posting.post(
        subject.address, template, groups=groups, first=groups, seconds=scale.post_seconds
    )
    return Rate(
        subject=name,
        alerts=alerts,
        rate=outcome.rate,
        cpu_seconds=(subject.cpu_seconds() - worked) / outcome.answered,
        load_busy=outcome.busy,
    )


async def accepting(
    folder: Path, far: subjects.FarEnds, scale: Scale, *, rate: float
) -> AsyncIterator[Latency]:
    """Latency of the answer at a fixed rate, one alert a notification."""
    template = bodies.message(1)
    async with subjects.limit() as bare:
        yield await _at_rate(BARE, bare, template, scale, rate)
    async with subjects.limit(folder / "raw-accepting.sqlite3") as raw:
        yield await _at_rate(RAW, raw, template, scale, rate)
    async with subjects.this(folder / "accepting", far) as ours:
        yield await _at_rate(OURS, ours, template, scale, rate)


async def _at_rate(name: str, subject: subjects.Subject, template: str, scale: Scale, rate: float) -> Latency:
    await posting.post(subject.address, template, groups=_GROUPS, count=_GROUPS)
    await subject.settled()
    outcome = await posting.post(
        subject.address, template, groups=_GROUPS, first=_GROUPS, seconds=scale.post_seconds, rate=rate
    )
    return Latency(subject=name, p50_seconds=outcome.p50_seconds, p99_seconds=outcome.p99_seconds)


async def paging(folder: Path, far: subjects.FarEnds, scale: Scale) -> AsyncIterator[Latency]:
    """From the post of a P1 to PagerDuty, 20 a second, each an incident of its own."""
    async with subjects.this(folder / "paging", far) as ours:
        yield await _paged(OURS, ours, far, scale, webhook=True)
    for name, programs in alertmanagers().items():
        async with subjects.theirs(programs, folder / f"{name} paging", far, group_wait="0s") as theirs:
            yield await _paged(name, theirs, far, scale, webhook=False)


async def _paged(
    name: str, subject: subjects.Subject, far: subjects.FarEnds, scale: Scale, *, webhook: bool
) -> Latency:
    count = int(20 * scale.paged_seconds)
    async with _client() as client:
        await _page(client, subject, far, webhook=webhook)  # the first one of a process finds everything cold
        began, posts = time.monotonic(), []
        due = {f"{subjects.paged(number)}{number}": began + number / 20 for number in range(count)}
        for group, instant in due.items():
            await asyncio.sleep(instant - time.monotonic())
            posts.append(asyncio.create_task(client.post(subject.address, data=_p1(group, webhook=webhook))))
        for response in await asyncio.gather(*posts):
            response.raise_for_status()
        paged = await _arrivals(far, due)
    return _latency(name, [paged[group] - instant for group, instant in due.items()])


async def storm(folder: Path, far: subjects.FarEnds, scale: Scale) -> AsyncIterator[Latency]:
    """From the post of a P1 to PagerDuty: on an idle service, and right behind so many P3, each its own incident."""
    async with subjects.this(folder / "storm", far) as ours, _client() as client:
        for _ in range(3):
            await _page(client, ours, far, webhook=True)
        yield _latency("idle", [await _page(client, ours, far, webhook=True) for _ in range(scale.pages)])
        await posting.post(ours.address, bodies.message(1), groups=scale.storm, count=scale.storm)
        behind = [await _page(client, ours, far, webhook=True) for _ in range(scale.pages)]
        yield _latency(f"behind {scale.storm:,} P3", behind)


@asynccontextmanager
async def _client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers=JSON) as client:
        yield client


async def _page(
    client: aiohttp.ClientSession, subject: subjects.Subject, far: subjects.FarEnds, *, webhook: bool
) -> float:
    """Post one P1; returns the seconds until PagerDuty had it."""
    number = next(_pages)
    group = f"{subjects.paged(number)}{number}"
    began = time.monotonic()
    async with client.post(subject.address, data=_p1(group, webhook=webhook)) as response:
        response.raise_for_status()
    return (await _arrivals(far, [group]))[group] - began


def _p1(group: str, *, webhook: bool) -> bytes:
    make = bodies.message if webhook else bodies.alerts
    return make(1, group=group, priority="P1").encode()


async def _arrivals(
    far: subjects.FarEnds, groups: Sequence[str] | Mapping[str, float]
) -> Mapping[str, float]:
    """When PagerDuty was told of each of these groups."""

    def seen(pages: pagerduty.PagerDuty) -> Mapping[str, float] | None:
        found: dict[str, float] = {}
        for event in pages.events:
            named = _PAGED.search(event.arrival.body)
            if named is not None:
                found.setdefault(named[0].decode(), event.arrival.at_seconds)
        return found if found.keys() >= set(groups) else None

    found = await far.pagerduty.wait_for(seen, timeout_seconds=_PAGE_SECONDS)
    assert found is not None, "waited for"
    far.pagerduty.events.clear()
    return found


def _latency(name: str, seconds: Sequence[float]) -> Latency:
    ordered = sorted(seconds)
    return Latency(
        subject=name,
        p50_seconds=ordered[len(ordered) // 2],
        p99_seconds=ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)],
    )


async def standing(folder: Path, far: subjects.FarEnds, scale: Scale) -> AsyncIterator[Standing]:
    """Few and many open alerts, ten an incident; the many also beside an Alertmanager that holds the same ones.

    They are P3 that nobody is told of: it is the holding that is measured.
    """
    for incidents in (10, scale.open_incidents):
        place = folder / f"standing-{incidents}"
        async with subjects.this(place, far, tells_p3=False) as ours:
            await posting.post(ours.address, bodies.message(10), groups=incidents, count=incidents)
            await ours.settled()
        yield await _standing(place, far, incidents, scale, alertmanager_url="")
    for programs in list(alertmanagers().values())[:1]:
        async with subjects.theirs(programs, folder / "holding", far, group_wait="1h") as theirs:
            count = incidents
            await posting.post(theirs.address, bodies.alerts(10), groups=incidents, count=count)
            url = theirs.address.removesuffix("/api/v2/alerts")
            yield await _standing(place, far, incidents, scale, alertmanager_url=url)


async def _standing(
    place: Path, far: subjects.FarEnds, incidents: int, scale: Scale, *, alertmanager_url: str
) -> Standing:
    began = time.monotonic()
    async with subjects.this(place, far, alertmanager_url=alertmanager_url, tells_p3=False) as ours:
        ready_seconds = time.monotonic() - began
        await ours.settled()
        worked = ours.cpu_seconds()
        # Other values than those of the run before in this place: what changes nothing costs less. And fewer at once
        # than there are incidents, so that no two of one incident share a commit.
        await posting.post(
            ours.address,
            bodies.message(10),
            groups=incidents,
            connections=8,
            first=incidents * (2 if alertmanager_url else 1) + scale.costed,
            count=scale.costed,
        )
        cpu_seconds = (ours.cpu_seconds() - worked) / scale.costed
        return Standing(
            open_alerts=incidents * 10,
            resync=bool(alertmanager_url),
            cpu_seconds=cpu_seconds,
            memory_bytes=ours.most_memory_bytes(),
            ready_seconds=ready_seconds,
        )
