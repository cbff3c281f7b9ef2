"""The rules hold in every generation of Prometheus, say what every alert must say, and know their version."""

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts

RULES = Path(__file__).resolve().parents[2] / "rules"
FILES = sorted(RULES.glob("*.rules.yml"))
PROMTOOL_TESTS = sorted((RULES / "tests").glob("*.test.yml"))
# The one source of the version. The rest repeats it, because Prometheus reads no other file.
VERSION = (RULES / "VERSION").read_text("utf-8").strip()

Rule = dict[str, Any]

P1 = {
    "ServiceDown",
    "DatabaseUnreachable",
    "DataCorruptionDetected",
    "UnauthorizedAccess",
    "MalwareDetected",
    "DDoSAttack",
    "CertificateExpiringSoon",
    "TelemetryMissing",
}
# A heartbeat is never shown to anybody, so it has no page of its own.
WITHOUT_PAGE = {"Watchdog"}

BUDGET = re.compile(r"Fault to page: (?P<parts>[a-z_]+ \d+(?: \+ [a-z_]+ \d+)*) = (?P<sum>\d+) s\.")
ENTRY = re.compile(r"^## (?P<version>\S+)\n(?P<body>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
DIGEST = re.compile(r"^Rules: sha256:(?P<digest>\w+)$", re.MULTILINE)


def groups(path: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = yaml.safe_load(path.read_text("utf-8"))["groups"]
    return loaded


def rules() -> Iterator[Rule]:
    for path in FILES:
        for group in groups(path):
            yield from group["rules"]


ALERTS = [rule for rule in rules() if "alert" in rule]


def seconds(duration: str) -> int:
    """The seconds of a Prometheus duration of one unit, which is all that our rules use."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def digest() -> str:
    """The digest of all rules, without the version that they repeat and without the layout of their expressions."""
    told: list[Any] = []
    for path in FILES:
        for group in groups(path):
            told.append([path.name, group["name"], group.get("interval")])
            for rule in group["rules"]:
                plain = {**rule, "expr": " ".join(str(rule["expr"]).split())}
                if rule.get("record") == "phantommesh_ruleset_info":
                    plain["labels"] = {}
                if "alert" in rule:
                    plain["annotations"] = {
                        name: text for name, text in rule["annotations"].items() if name != "ruleset_version"
                    }
                told.append(plain)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def entries() -> list[tuple[str, str]]:
    """The versions of rules/CHANGELOG.md, newest first, each with its text."""
    changelog = (RULES / "CHANGELOG.md").read_text("utf-8")
    return [(entry["version"], entry["body"]) for entry in ENTRY.finditer(changelog)]


def recorded(body: str) -> str:
    found = DIGEST.search(body)
    assert found is not None, "an entry of rules/CHANGELOG.md has no line `Rules: sha256:...`"
    return found["digest"]


def order(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


@pytest.fixture(params=parts.GENERATIONS)
def promtool(request: pytest.FixtureRequest) -> Path:
    found = parts.generation(request.param)
    if found is None:
        pytest.skip(f"the {request.param} generation is not here: `./dev parts` brings it")
    return found.promtool


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        # As many run as there are cores; each of them on all cores would only be in the others' way.
        env={**os.environ, "GOMAXPROCS": "1", "GOGC": "400"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A lint that only warns is a fault here.
    assert "FAILED" not in done.stdout + done.stderr, done.stdout + done.stderr


@pytest.mark.real
def test_the_files_load(promtool: Path) -> None:
    run(promtool, "check", "rules", *FILES)


@pytest.mark.real
def test_promtools_tests_pass(promtool: Path) -> None:
    # The longest first, so that no core waits long for the other.
    paths = sorted(PROMTOOL_TESTS, key=lambda path: path.stat().st_size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(run, promtool, "test", "rules", path) for path in paths]
    failures = [str(failure) for one in running if (failure := one.exception())]
    assert not failures, "\n".join(failures)


def test_every_p1_of_the_manual_has_its_alert() -> None:
    p1 = [rule for rule in ALERTS if rule["labels"]["priority"] == "P1"]
    assert {rule["alert"] for rule in p1 if "route" not in rule["labels"]} == P1


def test_what_is_about_the_pipeline_and_nothing_else_goes_past_the_service() -> None:
    natives = {rule["alert"] for rule in ALERTS if rule["labels"].get("route") == "native"}
    assert natives == {
        rule["alert"] for group in groups(RULES / "pipeline.rules.yml") for rule in group["rules"]
    }


def test_the_watchdog_is_no_page() -> None:
    watchdog = next(rule for rule in ALERTS if rule["alert"] == "Watchdog")
    assert (watchdog["labels"]["severity"], watchdog["labels"]["priority"]) == ("info", "P3")


def test_every_alert_is_shown_firing_and_silent_to_promtool() -> None:
    firing: set[str] = set()
    silent: set[str] = set()
    for path in PROMTOOL_TESTS:
        for case in yaml.safe_load(path.read_text("utf-8"))["tests"]:
            for expected in case.get("alert_rule_test", []):
                (firing if expected.get("exp_alerts") else silent).add(expected["alertname"])
    names = {rule["alert"] for rule in ALERTS}
    assert firing == names
    assert silent >= names - {"Watchdog"}


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_labels(rule: Rule) -> None:
    labels = rule["labels"]
    assert {"severity", "priority", "team", "service"} <= labels.keys()
    assert all(labels.values())
    assert labels["severity"] == {"P1": "critical", "P2": "warning", "P3": "info"}[labels["priority"]]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alerts_labels_hold_no_value_and_no_version(rule: Rule) -> None:
    for text in rule["labels"].values():
        assert "$value" not in text
        assert VERSION not in text


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_its_annotations(rule: Rule) -> None:
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "description", "runbook_url", "dashboard_url", "ruleset_version"}
    assert annotations["dashboard_url"].startswith("http://localhost:24541/")
    # The measured value is in every description; what takes no value has it as a constant.
    assert "$value" in annotations["description"] or "has had 0 targets" in annotations["description"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alerts_runbook_is_here(rule: Rule) -> None:
    base, _, name = rule["annotations"]["runbook_url"].rpartition("/")
    if rule["labels"].get("route") == "native":
        # The service that would serve the page may be the fault.
        assert base == "https://git.phantommesh.example.com/phantommesh-alerts/rules/runbooks"
        assert (RULES / "runbooks" / name).is_file()
    else:
        assert base == "https://alerts.phantommesh.example.com/runbooks"
        assert name == rule["alert"] or rule["alert"] in WITHOUT_PAGE
        assert (RULES / "runbooks" / f"{name}.md").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_budget_beside_an_alert_adds_up(path: Path) -> None:
    text = path.read_text("utf-8")
    paged = [
        rule
        for group in groups(path)
        for rule in group["rules"]
        if rule.get("labels", {}).get("priority") == "P1"
    ]
    budgets = list(BUDGET.finditer(text))
    assert len(budgets) == len(paged)
    for budget, rule in zip(budgets, paged, strict=True):
        spent = {
            name: int(amount) for name, amount in (part.split() for part in budget["parts"].split(" + "))
        }
        assert sum(spent.values()) == int(budget["sum"])
        assert spent["for"] == seconds(rule.get("for", "0s"))
        assert (spent["scrape"], spent["evaluation"]) == (15, 15)
        assert (spent["group_wait"], spent["delivery"]) == (5, 10)
        # Beyond the two minutes of the manual nothing may go.
        assert sum(spent.values()) <= 120


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.name != "ruleset.rules.yml"], ids=lambda p: p.name
)
def test_a_group_is_evaluated_as_often_as_its_budget_says(path: Path) -> None:
    assert [group["interval"] for group in groups(path)] == ["15s"] * len(groups(path))


def test_the_version_is_semantic() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


def test_every_alert_says_the_version() -> None:
    assert {rule["annotations"]["ruleset_version"] for rule in ALERTS} == {VERSION}


def test_prometheus_shows_the_version() -> None:
    told = [rule for rule in rules() if rule.get("record") == "phantommesh_ruleset_info"]
    assert [rule["labels"] for rule in told] == [{"version": VERSION}]


def test_the_changelogs_newest_entry_is_the_version() -> None:
    assert entries()[0][0] == VERSION


def test_a_changed_rule_has_a_new_version_and_a_changelog_line() -> None:
    _, newest = entries()[0]
    assert recorded(newest) == digest(), (
        "a rule changed: raise rules/VERSION and what repeats it, and give rules/CHANGELOG.md a new entry with"
        f" `Rules: sha256:{digest()}` (rules/README.md, 'To change a rule')"
    )
    assert re.search(r"^- \S", newest, re.MULTILINE), "the newest entry of rules/CHANGELOG.md says nothing"


def test_versions_only_rise_and_no_two_have_the_same_rules() -> None:
    versions = [order(version) for version, _ in entries()]
    assert versions == sorted(set(versions), reverse=True)
    digests = [recorded(body) for _, body in entries()]
    assert len(set(digests)) == len(digests)
