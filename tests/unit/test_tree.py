"""Where an alert goes: the first route that matches, as deep as routes match, and the reason."""

import pytest

from routing import matchers, tree


def route(
    *routes: tree.Route, when: str = "{}", to: str = "", line: int = 0, continue_: bool = False
) -> tree.Route:
    return tree.Route(
        matchers=matchers.parse(when),
        destinations=tuple(to.split()),
        continue_=continue_,
        routes=routes,
        line=line,
    )


ROOT = route(
    route(
        route(when="service=vpn", to="vpn-team", line=3),
        route(when="service=api", line=4),
        when="team=network",
        to="network",
        line=2,
    ),
    route(when="audit=yes", to="audit", continue_=True, line=5),
    route(when="priority=P1", to="pager log", line=6),
    route(when="priority=P2", to="ops log", line=7),
    to="log",
    line=1,
)


@pytest.mark.parametrize(
    ("labels", "names", "lines"),
    [
        ({"priority": "P3"}, ["log"], [(1,)]),
        ({"priority": "P1"}, ["pager", "log"], [(1, 6)]),
        ({"team": "network", "service": "vpn"}, ["vpn-team"], [(1, 2, 3)]),
        ({"team": "network", "service": "api"}, ["network"], [(1, 2, 4)]),
        ({"team": "network", "service": "web"}, ["network"], [(1, 2)]),
        ({"audit": "yes", "priority": "P1"}, ["audit", "pager", "log"], [(1, 5), (1, 6)]),
        ({"audit": "yes", "priority": "P3"}, ["audit"], [(1, 5)]),
    ],
)
def test_the_deepest_of_the_first_that_match(
    labels: dict[str, str], names: list[str], lines: list[tuple[int, ...]]
) -> None:
    found = tree.destinations_for(ROOT, labels)
    assert list(tree.names(found)) == names
    assert [match.lines for match in found] == lines


def test_a_destination_that_two_routes_name_is_told_once() -> None:
    twice = route(route(to="log", continue_=True), route(to="log ops"))
    assert tree.names(tree.destinations_for(twice, {})) == ("log", "ops")


def test_what_no_route_takes_and_the_root_does_not_want_goes_nowhere() -> None:
    only_p1 = route(route(when="priority=P1", to="pager"))
    assert tree.names(tree.destinations_for(only_p1, {"priority": "P2"})) == ()


@pytest.mark.parametrize(
    ("labels", "tier"),
    [
        ({"severity": "CRITICAL"}, ("P1", "critical")),
        ({"priority": "p1", "severity": "info"}, ("P1", "critical")),
        ({"priority": "P3", "severity": "warning"}, ("P2", "warning")),
        ({"priority": "P3"}, ("P3", "info")),
        ({}, ("P2", "warning")),
        ({"severity": "page"}, ("P2", "warning")),
    ],
)
def test_routes_see_the_tier_that_counts(labels: dict[str, str], tier: tuple[str, str]) -> None:
    seen = tree.overlaid({**labels, "service": "vpn"})
    assert seen == {"service": "vpn", "priority": tier[0], "severity": tier[1]}
    assert tree.overlaid(seen) == seen


def test_an_alert_of_unknown_tier_is_routed_as_a_p2() -> None:
    assert tree.names(tree.destinations_for(ROOT, {"severity": "page"})) == ("ops", "log")


def test_the_reason_names_every_route_that_was_asked() -> None:
    visits = tree.explain(ROOT, {"team": "network", "service": "api", "priority": "P1"})

    assert [
        (visit.route.line, str(visit.failed or "matched"), visit.match is not None) for visit in visits
    ] == [
        (1, "matched", False),
        (2, "matched", False),
        (3, 'service="vpn"', False),
        (4, "matched", True),
    ]


def test_the_reason_names_the_first_matcher_that_failed() -> None:
    (_, child) = tree.explain(route(route(when="a=1, b=2, c=3", to="log")), {"a": "1"})
    assert str(child.failed) == 'b="2"'


def test_every_route_is_walked_parents_first() -> None:
    assert [each.line for each in tree.walk(ROOT)] == [1, 2, 3, 4, 5, 6, 7]
