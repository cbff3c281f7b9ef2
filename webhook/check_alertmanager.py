"""The traps of alertmanager.yml: what it accepts without a word, and what then tells nobody."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from webhook import (
    check_alertmanager_receivers,
    check_alertmanager_routes,
    check_alertmanager_tree,
    check_inhibitions,
    config_faults,
    findings,
    ruledata,
    strictyaml,
)

_Found = tuple[strictyaml.Path, str]

_NEWER = {
    "match": "matchers",
    "match_re": "matchers",
    "source_match": "source_matchers",
    "source_match_re": "source_matchers",
    "target_match": "target_matchers",
    "target_match_re": "target_matchers",
}
_WAITS = ("group_wait", "group_interval", "repeat_interval")
_VARIABLE = re.compile(r"\$\{|^\$[A-Za-z_]\w*$|\$[A-Z_][A-Z0-9_]+\b")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)

_KNOWN = {
    (): ("global", "templates", "route", "receivers", "inhibit_rules", "time_intervals"),
    ("route",): (
        "receiver",
        "group_by",
        "continue",
        "matchers",
        "group_wait",
        "group_interval",
        "repeat_interval",
        "mute_time_intervals",
        "active_time_intervals",
        "routes",
    ),
    ("inhibit_rules",): ("source_matchers", "target_matchers", "equal"),
}
"""Fields of the parts that stand here."""

_OLDER = (*_NEWER, "mute_time_intervals")
"""Fields that are deprecated and still known."""


def of_document(
    file: Path, document: strictyaml.Document, rules: Sequence[ruledata.Rule]
) -> Iterator[findings.Finding]:
    """Every trap in an Alertmanager configuration, in the order of its parts."""
    root = check_alertmanager_tree.root(document)
    if root is None:
        yield findings.error(file, 1, "there is no route in it")
        return
    receivers = check_alertmanager_receivers.read(document)
    for path, text in (
        *check_alertmanager_routes.of_tree(root, receivers, rules),
        *_of_values(document),
        *check_alertmanager_tree.unreadable(document),
        *check_alertmanager_receivers.of_document(document),
        *check_inhibitions.of_document(document, rules),
    ):
        yield findings.error(file, document.place(path).line, text)
    if root.settings["group_by"] == ["..."]:
        place = document.place(root.places["group_by"]).line
        yield findings.note(
            file,
            place,
            "group_by is ['...'], so every alert is an incident of its own: 50 pods that restart are 50 messages",
        )


def _of_values(document: strictyaml.Document) -> Iterator[_Found]:
    times = _times(document)
    for path in document.values:
        key = path[-1] if path else None
        value = config_faults.value_at(document.data, path)
        if isinstance(value, dict):
            yield from _of_fields(path, value)
        if key in _NEWER:
            yield path, f'{key} is deprecated; write {_NEWER[key]}: [name="value"]'
        if key in _WAITS:
            if not ruledata.is_duration(str(value)):
                yield path, f"{key} is no duration; write one like 10s or 5m"
            elif key != "group_wait" and not ruledata.seconds(str(value)):
                yield path, f"{key} may not be zero: Alertmanager does not start"
        match path:
            case ("route", *_, "mute_time_intervals" | "active_time_intervals", int()) if (
                str(value) not in times
            ):
                hint = findings.likely(str(value), times)
                yield path, f'there is no time interval "{value}", so Alertmanager does not start{hint}'
        if isinstance(value, str) and _VARIABLE.search(_TEMPLATE.sub("", value)):
            yield (
                path,
                (
                    "Alertmanager expands no variables, so this text would be taken as it stands; "
                    "name a file with the secret, as api_url_file, routing_key_file or credentials_file"
                ),
            )


def _times(document: strictyaml.Document) -> list[str]:
    """The names of the time intervals, of which there are two lists."""
    found: list[str] = []
    for path in document.values:
        match path:
            case ("time_intervals" | "mute_time_intervals", int(), "name"):
                found.append(str(config_faults.value_at(document.data, path)))
    return found


def _of_fields(path: strictyaml.Path, value: dict[str, object]) -> Iterator[_Found]:
    """Misspelt fields, which keep Alertmanager from starting; one that is like none may be of a newer one."""
    names = [part for part in path if isinstance(part, str)]
    part = ("route",) if names and set(names) <= {"route", "routes"} else tuple(names)
    known = _KNOWN.get(part, ())
    for name in value:
        hint = findings.likely(str(name), known)
        if hint and name not in (*known, *_OLDER):
            yield (*path, name), f'unknown field "{name}", so Alertmanager does not start{hint}'
