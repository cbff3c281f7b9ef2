"""How often Prometheus looks: the first two hops from fault to page."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook import config_faults, findings, ruledata, strictyaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A part of the time from fault to page.

    Attributes:
        place: FILE:LINE that makes it longer than it is as shipped; "" where nothing does.
    """

    seconds: float
    place: str = ""

    def __str__(self) -> str:
        """The seconds, and where to change them."""
        return f"{self.seconds:g} ({self.place})" if self.place else f"{self.seconds:g}"

    def moved(self, seconds: float, place: str) -> "Hop":
        """The same part where another file decides it."""
        return Hop(seconds=seconds, place=place if seconds > self.seconds else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Between two scrapes of a target, and between two evaluations of a group that says nothing else."""

    scrape: Hop
    evaluation: Hop


SHIPPED = Intervals(scrape=Hop(seconds=15), evaluation=Hop(seconds=15))
"""Of deploy/prometheus.yml."""

_DEFAULT = "1m"
"""Prometheus' own, for both."""


_NAMES = ("scrape_interval", "evaluation_interval")


def intervals(file: Path, document: strictyaml.Document) -> Intervals:
    """Of a prometheus.yml: the slowest scrape that any job has."""
    written = {path: str(config_faults.value_at(document.data, path)) for path in _written(document)}

    def hop(shipped: Hop, *paths: strictyaml.Path) -> Hop:
        seconds = {path: ruledata.seconds(written.get(path, _DEFAULT)) for path in paths}
        slowest = max(seconds, key=lambda path: seconds[path])
        line = document.place(slowest).line if slowest in written else 1
        return shipped.moved(seconds[slowest], f"{file}:{line}")

    own = [path for path in written if path[0] == "scrape_configs"]
    jobs = [path for path in document.values if path[:1] == ("scrape_configs",) and len(path) == 2]  # noqa: PLR2004 - a list's items
    general = [("global", "scrape_interval")] if len(own) < len(jobs) or not jobs else []
    return Intervals(
        scrape=hop(SHIPPED.scrape, *general, *own),
        evaluation=hop(SHIPPED.evaluation, ("global", "evaluation_interval")),
    )


def of_document(file: Path, document: strictyaml.Document) -> Iterator[findings.Finding]:
    """Intervals that Prometheus cannot read."""
    for path in _written(document):
        if not ruledata.is_duration(str(config_faults.value_at(document.data, path))):
            line = document.place(path).line
            yield findings.error(file, line, f"{path[-1]} is no duration; write one like 15s or 1m")


def _written(document: strictyaml.Document) -> list[strictyaml.Path]:
    found: list[strictyaml.Path] = []
    for path in document.values:
        match path:
            case ("global", str() as name) if name in _NAMES:
                found.append(path)
            case ("scrape_configs", int(), "scrape_interval"):
                found.append(path)
    return found
