"""Every small change to a rule that a test has to notice.

A number moves by one where it is small, by 2 % else; a duration by one evaluation where it is a `for`, by a fifth else.
So a test that only looks far beyond a threshold does not pass for one that knows it.
"""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.rules import promql

Rule = dict[str, Any]
Key = tuple[str, str, str]
Edit = tuple[int, int, str]
"""What stands between these offsets becomes this text."""

_COMPARISONS = {
    "==": ("!=",),
    "!=": ("==",),
    ">": (">=", "<"),
    "<": ("<=", ">"),
    ">=": (">", "<"),
    "<=": ("<", ">"),
}
_ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/"}
_MATCHING = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_CALLS = {
    "sum": "max",
    "max": "min",
    "min": "max",
    "avg": "max",
    "count": "sum",
    "rate": "increase",
    "increase": "rate",
    "max_over_time": "min_over_time",
    "min_over_time": "max_over_time",
    "avg_over_time": "max_over_time",
    "last_over_time": "max_over_time",
    "quantile_over_time": "max_over_time",
    "round": "ceil",
    "changes": "increase",
    "resets": "changes",
}
_SEVERITIES = {"critical": "warning", "warning": "info", "info": "warning"}
_PRIORITIES = {"P1": "P2", "P2": "P3", "P3": "P2"}
_SMALL = 50
_EVALUATION_SECONDS = 15
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which rule: the file's name, and the positions of the group and of the rule in it."""

    file: str
    group: int
    rule: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One changed rule.

    Attributes:
        name: of the alert, or what is recorded.
        change: says it all, without a line number, so that it names the mutant for good.
    """

    place: Place
    line: int
    name: str
    change: str
    rule: Rule

    @property
    def key(self) -> Key:
        """What names it for good: the file, the rule, the change."""
        return self.place.file, self.name, self.change

    def __str__(self) -> str:
        """As `file:line: name: change`."""
        return f"rules/{self.place.file}:{self.line}: {self.name}: {self.change}"


def of_file(path: Path) -> Iterator[Mutant]:
    """All mutants of a rule file, but those of the texts of annotations, which are judged together."""
    for place, node, rule in _rules_of(path):
        yield from _of_rule(place, node, rule)


def annotations_of(path: Path) -> Iterator[tuple[Place, int, Rule, str]]:
    """Every annotation of every alert of a rule file: where it is, its line, the rule and the annotation's name."""
    for place, node, rule in _rules_of(path):
        for key in rule.get("annotations", {}):
            yield place, _value(_value(node, "annotations"), key).start_mark.line + 1, rule, key


def pieces(template: str) -> Iterator[tuple[str, bool]]:
    """A template's pieces in order, each with whether it only controls which others are shown."""
    for piece in re.split(r"(\{\{.*?\}\})", template):
        yield piece, re.match(r"\{\{-? *(if|else|end|with|range)\b", piece) is not None


def _rules_of(path: Path) -> Iterator[tuple[Place, yaml.MappingNode, Rule]]:
    root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    assert root is not None
    for number, group in enumerate(_value(root, "groups").value):
        for position, node in enumerate(_value(group, "rules").value):
            rule: Rule = yaml.safe_load(yaml.serialize(node))
            yield Place(file=path.name, group=number, rule=position), node, rule


def seconds(duration: str) -> float:
    """The seconds of a Prometheus duration, `1h30m` as well as `15s`."""
    return sum(int(amount) * _SECONDS[unit] for amount, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def _of_rule(place: Place, node: yaml.MappingNode, rule: Rule) -> Iterator[Mutant]:
    name = str(rule.get("alert") or rule["record"])
    for line, change, path, value in (
        *_expressions(node, rule),
        *_waits(node, rule),
        *_labels(node, rule),
        *_conditions(node, rule),
    ):
        changed = copy.deepcopy(rule)
        part = changed
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value
        yield Mutant(place=place, line=line, name=name, change=change, rule=changed)


_Setting = tuple[int, str, tuple[str, ...], str]
"""The line, the change in words, which part of the rule, and its new value."""


def _expressions(node: yaml.MappingNode, rule: Rule) -> Iterator[_Setting]:
    written = _value(node, "expr")
    text = str(rule["expr"])
    seen: set[str] = set()
    for start, end, new in of_expression(text):
        # A literal block begins below its key.
        line = written.start_mark.line + 1 + text.count("\n", 0, start) + (written.style == "|")
        change = _change(text, start, end, new)
        while change in seen:
            change += " (again)"
        seen.add(change)
        yield line, change, ("expr",), text[:start] + new + text[end:]


def _waits(node: yaml.MappingNode, rule: Rule) -> Iterator[_Setting]:
    for key in ("for", "keep_firing_for"):
        if key in rule:
            line = _value(node, key).start_mark.line + 1
            for new in _other_waits(rule[key]):
                yield line, f"`{key}: {rule[key]}` becomes `{new}`", (key,), new
    if "alert" in rule and "for" not in rule:
        line = _value(node, "alert").start_mark.line + 1
        yield line, "there is no `for`, it becomes `15s`", ("for",), "15s"


def _labels(node: yaml.MappingNode, rule: Rule) -> Iterator[_Setting]:
    for label, value in rule.get("labels", {}).items():
        line = _value(_value(node, "labels"), label).start_mark.line + 1
        new = _SEVERITIES.get(value) or _PRIORITIES.get(value) or "mutant"
        yield line, f"label `{label}: {value}` becomes `{new}`", ("labels", label), new


def _conditions(node: yaml.MappingNode, rule: Rule) -> Iterator[_Setting]:
    for key, value in rule.get("annotations", {}).items():
        line = _value(_value(node, "annotations"), key).start_mark.line + 1
        for template, condition in _other_conditions(value):
            change = f"the condition in {key} becomes `{condition}`"
            yield line, change, ("annotations", key), template


def of_expression(text: str) -> Iterator[Edit]:
    """Every edit of a PromQL expression.

    Raises:
        promql.NotUnderstood: it is none.
    """
    found = promql.parts(text)
    for binary in found.binaries:
        yield from _of_binary(binary)
    for tokens, others in ((found.numbers, _other_numbers), (found.durations, _other_durations)):
        for token in tokens:
            yield from ((token.start, token.end, new) for new in others(token.text))
    for braces in found.matchers:
        for matcher in braces:
            yield from _of_matcher(matcher, braces)
    for labels in found.label_lists:
        yield from _of_labels(labels)
    for call in found.calls:
        if call.text in _CALLS:
            yield call.start, call.end, _CALLS[call.text]


def _of_labels(labels: promql.LabelList) -> Iterator[Edit]:
    for label in labels.labels:
        yield *labels.inside, ", ".join(other.text for other in labels.labels if other is not label)


def _of_binary(binary: promql.Binary) -> Iterator[Edit]:
    operator = binary.operator
    for new in _COMPARISONS.get(operator.text, ()):
        yield operator.start, operator.end, new
    if operator.text in _ARITHMETIC:
        yield operator.start, operator.end, _ARITHMETIC[operator.text]
    if operator.text in ("or", "and", "unless"):
        yield binary.left[1], binary.right[1], ""
    if operator.text == "or":
        yield binary.left[0], binary.right[0], ""
    if binary.bool_modifier:
        yield binary.bool_modifier.start, binary.bool_modifier.end, ""


def _of_matcher(matcher: promql.Matcher, braces: list[promql.Matcher]) -> Iterator[Edit]:
    yield matcher.operator.start, matcher.operator.end, _MATCHING[matcher.operator.text]
    position = braces.index(matcher)
    if position + 1 < len(braces):
        yield matcher.name.start, braces[position + 1].name.start, ""
    elif position:
        yield braces[position - 1].value.end, matcher.value.end, ""
    else:
        yield matcher.name.start, matcher.value.end, ""
    start, end = matcher.value.start + 1, matcher.value.end - 1
    value = matcher.value.text[1:-1]
    # `(?i:a|b)` as well as `a|b`.
    group = re.fullmatch(r"(\((?:\?[a-z]+:)?)(.*)(\))", value)
    opening, inside, closing = group.groups() if group else ("", value, "")
    choices = inside.split("|") if "~" in matcher.operator.text else []
    if len(choices) > 1:
        for index in range(len(choices)):
            yield start, end, opening + "|".join(choices[:index] + choices[index + 1 :]) + closing
    else:
        yield start, end, "mutant"


def _other_numbers(text: str) -> Iterator[str]:
    number = float(text)
    if number.is_integer() and abs(number) < _SMALL:
        yield from (f"{number + 1:g}", f"{number - 1:g}")
    else:
        yield from (f"{number * 1.02:.12g}", f"{number * 0.98:.12g}")


def _other_durations(text: str) -> Iterator[str]:
    for factor in (1.2, 0.8):
        yield f"{round(seconds(text) * factor)}s"


def _other_waits(text: str) -> Iterator[str]:
    given = seconds(text)
    yield f"{given + _EVALUATION_SECONDS:g}s"
    yield f"{max(given - _EVALUATION_SECONDS, 0):g}s"


def _other_conditions(template: str) -> Iterator[tuple[str, str]]:
    """Templates with one other comparison or number in one `if`, each with that `if`."""
    for found in re.finditer(r"\{\{-? *(?:else )?if [^}]*\}\}", template):
        for old, new in (("gt ", "lt "), ("lt ", "gt "), ("ge ", "lt "), ("le ", "gt "), ("eq ", "ne ")):
            if f" {old}" in found[0]:
                changed = found[0].replace(f" {old}", f" {new}", 1)
                yield template[: found.start()] + changed + template[found.end() :], changed


def _change(text: str, start: int, end: int, new: str) -> str:
    """What becomes what, and the line in which that happens."""
    before = text.rfind("\n", 0, start) + 1
    after = text.find("\n", start)
    line = text[before : None if after < 0 else after].strip()
    old = " ".join(text[start:end].split())
    if not old:
        return f"`{new}` is put into `{line}`"
    return f"`{old}` {f'becomes `{new}`' if new else 'is taken out'} in `{line}`"


def _value(node: yaml.Node, key: str) -> Any:
    assert isinstance(node, yaml.MappingNode)
    return next(value for name, value in node.value if name.value == key)
