"""From fault to page: each P1's hops, added up from the files that decide them, against what the contract allows."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules import mutations

ROOT = Path(__file__).resolve().parents[2]
DELIVERY_SECONDS = 10

# The contract's: 60 s, and the exceptions that it names. By alert and service.
ALLOWED_SECONDS = {
    ("ServiceDown", "public-url"): 75,
    ("DDoSAttack", "ingress-nginx"): 120,
    ("TelemetryMissing", "{{ $labels.job }}"): 105,
}
USUAL_SECONDS = 60
# A rate has to see its whole window before it is as high as the traffic; what is late has to be late first.
WINDOW_SECONDS = {"DDoSAttack": 60, "AlertsPageDelayed": 60}
PROMISE_SECONDS = 120

PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text("utf-8"))
ALERTMANAGER = yaml.safe_load((ROOT / "deploy" / "alertmanager.yml").read_text("utf-8"))
BESIDE = re.compile(r"Fault to page: (?P<parts>[a-z_]+ \d+(?: \+ [a-z_]+ \d+)*) = (?P<sum>\d+) s\.")

Rule = dict[str, Any]


def p1() -> list[tuple[Path, dict[str, Any], Rule]]:
    """Every P1 rule, with its file and its group."""
    return [
        (file, group, rule)
        for file in sorted((ROOT / "rules").glob("*.rules.yml"))
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("priority") == "P1"
    ]


P1 = p1()
IDS = [f"{rule['alert']}-{number}" for number, (_, _, rule) in enumerate(P1)]


def group_wait_seconds(rule: Rule) -> float:
    """Of the route that takes the alert: the first below the root that matches, else the root."""
    root = ALERTMANAGER["route"]
    labels = {"alertname": rule["alert"], **rule["labels"]}
    for route in root["routes"]:
        assert "routes" not in route, "this test has to learn about routes below routes"
        wanted = dict(re.findall(r'^(\w+)="(.*)"$', "\n".join(route["matchers"]), re.MULTILINE))
        assert len(wanted) == len(route["matchers"]), "this test has to learn about other matchers"
        if wanted.items() <= labels.items():
            return mutations.seconds(route.get("group_wait", root["group_wait"]))
    return mutations.seconds(root["group_wait"])


def allowed_seconds(rule: Rule) -> int:
    """The contract leaves what is about the pipeline itself, and goes past the service, to its own promise."""
    if rule["labels"].get("route") == "native":
        return PROMISE_SECONDS
    return ALLOWED_SECONDS.get((rule["alert"], rule["labels"]["service"]), USUAL_SECONDS)


def hops(group: dict[str, Any], rule: Rule) -> dict[str, float]:
    general = PROMETHEUS["global"]
    found = {
        "scrape": mutations.seconds(general["scrape_interval"]),
        "evaluation": mutations.seconds(group.get("interval", general["evaluation_interval"])),
        "window": WINDOW_SECONDS.get(rule["alert"], 0),
        "for": mutations.seconds(rule.get("for", "0s")),
        "group_wait": group_wait_seconds(rule),
        "delivery": DELIVERY_SECONDS,
    }
    return {name: amount for name, amount in found.items() if amount or name == "for"}


@pytest.mark.parametrize(("file", "group", "rule"), P1, ids=IDS)
def test_a_p1_pages_within_what_the_contract_allows(file: Path, group: dict[str, Any], rule: Rule) -> None:
    assert sum(hops(group, rule).values()) <= allowed_seconds(rule) <= PROMISE_SECONDS, file.name


@pytest.mark.parametrize("file", sorted({file for file, _, _ in P1}), ids=lambda file: file.name)
def test_the_comment_beside_a_p1_is_the_sum_of_the_files(file: Path) -> None:
    written = [
        {name: float(amount) for name, amount in (part.split() for part in found["parts"].split(" + "))}
        for found in BESIDE.finditer(file.read_text("utf-8"))
    ]
    assert written == [hops(group, rule) for where, group, rule in P1 if where == file]
    sums = [float(found["sum"]) for found in BESIDE.finditer(file.read_text("utf-8"))]
    assert sums == [sum(parts.values()) for parts in written]


def test_no_job_is_scraped_more_slowly_than_the_budgets_say() -> None:
    assert [job["job_name"] for job in PROMETHEUS["scrape_configs"] if "scrape_interval" in job] == []


def test_the_manuals_table_allows_what_the_contract_allows() -> None:
    rows = yaml.safe_load((ROOT / "rules" / "manual.yml").read_text("utf-8"))["alerts"]
    for _, group, rule in P1:
        row = next(
            row
            for row in rows
            if (row["alert"], row["tier"]) == (rule["alert"], "P1")
            and row.get("service", rule["labels"]["service"]) == rule["labels"]["service"]
        )
        assert mutations.seconds(row["budget"]) == sum(hops(group, rule).values())
