"""Rule files by themselves: what Prometheus would not load.

Expressions are looked at for quotes and brackets only; the rest of PromQL is promtool's to tell.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from webhook import config_faults, findings, ruledata, strictyaml

_Found = tuple[strictyaml.Path, str]

_GROUP = ("name", "interval", "limit", "rules")
_ALERT = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_RECORD = ("record", "expr", "labels")
_RULE = tuple(dict.fromkeys((*_ALERT, *_RECORD)))
_DURATIONS = ("for", "keep_firing_for")

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_QUOTED = re.compile(r""""(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`|#[^\n]*""")
_PAIRS = {")": "(", "]": "[", "}": "{"}


def of_document(file: Path, document: strictyaml.Document) -> Iterator[findings.Finding]:
    """What is wrong with the form of a rule file, in its order."""
    for path, text in _of_file(document.data):
        yield findings.error(file, _line(document, path), text)


def _of_file(data: Any) -> Iterator[_Found]:
    if not isinstance(data, dict) or not isinstance(data.get("groups"), list):
        yield (), 'there is no list "groups" in it, so Prometheus would find no rules'
    if not isinstance(data, dict):
        return
    yield from _unknown(data, ("groups",), "a rule file", ())
    names: set[str] = set()
    for number, group in enumerate(data["groups"] if isinstance(data.get("groups"), list) else ()):
        path: strictyaml.Path = ("groups", number)
        if not isinstance(group, dict):
            yield path, "a group needs a name and a list of rules"
            continue
        yield from _of_group(group, path)
        name = str(group.get("name", ""))
        if name and name in names:
            yield (*path, "name"), f'there are two groups "{name}" in this file; name one of them anew'
        names.add(name)


def _of_group(group: Mapping[str, Any], path: strictyaml.Path) -> Iterator[_Found]:
    yield from _unknown(group, _GROUP, "a group", path)
    if not group.get("name"):
        yield path, "a group needs a name"
    if "interval" in group and not ruledata.is_duration(str(group["interval"])):
        yield (*path, "interval"), f'interval "{group["interval"]}" is no duration; write one like 15s or 1m'
    rules = group.get("rules")
    if not isinstance(rules, list):
        if not misspelt("rules", group, _GROUP):
            yield path, "a group needs a list of rules"
        return
    for number, rule in enumerate(rules):
        place = (*path, "rules", number)
        if isinstance(rule, dict):
            yield from _of_rule(rule, place)
        else:
            yield place, "a rule needs alert or record, and expr"


def _of_rule(rule: Mapping[str, Any], path: strictyaml.Path) -> Iterator[_Found]:
    yield from _unknown(rule, _RULE, "a rule", path)
    yield from _of_kind(rule, path)
    name = rule.get("alert", rule.get("record", "this rule"))
    if not rule.get("expr") and rule.get("expr") != 0 and not misspelt("expr", rule, _RULE):
        yield path, f"{name} has no expr, so it never fires and records nothing"
    elif (fault := _unbalanced(str(rule.get("expr", "")))) is not None:
        yield (*path, "expr"), f"the expression of {name} cannot be read: {fault}"
    yield from _of_parts(rule, path, str(name))


def _of_kind(rule: Mapping[str, Any], path: strictyaml.Path) -> Iterator[_Found]:
    if "alert" in rule and "record" in rule:
        yield (*path, "record"), "a rule is an alert or records something, not both; make two of them"
    elif "record" in rule:
        for key in sorted(rule.keys() & (set(_RULE) - set(_RECORD))):
            yield (*path, key), f"what records something takes no {key}; take it out"
    elif "alert" not in rule and not misspelt("alert", rule, _RULE):
        yield path, "a rule needs alert or record"


def _of_parts(rule: Mapping[str, Any], path: strictyaml.Path, name: str) -> Iterator[_Found]:
    for key in _DURATIONS:
        if key in rule and not ruledata.is_duration(str(rule[key])):
            shown = "" if rule[key] is None else f' "{rule[key]}"'
            yield (*path, key), f"{key}{shown} of {name} is no duration; write one like 15s or 5m"
    for key in ("labels", "annotations"):
        if rule.get(key) is not None and not isinstance(rule[key], dict):
            yield (*path, key), f"{key} of {name} are names with values"
            continue
        for label in rule.get(key) or ():
            if not _LABEL_NAME.fullmatch(str(label)):
                yield (
                    (*path, key, label),
                    f'"{label}" is no name for one of the {key}; use letters, digits and _',
                )


def _unknown(
    data: Mapping[str, Any], known: Sequence[str], what: str, path: strictyaml.Path
) -> Iterator[_Found]:
    for key in data:
        if key not in known:
            yield (
                (*path, key),
                f'Prometheus 2.42 knows no "{key}" in {what}{config_faults.did_you_mean(str(key), known)}',
            )


def misspelt(key: str, data: Mapping[str, Any], known: Sequence[str] = _RULE) -> bool:
    """Whether one of the unknown keys is most like this one, so that its absence is told already."""
    unknown = [str(other) for other in data if other not in known]
    return any(difflib.get_close_matches(other, known, n=1) == [key] for other in unknown)


def _unbalanced(expression: str) -> str | None:
    """What is wrong with quotes and brackets; None where nothing is."""
    opened: list[str] = []
    for character in _QUOTED.sub("", expression):
        if character in "\"'`":
            return f"a text that begins with {character} never ends"
        if character in _PAIRS.values():
            opened.append(character)
        elif character in _PAIRS and (not opened or opened.pop() != _PAIRS[character]):
            return f"a {character} closes nothing"
    return f"a {opened[-1]} is never closed" if opened else None


def _line(document: strictyaml.Document, path: strictyaml.Path) -> int:
    return document.place(path).line if path in document.values else 1
