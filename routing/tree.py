"""The tree of routes: which destinations an alert goes to, and why.

As Alertmanager has it: an alert enters at the root, goes into the first of a route's children that matches (and
on to later ones where that says `continue`), and stays with the deepest routes that match. A route without
destinations of its own has its parent's. What is matched is not quite the alert's labels: `overlaid`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from routing import matchers, model


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route.

    Attributes:
        matchers: all of them must match; none means every alert.
        destinations: names, in order; empty for those of its parent.
        continue_: whether its later siblings are asked too when it matched.
        line: where it stands in its file, from 1.
    """

    matchers: "tuple[matchers.Matcher, ...]" = ()
    destinations: tuple[str, ...] = ()
    continue_: bool = False
    routes: "tuple[Route, ...]" = ()
    line: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A route that an alert stays with.

    Attributes:
        destinations: its own, or those it has from its parents.
        path: from the root to the route itself.
    """

    destinations: tuple[str, ...]
    path: tuple[Route, ...]

    @property
    def lines(self) -> tuple[int, ...]:
        """Where the path's routes stand in their file."""
        return tuple(route.line for route in self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A route that was asked about an alert, and what it said.

    Attributes:
        path: from the root to the route itself.
        failed: the first of its matchers that does not match; None where all of them do.
        match: set where the alert stays with this route.
    """

    path: tuple[Route, ...]
    failed: matchers.Matcher | None
    match: Match | None

    @property
    def route(self) -> Route:
        """The route itself."""
        return self.path[-1]


def overlaid(labels: model.Labels) -> model.Labels:
    """An alert's labels as routes see them: `priority` and `severity` say the tier that counts.

    So `priority="P1"` finds an alert that only says `severity: CRITICAL`, and an alert whose tier is not known
    routes as a P2. Laying it over twice changes nothing.
    """
    priority = model.priority_of(labels)
    return {**labels, "priority": priority.name, "severity": model.SEVERITIES[priority]}


def explain(root: Route, labels: model.Labels) -> tuple[Visit, ...]:
    """Every route that is asked about an alert, in the order in which they stand in the file."""
    return tuple(_visit((root,), (), overlaid(labels)))


def destinations_for(root: Route, labels: model.Labels) -> tuple[Match, ...]:
    """The routes that an alert stays with, possibly without a destination. `names` lists where it goes."""
    return tuple(visit.match for visit in explain(root, labels) if visit.match is not None)


def names(matches: Iterable[Match]) -> tuple[str, ...]:
    """The destinations of several matches, each once, in order."""
    return tuple(dict.fromkeys(name for match in matches for name in match.destinations))


def walk(root: Route) -> Iterator[Route]:
    """Every route of the tree, parents first."""
    yield root
    for child in root.routes:
        yield from walk(child)


def _visit(path: tuple[Route, ...], inherited: tuple[str, ...], labels: model.Labels) -> list[Visit]:
    route = path[-1]
    failed = next((matcher for matcher in route.matchers if not matcher.matches(labels)), None)
    if failed is not None:
        return [Visit(path=path, failed=failed, match=None)]
    destinations = route.destinations or inherited
    below: list[Visit] = []
    taken = False
    for child in route.routes:
        visits = _visit((*path, child), destinations, labels)
        below += visits
        if visits[0].failed is None:
            taken = True
            if not child.continue_:
                break
    own = None if taken else Match(destinations=destinations, path=path)
    return [Visit(path=path, failed=None, match=own), *below]
