"""`check` is for files that are wrong, so nothing that stands in one may stop it. tests/cli has what it says."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from webhook import check, findings

CHECKOUT = Path(__file__).parents[2]
Place = tuple[str | int, ...]

WRONG: tuple[Any, ...] = (None, 5, "text", [1], {"a": ["b"]}, ["x", {"y": None}])

RULES = """
groups:
  - name: services
    interval: 15s
    rules:
      - record: service:up
        expr: up == 1
      - alert: ServiceDown
        expr: service:up == 0
        for: 15s
        labels: {severity: critical, priority: P1, team: sre, service: vpn-core, route: native}
        annotations: {summary: s, runbook_url: "https://alerts.example.com/runbooks/ServiceDown"}
"""
MANUAL = """
alerts:
  - {alert: ServiceDown, tier: P1, thresholds: ["== 0"], for: 15s, budget: 60s, runbook: ServiceDown}
"""
PROMETHEUS = """
global: {scrape_interval: 15s, evaluation_interval: 15s}
scrape_configs:
  - {job_name: a, scrape_interval: 15s}
"""
ALERTMANAGER = """
route:
  receiver: service
  group_by: [alertname, cluster, namespace, service]
  group_wait: 5s
  routes:
    - match: {alertname: Watchdog}
      continue: true
    - match_re: {team: s.e}
      mute_time_intervals: [night]
receivers:
  - name: service
    webhook_configs:
      - url: http://localhost:9095/webhook/alertmanager
inhibit_rules:
  - source_matchers: [alertname="ServiceDown"]
    target_match: {severity: warning}
    equal: [cluster]
"""
FILES = {
    "rules/services.rules.yml": RULES,
    "rules/manual.yml": MANUAL,
    "prometheus.yml": PROMETHEUS,
    "alertmanager.yml": ALERTMANAGER,
}


def places(data: Any, above: Place = ()) -> Iterator[Place]:
    """Where anything stands in a document."""
    yield above
    below = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in below:
        yield from places(value, (*above, key))


def replaced(data: Any, place: Place, value: Any) -> Any:
    """The document with something else at a place."""
    if not place:
        return value
    changed = copy.deepcopy(data)
    parent = changed
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    return changed


def found(folder: Path) -> list[findings.Finding]:
    return check.everything(
        config_file=None,
        rules_folder=folder / "rules",
        alertmanager_file=folder / "alertmanager.yml",
        prometheus_file=folder / "prometheus.yml",
        environ={},
    )


@pytest.mark.parametrize("name", FILES)
def test_whatever_stands_anywhere_in_a_file_is_a_finding_and_no_failure(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules" / "runbooks").mkdir(parents=True)
    (tmp_path / "rules" / "runbooks" / "ServiceDown.md").write_text("# ServiceDown\n", "utf-8")
    for other, text in FILES.items():
        (tmp_path / other).write_text(text, "utf-8")
    right = yaml.safe_load(FILES[name])
    for place in places(right):
        for wrong in WRONG:
            (tmp_path / name).write_text(yaml.safe_dump(replaced(right, place, wrong)), "utf-8")
            assert found(tmp_path), (place, wrong)
