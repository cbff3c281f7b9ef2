"""Rule files as data, with the place of everything in them. What is malformed is check_rules' to tell."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from webhook import strictyaml

_DURATION = re.compile(r"(\d+)(ms|[smhdwy])")
_WHOLE_DURATION = re.compile(r"(?=.)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?|0")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: of the alert, or of what is recorded.
        interval: of its group; "" where that says none.
        wait: its `for`; "0s" where it has none.
        fields: all that is written.
    """

    file: Path
    name: str
    is_alert: bool
    expression: str
    wait: str
    interval: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    fields: Mapping[str, Any] = field(repr=False)
    document: strictyaml.Document = field(repr=False)
    path: strictyaml.Path

    def line(self, *keys: str) -> int:
        """Where that part of it stands; where the rule begins, if it has no such part."""
        path = (*self.path, *keys)
        known = path in self.document.values
        own = (*self.path, "alert" if self.is_alert else "record")
        return self.document.place(path if known and keys else own).line


def of_document(file: Path, document: strictyaml.Document) -> Iterator[Rule]:
    """The rules of a file, in its order: `groups[].rules[]` that have a name."""
    for group_number, group in enumerate(_list(document.data, "groups")):
        for number, rule in enumerate(_list(group, "rules")):
            match rule:
                case {"alert": name} | {"record": name}:
                    yield Rule(
                        file=file,
                        name=str(name),
                        is_alert="alert" in rule,
                        expression=str(rule.get("expr", "")),
                        wait=str(rule.get("for", "0s")),
                        interval=str(group.get("interval", "")),
                        labels=_words(rule.get("labels")),
                        annotations=_words(rule.get("annotations")),
                        fields=rule,
                        document=document,
                        path=("groups", group_number, "rules", number),
                    )


def known_labels(rule: Rule) -> dict[str, str]:
    """The labels of an alert, as far as its rule says them; the others come with its series."""
    stated = {name: value for name, value in rule.labels.items() if "{{" not in value}
    return {**stated, "alertname": rule.name}


def seconds(duration: str) -> float:
    """The seconds of a Prometheus duration, `1h30m` as well as `15s`; 0 for what is none."""
    return sum(int(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(duration))


def is_duration(text: str) -> bool:
    """Whether Prometheus and Alertmanager read it: whole numbers with units, the longest unit first."""
    return _WHOLE_DURATION.fullmatch(text) is not None


def _list(data: Any, key: str) -> list[Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, list) else []


def _words(data: Any) -> dict[str, str]:
    return {name: str(value) for name, value in data.items()} if isinstance(data, dict) else {}
