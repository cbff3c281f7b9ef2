"""Rules against the manual's table, `manual.yml` beside them: tier, threshold, waiting time, runbook, budget."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from routing import model, runbooks
from webhook import check_prometheus, config_faults, findings, ruledata, strictyaml

FILE = "manual.yml"

_DELIVERY_SECONDS = 10
"""From the message's receipt to PagerDuty's: the service's own promise."""

_COMPARISON = re.compile(
    r"(?P<operator>==|!=|>=|<=|>|<)\s*(?:bool\s+)?(?P<bound>[0-9.]+(?:e[0-9]+)?(?:\s*[*/]\s*[0-9.]+(?:e[0-9]+)?)*)"
)
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_:]*")
_NEEDED = ("alert", "tier", "thresholds", "for", "runbook")
_KNOWN = (*_NEEDED, "service", "key", "condition", "window", "budget", "window_in_budget", "section", "quote")
_DURATIONS = ("for", "budget", "window_in_budget")

Waits = Callable[[Mapping[str, str]], check_prometheus.Hop]
"""How long Alertmanager waits before it first tells of an alert with these labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the manual says of one alert.

    Attributes:
        service: only the rules with this label; "" for all others of the name and tier.
        thresholds: comparisons that each of its rules makes, like `> 10000`.
        budget: from fault to page; "" for what pages nobody within two minutes.
        window_in_budget: what the rule has to look at before it sees the fault.
    """

    line: int
    alert: str
    tier: str
    service: str
    thresholds: tuple[str, ...]
    wait: str
    runbook: str
    budget: str
    window_in_budget: str

    def is_about(self, rule: ruledata.Rule) -> bool:
        """Whether the rule is one of this row's, if no earlier row has it."""
        return (
            rule.name == self.alert
            and rule.labels.get("priority") == self.tier
            and self.service in ("", rule.labels.get("service"))
        )


def of_table(
    file: Path,
    document: strictyaml.Document,
    rules: Sequence[ruledata.Rule],
    *,
    intervals: check_prometheus.Intervals,
    waits: Waits,
) -> Iterator[findings.Finding]:
    """Everything in which the rules are not what the table says."""
    rows, faults = _rows(file, document)
    yield from faults
    recorded = {rule.name: rule.expression for rule in rules if not rule.is_alert}
    seen: set[int] = set()
    for rule in rules:
        if not rule.is_alert:
            continue
        row = next((row for row in rows if row.is_about(rule)), None)
        if row is None:
            text = f"{file} has no {rule.name} of {rule.labels.get('priority', 'no priority')}"
            yield findings.error(rule.file, rule.line(), f"{text}; write its row, or mend its priority")
            continue
        seen.add(row.line)
        for line, text in _differences(rule, row, _comparisons(rule.expression, recorded)):
            yield findings.error(rule.file, line, f"{rule.name}: {text} ({file}:{row.line})")
        if ruledata.is_duration(row.budget) and ruledata.is_duration(rule.wait):
            yield from _over_budget(file, rule, row, intervals, waits)
    for row in rows:
        if row.line not in seen:
            yield findings.error(
                file, row.line, f"no rule raises {row.alert} as a {row.tier}; write it, or take the row out"
            )


def _rows(file: Path, document: strictyaml.Document) -> tuple[list[Row], list[findings.Finding]]:
    rows: list[Row] = []
    faults: list[findings.Finding] = []
    entries = document.data.get("alerts") if isinstance(document.data, dict) else None
    if not isinstance(entries, list):
        faults.append(findings.error(file, 1, 'there is no list "alerts" in it'))
        return rows, faults
    for number, entry in enumerate(entries):
        line = document.place(("alerts", number)).line
        missing = [key for key in _NEEDED if not isinstance(entry, dict) or key not in entry]
        if missing:
            faults.append(findings.error(file, line, f"a row needs {', '.join(missing)}"))
            continue
        faults += [
            findings.error(file, document.place(("alerts", number, *path)).line, text)
            for path, text in _faults_of(entry)
        ]
        if str(entry["tier"]) in model.Priority.__members__:
            rows.append(_row(line, entry))
    return rows, faults


def _faults_of(entry: dict[str, Any]) -> Iterator[tuple[strictyaml.Path, str]]:
    for key, value in entry.items():
        if key not in _KNOWN:
            yield (key,), f'unknown key "{key}"{config_faults.did_you_mean(str(key), _KNOWN)}'
        elif key in _DURATIONS and not ruledata.is_duration(str(value)):
            yield (key,), f'{key} "{value}" is no duration; write one like 15s or 5m'
    if str(entry["tier"]) not in model.Priority.__members__:
        yield (
            ("tier",),
            f'tier "{entry["tier"]}" is none; write one of {", ".join(model.Priority.__members__)}',
        )
    elif entry["tier"] == model.Priority.P1.name and "budget" not in entry:
        yield (), f"{entry['alert']} is a P1 and has no budget, so nothing says how late it may page"
    for threshold in _thresholds(entry):
        if not _parsed(threshold):
            yield ("thresholds",), f'the threshold "{threshold}" is no comparison with a number, like > 10'


def _row(line: int, entry: dict[str, Any]) -> Row:
    return Row(
        line=line,
        alert=str(entry["alert"]),
        tier=str(entry["tier"]),
        service=str(entry.get("service", "")),
        thresholds=_thresholds(entry),
        wait=str(entry["for"]),
        runbook=str(entry["runbook"]),
        budget=str(entry.get("budget", "")),
        window_in_budget=str(entry.get("window_in_budget", "0s")),
    )


def _thresholds(entry: dict[str, Any]) -> tuple[str, ...]:
    found = entry["thresholds"]
    return tuple(map(str, found if isinstance(found, list) else [found]))


def _differences(
    rule: ruledata.Rule, row: Row, made: frozenset[tuple[str, float]]
) -> Iterator[tuple[int, str]]:
    for threshold in row.thresholds if rule.expression.strip() else ():
        if not _parsed(threshold) <= made:
            shown = ", ".join(f"{operator} {bound:.15g}" for operator, bound in sorted(made)) or "nothing"
            yield rule.line("expr"), f"the threshold is {threshold}, and it compares {shown}"
    if ruledata.is_duration(rule.wait) and ruledata.seconds(rule.wait) != ruledata.seconds(row.wait):
        yield rule.line("for"), f"its `for` is {row.wait}, and here it is {rule.wait}"
    page = runbooks.find({}, rule.annotations, {row.runbook})
    if page is None:
        yield (
            rule.line("annotations", "runbook_url"),
            f"its runbook is {row.runbook}; let runbook_url end in it",
        )


def _comparisons(expression: str, recorded: dict[str, str]) -> frozenset[tuple[str, float]]:
    """The comparisons with a number in an expression, and in what it reads of the recorded ones."""
    waiting, text, known = [expression], "", set[str]()
    while waiting:
        part = waiting.pop()
        text += f"{part}\n"
        new = {name for name in _NAME.findall(part) if name in recorded} - known
        known |= new
        waiting += [recorded[name] for name in sorted(new)]
    return _parsed(text)


def _parsed(text: str) -> frozenset[tuple[str, float]]:
    return frozenset((found["operator"], _product(found["bound"])) for found in _COMPARISON.finditer(text))


def _product(text: str) -> float:
    first, *rest = re.split(r"\s*([*/])\s*", text)
    factors = zip(rest[::2], map(float, rest[1::2]), strict=True)
    return math.prod([float(first), *(number if sign == "*" else 1 / number for sign, number in factors)])


def _over_budget(
    file: Path,
    rule: ruledata.Rule,
    row: Row,
    intervals: check_prometheus.Intervals,
    waits: Waits,
) -> Iterator[findings.Finding]:
    own = check_prometheus.Hop(seconds=ruledata.seconds(rule.interval))
    parts = {
        "scrape": intervals.scrape,
        "evaluation": own if rule.interval else intervals.evaluation,
        "window": check_prometheus.Hop(seconds=ruledata.seconds(row.window_in_budget)),
        "for": check_prometheus.Hop(seconds=ruledata.seconds(rule.wait)),
        "group_wait": waits({"alertname": rule.name, **rule.labels}),
        "delivery": check_prometheus.Hop(seconds=_DELIVERY_SECONDS),
    }
    spent, allowed = sum(hop.seconds for hop in parts.values()), ruledata.seconds(row.budget)
    if spent > allowed:
        hops = " + ".join(f"{name} {hop}" for name, hop in parts.items() if hop.seconds)
        yield findings.error(
            rule.file,
            rule.line(),
            f"{rule.name} pages {spent:g} s after its fault: {hops}; it may take {allowed:g} s ({file}:{row.line})",
        )
