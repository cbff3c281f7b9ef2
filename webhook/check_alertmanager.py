"""The traps of alertmanager.yml: what it accepts without a word, and what then tells nobody."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from routing import matchers, patterns
from webhook import config_faults, findings, ruledata, strictyaml

_CLUSTER = "alerts of two clusters would be one incident, and the second would page nobody"
_IDENTITY = ("alertname", "namespace", "service")
_GROUP_BY = "group_by: [alertname, cluster, namespace, service]"
_NEWER = {
    "match": "matchers",
    "match_re": "matchers",
    "source_match": "source_matchers",
    "source_match_re": "source_matchers",
    "target_match": "target_matchers",
    "target_match_re": "target_matchers",
}
_EVENTS_V1 = {"service_key": "routing_key", "service_key_file": "routing_key_file"}
_SILENT_BY_DEFAULT = ("slack_configs", "email_configs")
"""Receivers that tell no resolve unless `send_resolved` says so; all others tell it."""

_DEFAULT_GROUP_WAIT = "30s"


def of_document(
    file: Path, document: strictyaml.Document, rules: Iterable[ruledata.Rule]
) -> Iterator[findings.Finding]:
    """Every trap in an Alertmanager configuration, in the order of its parts."""
    root = document.data.get("route") if isinstance(document.data, dict) else None
    if not isinstance(root, dict):
        yield findings.error(file, 1, "there is no route in it")
        return
    for path, text in (
        *_of_root(root),
        *_of_group_bys(document, root),
        *_of_watchdog(root),
        *_of_native(root, rules),
        *_of_values(document),
        *_of_receivers(document),
    ):
        yield findings.error(file, document.place(path).line, text)


class GroupWaits:
    """How long Alertmanager waits before it first tells of an alert."""

    def __init__(self, document: strictyaml.Document | None) -> None:
        self._root = (
            document.data.get("route") if document and isinstance(document.data, dict) else None
        ) or {"group_wait": "5s"}

    def seconds(self, labels: Mapping[str, str]) -> float:
        """The `group_wait` of the route that an alert with these labels goes into; 5 s without a configuration."""
        route = self._root
        wait = str(route.get("group_wait", _DEFAULT_GROUP_WAIT))
        while route := next((child for child in _children(route) if _takes(child, labels)), None):
            wait = str(route.get("group_wait", wait))
        return ruledata.seconds(wait)


_Found = tuple[strictyaml.Path, str]


def _of_root(root: Mapping[str, Any]) -> Iterator[_Found]:
    if "receiver" not in root:
        yield (
            ("route",),
            "the root route has no receiver, so Alertmanager does not start; write receiver: phantommesh-alerts",
        )
    if "group_by" not in root:
        yield ("route",), f"the root route has no group_by; {_CLUSTER}; write {_GROUP_BY}"


def _of_group_bys(document: strictyaml.Document, root: Mapping[str, Any]) -> Iterator[_Found]:
    for path in _paths(root, ("route",), "group_by"):
        names = config_faults.value_at(document.data, path)
        if not isinstance(names, list) or not {"cluster", "..."}.intersection(names):
            yield path, f"group_by is without cluster; {_CLUSTER}; write {_GROUP_BY}"
        elif "..." not in names and not set(_IDENTITY) <= set(names):
            missing = " and ".join(name for name in _IDENTITY if name not in names)
            yield (
                path,
                (
                    f"group_by is without {missing}; a second outage would join the open incident of the first, "
                    f"and page nobody; write {_GROUP_BY}"
                ),
            )


def _of_watchdog(root: Mapping[str, Any]) -> Iterator[_Found]:
    own = any(
        _takes(child, {"alertname": "Watchdog"}) and not _takes(child, {"alertname": "another"})
        for child in _children(root)
    )
    if not own:
        yield (
            ("route",),
            (
                "there is no route for the Watchdog, so its silence would be noticed too late; write a route with "
                'matchers: [alertname="Watchdog"], group_wait: 0s, group_interval: 30s and repeat_interval: 20s'
            ),
        )


def _of_native(root: Mapping[str, Any], rules: Iterable[ruledata.Rule]) -> Iterator[_Found]:
    native = next((rule for rule in rules if rule.labels.get("route") == "native"), None)
    if native is not None and not any(_takes(child, native.labels) for child in _children(root)):
        yield (
            ("route",),
            (
                f'no route takes route="native" of {native.name}, so only the service itself would hear of its own '
                'fault; write a route with matchers: [route="native"] to a receiver with pagerduty_configs'
            ),
        )


def _of_values(document: strictyaml.Document) -> Iterator[_Found]:
    for path in document.values:
        key = path[-1] if path else None
        if isinstance(key, str) and key in _NEWER:
            yield path, f'{key} is deprecated; write {_NEWER[key]}: [name="value"]'
        value = config_faults.value_at(document.data, path)
        if isinstance(value, str) and "${" in value:
            yield (
                path,
                (
                    "Alertmanager expands no variables, so this text would be taken as it stands; "
                    "name a file with the secret, as api_url_file, routing_key_file or credentials_file"
                ),
            )


def _of_receivers(document: strictyaml.Document) -> Iterator[_Found]:
    for path in document.values:
        match path:
            case ("receivers", int(), str() as kind, int()) if kind.endswith("_configs"):
                settings = config_faults.value_at(document.data, path)
                if isinstance(settings, dict):
                    yield from _of_receiver(path, kind, settings)


def _of_receiver(path: strictyaml.Path, kind: str, settings: Mapping[str, Any]) -> Iterator[_Found]:
    for old, new in _EVENTS_V1.items():
        if kind == "pagerduty_configs" and old in settings:
            yield (
                (*path, old),
                f"{old} is PagerDuty's Events API v1; write {new}, an integration key of Events API v2",
            )
    if settings.get("send_resolved", kind not in _SILENT_BY_DEFAULT) is not True:
        place = (*path, "send_resolved") if "send_resolved" in settings else path
        yield place, f"{kind.removesuffix('_configs')} is told of no resolve; write send_resolved: true"


def _paths(route: Mapping[str, Any], path: strictyaml.Path, key: str) -> Iterator[strictyaml.Path]:
    if key in route:
        yield (*path, key)
    for index, child in enumerate(_children(route)):
        yield from _paths(child, (*path, "routes", index), key)


def _children(route: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The routes below, an empty one in the place of what is none, so that positions hold."""
    found = route.get("routes")
    return [child if isinstance(child, dict) else {} for child in found] if isinstance(found, list) else []


def _takes(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a route below the root takes an alert; one whose matchers cannot be read takes none."""
    conditions: list[matchers.Matcher] = []
    try:
        for source in route.get("matchers") or []:
            conditions += matchers.parse(str(source))
    except (matchers.Unreadable, patterns.Unreadable):
        return False
    for name, value in (route.get("match") or {}).items():
        conditions.append(matchers.Matcher(name=name, operator=matchers.Operator.EQUAL, value=str(value)))
    return bool(route) and all(condition.matches(labels) for condition in conditions)
