"""`./dev bench`: what this service does beside its limits and beside Alertmanager, as a table and a picture."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks import measures, report, subjects


class Part(NamedTuple):
    """A measurement, where its figures are kept, and how one of them is said."""

    measure: Callable[[Path, subjects.FarEnds, measures.Scale], AsyncIterator[Any]]
    found: list[Any]
    line: Callable[[Any], str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="show in seconds that all of it runs; its figures say nothing"
    )
    parser.add_argument(
        "--only", choices=report.PARTS, action="append", help="measure only this; nothing is written"
    )
    chosen = parser.parse_args()
    scale = measures.QUICK if chosen.quick else measures.Scale()
    found = asyncio.run(_measure(scale, chosen.only or report.PARTS))
    if not chosen.quick and not chosen.only:
        report.keep(found)
    return 0


async def _measure(scale: measures.Scale, wanted: Sequence[str]) -> report.Found:
    found = report.Found()
    parts: Mapping[str, Part] = {
        "rates": Part(measures.rates, found.rates, report.rate_line),
        "accepting": Part(
            lambda *given: measures.accepting(*given, rate=found.half_rate()),
            found.accepting,
            report.latency_line,
        ),
        "paging": Part(measures.paging, found.paging, report.latency_line),
        "storm": Part(measures.storm, found.storm, report.latency_line),
        "standing": Part(measures.standing, found.standing, report.standing_line),
    }
    for name in wanted:
        print(f"\n{report.TITLES[name]}", flush=True)
        part = parts[name]
        with tempfile.TemporaryDirectory(prefix="phantommesh-bench-") as folder:
            async with subjects.far_ends() as far:
                async for figure in part.measure(Path(folder), far, scale):
                    part.found.append(figure)
                    print(part.line(figure), flush=True)
    print("\n" + report.verdicts(found), flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
