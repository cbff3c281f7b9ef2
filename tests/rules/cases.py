"""The promtool tests one by one, each run against as few of the rules as it needs: what a mutant costs."""

import copy
import functools
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rules import mutations, promql

Document = dict[str, Any]
_SLOWEST_SECONDS = 120
# Reads JSON fast, and JSON is YAML.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


_NOT_LOADED = re.compile(r"could not parse expression|error parsing|cannot unmarshal|not a valid duration")


class TestsFail(Exception):
    """A test of promtool fails without any mutant, so it can judge none."""


class NotLoaded(Exception):
    """The mutant is no rule any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One entry of `tests:` of a test file.

    Attributes:
        rule_files: the names of the rule files that it loads.
        document: a test file of its own, with this one test.
        cost: evaluations, a guess at how long it takes.
        words: its whole text, to see which alerts and series it is about.
        expects: whether it states an alert with its labels and annotations in full.
    """

    file: str
    name: str
    rule_files: tuple[str, ...]
    document: str
    cost: float
    words: str
    expects: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rule files by name, as loaded."""

    files: dict[str, Document]

    def rule(self, place: mutations.Place) -> mutations.Rule:
        found: mutations.Rule = self.files[place.file]["groups"][place.group]["rules"][place.rule]
        return found

    def places(self, files: tuple[str, ...]) -> Iterator[mutations.Place]:
        for file in files:
            for number, group in enumerate(self.files[file]["groups"]):
                for position in range(len(group["rules"])):
                    yield mutations.Place(file=file, group=number, rule=position)

    def around(self, place: mutations.Place, files: tuple[str, ...]) -> frozenset[mutations.Place]:
        """The rule, all that hear of it, and all that those read."""
        there = list(self.places(files))
        made = {one: _made(self.rule(one)) for one in there}
        read = {one: _read(self.rule(one)) for one in there}
        found = {place}
        _grow(found, lambda new, old: bool(read[new] & made[old]), there)
        _grow(found, lambda new, old: bool(made[new] & read[old]), there)
        return frozenset(found)


def rule_set(folder: Path) -> RuleSet:
    """Load the rules of a folder."""
    files = sorted(folder.glob("*.rules.yml"))
    return RuleSet(files={file.name: yaml.load(file.read_text("utf-8"), _Loader) for file in files})


def all_cases(folder: Path) -> list[Case]:
    """Every test of the `*.test.yml` of a folder."""
    return [case for file in sorted(folder.glob("*.test.yml")) for case in _of_file(file)]


def _of_file(file: Path) -> Iterator[Case]:
    document: Document = yaml.load(file.read_text("utf-8"), _Loader)
    step = mutations.seconds(document.get("evaluation_interval", "1m"))
    named = tuple(
        found.name for pattern in document["rule_files"] for found in sorted(file.parent.glob(pattern))
    )
    for position, test in enumerate(document["tests"], start=1):
        checks = [*test.get("alert_rule_test", []), *test.get("promql_expr_test", [])]
        furthest = max(mutations.seconds(str(check["eval_time"])) for check in checks)
        yield Case(
            file=file.name,
            name=test.get("name", f"test {position}"),
            rule_files=named,
            document=json.dumps({**document, "rule_files": ["*.rules.yml"], "tests": [test]}),
            cost=furthest / step,
            words=json.dumps(test),
            expects=any(check.get("exp_alerts") for check in checks),
        )


def _grow(found: set[mutations.Place], joins: Any, there: list[mutations.Place]) -> None:
    new = set(found)
    while new:
        new = {one for one in there if one not in found and any(joins(one, old) for old in new)}
        found |= new


def _made(rule: mutations.Rule) -> frozenset[str]:
    return frozenset([rule["record"]] if "record" in rule else [f"ALERTS {rule['alert']}", "ALERTS"])


def _read(rule: mutations.Rule) -> frozenset[str]:
    text = str(rule["expr"])
    found = promql.parts(text)
    names = {selector.text for selector in found.selectors}
    told = {
        f"ALERTS {name}"
        for name in re.findall(r'alertname=~?"([^"]*)"', text)
        for name in name.split("|")
    }  # fmt: skip
    if "ALERTS" in names and told:
        names.remove("ALERTS")
    if "ALERTS{" in json.dumps(rule.get("annotations", {})):
        names.add("ALERTS")
    return frozenset(names | told)


class Judge:
    """Runs cases with promtool, and remembers how they end without a mutant."""

    def __init__(self, promtool: Path, rules: RuleSet) -> None:
        self._promtool = promtool
        self._rules = rules
        self._passes = functools.cache(self._passes_unchanged)
        self.runs = 0

    def kills(self, case: Case, mutant: mutations.Mutant) -> bool:
        """Whether the case fails because of the mutant.

        Raises:
            TestsFail: it fails without it too.
            NotLoaded: Prometheus would not load the mutant.
        """
        few = self._around(mutant.place, case.rule_files)
        changed = {mutant.place: mutant.rule}
        told = self.output(case, few, changed)
        if told is None:
            return False
        if _NOT_LOADED.search(told):
            raise NotLoaded(told)
        if self._passes(case, few):
            return True
        # The case states more than these few rules say: with all of them, then.
        everything = frozenset(self._rules.places(case.rule_files))
        if not self._passes(case, everything):
            raise TestsFail(f"{case.file}: {case.name}")
        return self.output(case, everything, changed) is not None

    def output(
        self,
        case: Case,
        places: frozenset[mutations.Place],
        changed: dict[mutations.Place, mutations.Rule],
    ) -> str | None:
        """What promtool says where the case fails; None where it passes."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as name:
            folder = Path(name)
            for file in case.rule_files:
                content = json.dumps(self._chosen(file, places, changed))
                (folder / file).write_text(content, "utf-8")
            (folder / "case.test.yml").write_text(case.document, "utf-8")
            done = subprocess.run(
                [self._promtool, "test", "rules", folder / "case.test.yml"],
                capture_output=True,
                text=True,
                timeout=_SLOWEST_SECONDS,
                check=False,
                # One mutant a core is faster than one on two.
                env={**os.environ, "GOMAXPROCS": "1", "GOGC": "400", "TMPDIR": name},
            )
        self.runs += 1
        return None if done.returncode == 0 else done.stdout + done.stderr

    @functools.cache  # noqa: B019 - one judge lives as long as the program
    def _around(self, place: mutations.Place, files: tuple[str, ...]) -> frozenset[mutations.Place]:
        return self._rules.around(place, files)

    def _passes_unchanged(self, case: Case, places: frozenset[mutations.Place]) -> bool:
        return self.output(case, places, {}) is None

    def _chosen(
        self,
        file: str,
        places: frozenset[mutations.Place],
        changed: dict[mutations.Place, mutations.Rule],
    ) -> Document:
        document = copy.copy(self._rules.files[file])
        document["groups"] = [
            {
                **group,
                "rules": [
                    changed.get(place, rule)
                    for position, rule in enumerate(group["rules"])
                    if (place := mutations.Place(file=file, group=number, rule=position)) in places
                ],
            }
            for number, group in enumerate(document["groups"])
        ]
        return document
