"""The promtool tests one by one, and the rules, of which each test needs few: what the hunt for mutants works with."""

import functools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rules import mutations, promql

Document = dict[str, Any]
# Reads JSON fast, and JSON is YAML.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One entry of `tests:` of a test file.

    Attributes:
        rule_files: the names of the rule files that it loads.
        document: a test file of its own, with this one test.
        moments: the seconds at which it looks, rising.
        cost: a guess at how long it takes, of no unit.
        words: its whole text, to see which alerts and series it is about.
        expects: whether it states an alert with its labels and annotations in full.
    """

    file: str
    name: str
    rule_files: tuple[str, ...]
    document: str
    moments: tuple[float, ...]
    cost: float
    words: str
    expects: bool

    def at(self, moment: float) -> "Case":
        """The same case with one of its moments and nothing after that, which is how much promtool then evaluates."""
        return _at(self, moment)


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


@functools.cache
def rule_set(folder: Path) -> RuleSet:
    """Load the rules of a folder."""
    files = sorted(folder.glob("*.rules.yml"))
    return RuleSet(files={file.name: yaml.load(file.read_text("utf-8"), _Loader) for file in files})


@functools.cache
def all_cases(folder: Path) -> tuple[Case, ...]:
    """Every test of the `*.test.yml` of a folder."""
    return tuple(case for file in sorted(folder.glob("*.test.yml")) for case in _of_file(file))


def _of_file(file: Path) -> Iterator[Case]:
    document: Document = yaml.load(file.read_text("utf-8"), _Loader)
    step = mutations.seconds(document.get("evaluation_interval", "1m"))
    named = tuple(
        found.name for pattern in document["rule_files"] for found in sorted(file.parent.glob(pattern))
    )
    for position, test in enumerate(document["tests"], start=1):
        moments = tuple(sorted({_moment(check) for kind in _CHECKS for check in test.get(kind, [])}))
        yield Case(
            file=file.name,
            name=test.get("name", f"test {position}"),
            rule_files=named,
            document=json.dumps({**document, "rule_files": ["*.rules.yml"], "tests": [test]}),
            moments=moments,
            cost=moments[-1] / step * (10 + len(test.get("input_series", []))),
            words=json.dumps(test),
            expects=any(check.get("exp_alerts") for check in test.get("alert_rule_test", [])),
        )


_CHECKS = ("alert_rule_test", "promql_expr_test")


def _moment(check: Document) -> float:
    return mutations.seconds(str(check["eval_time"]))


@functools.cache
def _at(case: Case, moment: float) -> Case:
    document: Document = json.loads(case.document)
    test = document["tests"][0]
    for kind in _CHECKS:
        test[kind] = [check for check in test.get(kind, []) if _moment(check) == moment]
    return Case(
        file=case.file,
        name=case.name,
        rule_files=case.rule_files,
        document=json.dumps(document),
        moments=(moment,),
        cost=case.cost * moment / max(case.moments[-1], 1),
        words=case.words,
        expects=case.expects,
    )


def _grow(
    found: set[mutations.Place],
    joins: Callable[[mutations.Place, mutations.Place], bool],
    there: list[mutations.Place],
) -> None:
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
