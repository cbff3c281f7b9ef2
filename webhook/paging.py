"""Does a P1 page somebody? Asked by `check` before a change, and by `serve` before it starts."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from routing import alarms, matchers, model, tree
from webhook import config

ANY_P1: Mapping[str, str] = {"priority": model.Priority.P1.name}
"""A P1 of which nothing else is known."""

_UNPAGED = frozenset({"Watchdog", alarms.BROKEN, alarms.REFUSED})
"""A Watchdog is no incident; this service's own alarms are about what an incident's destinations are."""

_MOST_TRIED = 64
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


def pagers(settings: config.Settings, labels: model.Labels) -> tuple[config.PagerDuty, ...]:
    """The destinations that would page somebody, live or dry."""
    told = tree.names(tree.destinations_for(settings.root, labels))
    return tuple(entry for name in told if isinstance(entry := settings.destinations[name], config.PagerDuty))


def advice(settings: config.Settings) -> tuple[str, int]:
    """What to do where no P1 pages anyone, and the line of the configuration that it is about."""
    route = tree.destinations_for(settings.root, ANY_P1)[-1].path[-1]
    missing = sorted({pager.secret_from for pager in pagers(settings, ANY_P1)})
    if missing:
        return f"set {' or '.join(map(_with_its_file, missing))}", route.line
    return f"add a destination of kind pagerduty to the route at {settings.file}:{route.line}", route.line


def _with_its_file(origin: str) -> str:
    return f"{origin} (or {origin}_FILE)" if _VARIABLE.fullmatch(origin) else f"the secret in {origin}"


def gaps(settings: config.Settings, alerts: Sequence[model.Labels] = ()) -> dict[int, str]:
    """Routes that take a P1 and lead to nothing that pages: what is wrong, by their line in the file.

    Asked about are what the routes themselves ask for, and the labels of `alerts` that are known to come.
    """
    found: dict[int, str] = {}
    for labels in (ANY_P1, *_asked_for(settings.root), *alerts):
        if model.priority_of(labels) is not model.Priority.P1 or labels.get("alertname") in _UNPAGED:
            continue
        if not pagers(settings, labels):
            matches = tree.destinations_for(settings.root, labels)
            names = " and ".join(tree.names(matches))
            goes = f"to {names}" if names else "nowhere"
            line = matches[-1].lines[-1]
            found.setdefault(
                line,
                f"a P1{_spoken(labels)} goes {goes} and pages nobody; add a destination of kind pagerduty",
            )
    return found


def _spoken(labels: model.Labels) -> str:
    known = [f'{name}="{value}"' for name, value in labels.items() if name not in ("priority", "severity")]
    return f" with {', '.join(known)}" if known else ""


def _asked_for(root: tree.Route) -> Iterator[dict[str, str]]:
    """Labels of P1 that each of the routes is there for."""
    for path in _paths((root,)):
        conditions: dict[str, list[matchers.Matcher]] = {}
        for matcher in itertools.chain.from_iterable(route.matchers for route in path):
            conditions.setdefault(matcher.name, []).append(matcher)
        names = [name for name in conditions if name not in ("priority", "severity")]
        values = [_values(conditions[name]) for name in names]
        for chosen in itertools.islice(itertools.product(*values), _MOST_TRIED):
            labels = {name: value for name, value in zip(names, chosen, strict=True) if value}
            yield {**ANY_P1, **labels}


def _paths(path: tuple[tree.Route, ...]) -> Iterator[tuple[tree.Route, ...]]:
    yield path
    for child in path[-1].routes:
        yield from _paths((*path, child))


def _values(conditions: Sequence[matchers.Matcher]) -> list[str]:
    """Values that fulfil all conditions on one label, as far as the conditions name some."""
    named = [value for each in conditions for value in (each.value, *each.value.split("|"))]
    return [
        value
        for value in dict.fromkeys((*named, "", "other"))
        if all(each.matches({each.name: value}) for each in conditions)
    ]
