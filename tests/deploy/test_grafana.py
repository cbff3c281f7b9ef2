"""The dashboards: everything they ask for exists, and Prometheus understands how they ask."""

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts
from tests.docs import reference

GRAFANA = parts.CHECKOUT / "deploy" / "grafana"
RULES = parts.CHECKOUT / "rules"
DASHBOARDS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (GRAFANA / "dashboards").glob("*.json")
}
NAMES = sorted(DASHBOARDS)
REVIEW_FIGURES = 8
# Series that neither this service nor a rule makes: Prometheus has them of every target.
OF_PROMETHEUS = {"up"}
_WORDS = {"by", "or", "and", "unless", "on", "ignoring", "le"}


def provisioned(kind: str) -> dict[str, Any]:
    (file,) = (GRAFANA / "provisioning" / kind).iterdir()
    read: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return read


def expressions(dashboard: dict[str, Any]) -> list[str]:
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def selected(expression: str) -> set[str]:
    """The names of the series that an expression selects."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"|\b(?:by|on|without|ignoring) \([^)]*\)", " ", expression)
    return {name for name in re.findall(r"\b[a-z_][a-z0-9_:]*\b(?!\s*\()", bare) if name not in _WORDS}


def recorded() -> set[str]:
    return {
        rule["record"]
        for file in RULES.glob("*.rules.yml")
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def served() -> Iterator[str]:
    for name, kind, *_ in reference.families():
        yield name
        if kind == "histogram":
            yield from (f"{name}_bucket", f"{name}_sum", f"{name}_count")


@pytest.mark.parametrize("name", NAMES)
def test_every_series_that_a_panel_asks_for_exists(name: str) -> None:
    known = {*recorded(), *served(), *OF_PROMETHEUS}
    asked = {series for expression in expressions(DASHBOARDS[name]) for series in selected(expression)}
    assert asked
    assert asked - known == set()


def test_the_review_shows_its_eight_figures_and_nothing_but_recorded_series() -> None:
    review = DASHBOARDS["review"]
    numbered = [panel["title"] for panel in review["panels"] if re.match(r"\d\. ", panel["title"])]
    assert [int(title[0]) for title in numbered] == list(range(1, REVIEW_FIGURES + 1))
    asked = {series for expression in expressions(review) for series in selected(expression)}
    assert asked <= recorded()
    text = (RULES / "review.rules.yml").read_text("utf-8").partition("The morning checklist")[0]
    figures = set(re.findall(r"record: (\S+)", text)) - {
        "service_le:http_request_duration_seconds_bucket:rate5m"
    }
    assert asked == figures, "that one is only a step to the second figure"


def test_the_service_is_shown_with_its_own_series() -> None:
    asked = {series for expression in expressions(DASHBOARDS["service"]) for series in selected(expression)}
    assert asked - OF_PROMETHEUS <= set(served())


@pytest.mark.real
@pytest.mark.parametrize("generation", parts.GENERATIONS)
def test_prometheus_understands_every_expression(generation: str, tmp_path: Path) -> None:
    here = parts.generation(generation)
    if here is None:
        pytest.skip(f"the {generation} generation is not here: `./dev parts` brings it")
    rules = [
        {"record": f"panel:{number}", "expr": in_grafana(expression)}
        for number, expression in enumerate(
            expression for name in NAMES for expression in expressions(DASHBOARDS[name])
        )
    ]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf-8")
    done = subprocess.run(
        [here.promtool, "check", "rules", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def in_grafana(expression: str) -> str:
    """An expression as Grafana sends it."""
    sent = expression.replace("$__rate_interval", "1m").replace("$cluster", ".*")
    assert "$" not in sent
    return sent


@pytest.mark.parametrize("name", NAMES)
def test_panels_have_a_place_of_their_own_and_the_datasource_that_is_provisioned(name: str) -> None:
    dashboard = DASHBOARDS[name]
    (prometheus,) = [one for one in provisioned("datasources")["datasources"] if one["type"] == "prometheus"]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {prometheus["uid"]}
    for one, other in combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        ), (one, other)


def test_the_links_of_alerts_find_the_dashboards() -> None:
    """Every `dashboard_url` searches for this word."""
    (query,) = {
        found
        for file in RULES.glob("*.rules.yml")
        for found in re.findall(r"dashboard_url: \S+\?query=(\S+)", file.read_text("utf-8"))
    }
    assert all(query in dashboard["title"] for dashboard in DASHBOARDS.values())
    assert len({dashboard["uid"] for dashboard in DASHBOARDS.values()}) == len(DASHBOARDS)


def test_the_set_up_is_the_manuals() -> None:
    datasources = {one["type"]: one["url"] for one in provisioned("datasources")["datasources"]}
    assert datasources == {"prometheus": "http://prometheus-svc:9090", "loki": "http://loki-svc:3100"}
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["type"] == "file"


def test_the_blackbox_exporter_has_the_module_that_prometheus_asks_for() -> None:
    blackbox = yaml.safe_load((parts.CHECKOUT / "deploy" / "blackbox.yml").read_text("utf-8"))
    prometheus = yaml.safe_load((parts.CHECKOUT / "deploy" / "prometheus.yml").read_text("utf-8"))
    (job,) = [job for job in prometheus["scrape_configs"] if job["job_name"] == "blackbox"]
    assert set(job["params"]["module"]) == set(blackbox["modules"])
    scrape = int(prometheus["global"]["scrape_timeout"].removesuffix("s"))
    for module in blackbox["modules"].values():
        assert module["prober"] == "http"
        assert int(module["timeout"].removesuffix("s")) < scrape
