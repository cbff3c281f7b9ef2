"""Where an alert with certain labels would go, and why: for `route test` and for pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from routing import matchers, model, tree
from webhook import config


def as_data(settings: config.Settings, labels: model.Labels) -> dict[str, Any]:
    """The answer for a script."""
    visits = tree.explain(settings.root, labels)
    return {
        "labels": dict(tree.overlaid(labels)),
        "tier_known": model.tier(labels) is not None,
        "destinations": [
            {"name": name, "kind": settings.destinations[name].kind, "dry": settings.destinations[name].dry}
            for name in _destinations(visits)
            if not model.is_watchdog(labels)
        ],
        "watchdog": model.is_watchdog(labels),
        "routes": [
            {
                "file": settings.file,
                "line": visit.route.line,
                "path": [route.line for route in visit.path],
                "matchers": [str(matcher) for matcher in visit.route.matchers],
                "matched": visit.failed is None,
                "failed": None if visit.failed is None else str(visit.failed),
                "destinations": [] if visit.match is None else list(visit.match.destinations),
            }
            for visit in visits
        ],
    }


def as_text(settings: config.Settings, labels: model.Labels) -> str:
    """The answer for a person."""
    return "\n".join(_lines(settings, labels))


def goes_somewhere(settings: config.Settings, labels: model.Labels) -> bool:
    """Whether any destination is told of it, or none is meant to be."""
    return model.is_watchdog(labels) or bool(tree.names(tree.destinations_for(settings.root, labels)))


def _destinations(visits: tuple[tree.Visit, ...]) -> tuple[str, ...]:
    return tree.names(visit.match for visit in visits if visit.match is not None)


def _lines(settings: config.Settings, labels: model.Labels) -> Iterator[str]:
    seen = tree.overlaid(labels)
    visits = tree.explain(settings.root, labels)
    names = _destinations(visits)
    yield f"An alert with {_spoken(seen)}"
    if model.is_watchdog(labels):
        yield "is a Watchdog: it tells that its source is alive, is never an incident, and goes nowhere"
        return
    if model.tier(labels) is None:
        yield "(neither its priority nor its severity is known, so it counts as a P2)"
    yield "goes to" if names else "goes nowhere"
    width = max(map(len, names), default=0)
    for name in names:
        destination = settings.destinations[name]
        dry = f"  dry: {destination.secret_from} is not set" if destination.dry else ""
        yield f"  {name:{width}}{dry}".rstrip()
    yield "because"
    for visit in visits:
        indent = "  " * len(visit.path)
        condition = matchers.text(visit.route.matchers) or "every alert"
        place = f"{Path(settings.file).name}:{visit.route.line}"
        yield f"{indent}{place}: {condition}: {_verdict(visit, seen)}"


def _verdict(visit: tree.Visit, seen: model.Labels) -> str:
    if visit.failed is not None:
        name = visit.failed.name
        return f'no, {name} is "{seen[name]}"' if name in seen else f"no, there is no {name}"
    if visit.match is None:
        return "matches, and its own routes decide"
    names = ", ".join(visit.match.destinations)
    return f"matches, to {names}" if names else "matches, but has no destination"


def _spoken(labels: model.Labels) -> str:
    equal = matchers.Operator.EQUAL
    return matchers.text(
        matchers.Matcher(name=name, operator=equal, value=value) for name, value in sorted(labels.items())
    )
