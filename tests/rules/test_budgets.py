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
# A rate has to see its whole window before it is as high as the traffic.
WINDOW_SECONDS = {"DDoSAttack": 60}
PROMISE_SECONDS = 120

PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text("utf-8"))
ALERTMANAGER = yaml.safe_load((ROOT / "deploy" / "alertmanager.yml").read_text("utf-8"))
BESIDE = re.compile(r"Fault to page: (?P<parts>[a-z_]+ \d+(?: \+ [a-z_]+ \d+)*) = (?P<sum>\d+) s\.")

Rule = dict[str, Any]


def p1() -> list[tuple[Path, dict[str, Any], Rule]]:
    """Every P1 rule that goes through the service, with its file and its group."""
    return [
        (file, group, rule)
        for file in sorted((ROOT / "rules").glob("*.rules.yml"))
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("priority") == "P1" and "route" not in rule["labels"]
    ]


P1 = p1()
IDS = [f"{rule['alert']}-{number}" for number, (_, _, rule) in enumerate(P1)]


def group_wait_seconds(rule: Rule) -> float:
    """Of the route that takes the alert: none below the root names it, its priority or its severity."""
    for route in ALERTMANAGER["route"]["routes"]:
        for matcher in route["matchers"]:
            name, _, value = matcher.partition("=")
            assert name in ("alertname", "route"), f"{matcher}: this test has to learn how long it waits"
            assert value.strip('"') not in (rule["alert"], rule["labels"].get("route"))
    return mutations.seconds(ALERTMANAGER["route"]["group_wait"])


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
    allowed = ALLOWED_SECONDS.get((rule["alert"], rule["labels"]["service"]), USUAL_SECONDS)
    assert sum(hops(group, rule).values()) <= allowed <= PROMISE_SECONDS, file.name


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
