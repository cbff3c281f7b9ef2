"""Alertmanager's tree of routes as data: who takes an alert, with everything that a route has from its parents."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from routing import matchers, patterns
from webhook import config_faults, ruledata, strictyaml

_DEFAULTS: Mapping[str, Any] = {
    "receiver": "",
    "group_by": None,
    "group_wait": "30s",
    "group_interval": "5m",
    "repeat_interval": "4h",
}
"""Alertmanager's own."""

_EXACT = {"match": matchers.Operator.EQUAL, "match_re": matchers.Operator.REGEX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        conditions: all of them must match; None where they cannot be read, and then it takes nothing.
        settings: `receiver`, `group_by` and the three waits, its own or its parent's, or Alertmanager's default.
        places: where each of the settings stands; the root for a default.
    """

    path: strictyaml.Path
    conditions: tuple[matchers.Matcher, ...] | None
    settings: Mapping[str, Any]
    places: Mapping[str, strictyaml.Path]
    muted: bool
    continue_: bool
    routes: "tuple[Route, ...]"

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether all of its conditions match."""
        return self.conditions is not None and all(each.matches(labels) for each in self.conditions)

    def owns(self, name: str) -> bool:
        """Whether this route says the setting itself."""
        return self.places[name] == (*self.path, name)

    @property
    def receiver(self) -> str:
        """Its own, or its parent's; "" where nobody names one."""
        return str(self.settings["receiver"])

    def seconds(self, name: str) -> float:
        """One of its waits."""
        return ruledata.seconds(str(self.settings[name]))


def root(document: strictyaml.Document) -> Route | None:
    """The tree of an alertmanager.yml; None where it has none."""
    entry = document.data.get("route") if isinstance(document.data, dict) else None
    if not isinstance(entry, dict):
        return None
    top: strictyaml.Path = ("route",)
    return _route(entry, top, settings=_DEFAULTS, places=dict.fromkeys(_DEFAULTS, top))


def walk(route: Route) -> Iterator[Route]:
    """Every route, parents first."""
    yield route
    for child in route.routes:
        yield from walk(child)


def staying(route: Route, labels: Mapping[str, str]) -> list[Route]:
    """The routes that an alert which `route` takes stays with."""
    found: list[Route] = []
    for child in route.routes:
        if child.takes(labels):
            found += staying(child, labels)
            if not child.continue_:
                break
    return found or [route]


def conditions(entry: Mapping[str, Any], prefix: str = "") -> tuple[matchers.Matcher, ...] | None:
    """What an entry asks of labels, in the new and in the deprecated forms; None where it cannot be read.

    An inhibition has two of them, and the prefixes "source_" and "target_" before its keys.
    """
    found: list[matchers.Matcher] = []
    sources = entry.get(f"{prefix}matchers") or ()
    try:
        for source in [sources] if isinstance(sources, str) else sources:
            found += matchers.parse(str(source))
        for key, operator in _EXACT.items():
            words = entry.get(f"{prefix}{key}")
            for name, value in words.items() if isinstance(words, dict) else ():
                found.append(matchers.Matcher(name=str(name), operator=operator, value=str(value)))
    except (matchers.Unreadable, patterns.Unreadable, TypeError):
        return None
    return tuple(found)


def unreadable(document: strictyaml.Document) -> Iterator[tuple[strictyaml.Path, str]]:
    """Every matcher that Alertmanager would not read either, and why."""
    for path in document.values:
        match path:
            case (*_, "matchers" | "source_matchers" | "target_matchers", int()):
                try:
                    matchers.parse(str(config_faults.value_at(document.data, path)))
                except (matchers.Unreadable, patterns.Unreadable) as reason:
                    yield path, f"this matcher cannot be read: {reason}"


def _route(
    entry: Mapping[str, Any],
    path: strictyaml.Path,
    *,
    settings: Mapping[str, Any],
    places: Mapping[str, strictyaml.Path],
) -> Route:
    own = {name: entry[name] for name in settings if name in entry}
    settings = {**settings, **own}
    places = {**places, **{name: (*path, name) for name in own}}
    children = entry.get("routes")
    return Route(
        path=path,
        conditions=conditions(entry),
        settings=settings,
        places=places,
        muted=bool(entry.get("mute_time_intervals") or entry.get("active_time_intervals")),
        continue_=entry.get("continue") is True,
        routes=tuple(
            _route(child, (*path, "routes", number), settings=settings, places=places)
            for number, child in enumerate(children if isinstance(children, list) else ())
            if isinstance(child, dict)
        ),
    )
