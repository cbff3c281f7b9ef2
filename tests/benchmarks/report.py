"""The figures as lines of a terminal, as a table of the README, and what the bars say to them."""

import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests import parts
from tests.benchmarks import drawing, measures

TITLES = {
    "rates": "Accepted notifications a second, 32 connections",
    "accepting": "From the post to the 200, at half of the highest rate with one alert",
    "paging": "From the post of a P1 to PagerDuty, 20 a second",
    "storm": "From the post of a P1 to PagerDuty, behind a storm",
    "standing": "With many open alerts",
}
PARTS = tuple(TITLES)

_README = parts.CHECKOUT / "README.md"
_PICTURE = parts.CHECKOUT / "deploy" / "benchmarks.svg"
_BEGIN, _END = "<!-- by ./dev bench -->\n", "<!-- end -->\n"
_ASSUMED_RATE = 2_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All figures of a run."""

    rates: list[measures.Rate] = field(default_factory=list)
    accepting: list[measures.Latency] = field(default_factory=list)
    paging: list[measures.Latency] = field(default_factory=list)
    storm: list[measures.Latency] = field(default_factory=list)
    standing: list[measures.Standing] = field(default_factory=list)

    def rate(self, subject: str, alerts: int) -> float | None:
        return next((one.rate for one in self.rates if (one.subject, one.alerts) == (subject, alerts)), None)

    def half_rate(self) -> float:
        """Half of our highest rate with one alert; a modest one where that was not measured."""
        ours = self.rate(measures.OURS, 1)
        return ours / 2 if ours else _ASSUMED_RATE


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms"


def rate_line(rate: measures.Rate) -> str:
    return (
        f"  {rate.subject:18} {rate.alerts:4} alerts {rate.rate:10,.0f}/s   "
        f"{rate.cpu_seconds * 1e6:7,.0f} us of CPU each   the load worked {rate.load_busy:.0%} of the time"
    )


def latency_line(latency: measures.Latency) -> str:
    return (
        f"  {latency.subject:18} p50 {milliseconds(latency.p50_seconds):>12}"
        f"   p99 {milliseconds(latency.p99_seconds):>12}"
    )


def standing_line(standing: measures.Standing) -> str:
    return (
        f"  {standing.open_alerts:8,} open{', resync' if standing.resync else '':8}"
        f" {standing.cpu_seconds * 1e6:7,.0f} us of CPU a notification of 10"
        f"   {standing.memory_bytes / 1e6:6,.0f} MB   ready in {standing.ready_seconds:.2f} s"
    )


def verdicts(found: Found) -> str:
    """Each bar, and whether this run held it."""
    return "\n".join(f"  {'held  ' if held else 'MISSED'}  {bar}" for bar, held in _bars(found))


def _bars(found: Found) -> Iterator[tuple[str, bool]]:
    for alerts in (10, 100):
        ours = found.rate(measures.OURS, alerts)
        others = [rate for name in measures.alertmanagers() if (rate := found.rate(name, alerts)) is not None]
        if ours and others:
            yield (
                f"{alerts} alerts: ahead of Alertmanager: {ours / max(others):.2f} times",
                ours > max(others),
            )
    ours, raw = found.rate(measures.OURS, 1), found.rate(measures.RAW, 1)
    if ours and raw:
        yield f"1 alert: at least 40 % of raw and durable: {ours / raw:.0%}", ours >= 0.4 * raw
    accepting = {one.subject: one for one in found.accepting}
    if accepting:
        ratio = accepting[measures.OURS].p99_seconds / accepting[measures.BARE].p99_seconds
        yield f"accept p99 at most 3 times the bare handler's: {ratio:.1f} times", ratio <= 3
    paging = {one.subject: one for one in found.paging}
    for name in [name for name in paging if name != measures.OURS]:
        half = paging[measures.OURS].p50_seconds / paging[name].p50_seconds
        late = paging[measures.OURS].p99_seconds / paging[name].p99_seconds
        yield f"paged p50 at most 2 times that of {name}: {half:.1f} times", half <= 2
        yield f"paged p99 no worse than that of {name}: {late:.1f} times", late <= 1
    if len(found.storm) == 2:
        idle, behind = (one.p50_seconds for one in found.storm)
        slower = f"{milliseconds(idle)} and {milliseconds(behind)}"
        yield f"a P1 behind the storm within 1.5 times idle and 250 ms: {slower}", behind <= 1.5 * idle + 0.25
    for many in found.standing[1:]:
        few, words = found.standing[0], f"{many.open_alerts:,} open{' and resync' if many.resync else ''}"
        ratio = many.cpu_seconds / few.cpu_seconds
        yield f"{words}: cost at most 1.3 times that at {few.open_alerts}: {ratio:.2f} times", ratio <= 1.3
        yield f"{words}: below 400 MB: {many.memory_bytes / 1e6:.0f} MB", many.memory_bytes < 400e6
        yield f"{words}: ready within 2 s: {many.ready_seconds:.2f} s", many.ready_seconds <= 2


def machine() -> str:
    """The machine and the day, in words."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    return (
        f"{datetime.now(UTC).date().isoformat()}, {cores} cores of {model[1] if model else platform.machine()}, "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    )


def keep(found: Found) -> None:
    """Write the README's table and the picture."""
    where = machine()
    _PICTURE.write_text(drawing.svg(found.rates, measured_on=where), encoding="utf-8")
    text = _README.read_text(encoding="utf-8")
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    _README.write_text(f"{before}{_BEGIN}\n{_table(found, where)}\n{_END}{after}", encoding="utf-8")
    print(f"\nWritten: {_README.name} and {_PICTURE.relative_to(parts.CHECKOUT)}, measured on {where}.")


def _table(found: Found, where: str) -> str:
    names = list(dict.fromkeys(rate.subject for rate in found.rates))
    lines = [
        f"![Notifications accepted a second, this service beside Alertmanager]({_PICTURE.relative_to(parts.CHECKOUT)})",
        "",
        f"Measured {where}, everything on this one machine.",
        "",
        "| accepted a second, 32 connections | 1 alert | 10 alerts | 100 alerts |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | "
            + " | ".join(f"{found.rate(name, alerts) or 0:,.0f}" for alerts in measures.SIZES)
            + " |"
            for name in names
        ),
        "",
        "| latency | p50 | p99 |",
        "| --- | --- | --- |",
        *_latency_rows(f"200 at {found.half_rate():,.0f} notifications a second", found.accepting),
        *_latency_rows("P1 to PagerDuty, 20 a second", found.paging),
        *_latency_rows("P1 to PagerDuty", found.storm),
        "",
        "| open alerts | CPU a notification of 10 alerts | memory at most | ready after |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one.open_alerts:,}{', with `ALERTMANAGER_URL`' if one.resync else ''} "
            f"| {milliseconds(one.cpu_seconds)} | {one.memory_bytes / 1e6:,.0f} MB | {one.ready_seconds:.1f} s |"
            for one in found.standing
        ),
        "",
    ]
    return "\n".join(lines)


def _latency_rows(what: str, latencies: list[measures.Latency]) -> Iterator[str]:
    for one in latencies:
        yield (
            f"| {what}: {one.subject} | {milliseconds(one.p50_seconds)} | {milliseconds(one.p99_seconds)} |"
        )
