"""How often Prometheus looks: the first two hops from fault to page."""

from dataclasses import dataclass

from webhook import ruledata, strictyaml


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Seconds between two scrapes of a target, and between two evaluations of a group that says nothing else."""

    scrape_seconds: float
    evaluation_seconds: float


SHIPPED = Intervals(scrape_seconds=15, evaluation_seconds=15)
"""Of deploy/prometheus.yml."""

_DEFAULT = "1m"
"""Prometheus' own, for both."""


def intervals(document: strictyaml.Document) -> Intervals:
    """Of a prometheus.yml: the slowest scrape that any job has."""
    match document.data:
        case dict() as settings:
            pass
        case _:
            settings = {}
    general = settings.get("global")
    general = general if isinstance(general, dict) else {}
    jobs = settings.get("scrape_configs")
    scrapes = [str(general.get("scrape_interval", _DEFAULT))]
    scrapes += [
        str(job["scrape_interval"])
        for job in (jobs if isinstance(jobs, list) else ())
        if isinstance(job, dict) and "scrape_interval" in job
    ]
    return Intervals(
        scrape_seconds=max(map(ruledata.seconds, scrapes)),
        evaluation_seconds=ruledata.seconds(str(general.get("evaluation_interval", _DEFAULT))),
    )
