"""Which Alertmanagers can be believed about which source."""

from datetime import timedelta

import pytest

from routing import peers
from tests.unit.build import at

BOUNDS = peers.Bounds()
NEW = peers.Peer(name="http://one:9093")
MINUTE = 60


def asked(
    *looks: tuple[float, float | None], started: float = -3600, source: str = "eu-1", peer: peers.Peer = NEW
) -> peers.Peer:
    """A peer after looks, each with its instant and the age of the Watchdog that it lists (None: it lists none)."""
    for seconds, age in looks:
        peer = peers.answered(
            peer,
            at=at(seconds),
            started_at=at(started),
            watchdogs={} if age is None else {source: at(seconds - age)},
            bounds=BOUNDS,
        )
    return peer


def steady(until: float, *, since: float = 0, started: float = -3600) -> peers.Peer:
    """A peer that lists a Watchdog that is refreshed every minute."""
    looks = [(since + 30.0 * n, 30.0 * (n % 2)) for n in range(int((until - since) / 30) + 1)]
    return asked(*looks, started=started)


def test_a_peer_that_was_not_asked_yet_is_not_believed() -> None:
    assert peers.doubt(NEW, "eu-1", BOUNDS) == "not asked yet"


def test_a_peer_that_lists_a_fresh_watchdog_is_believed_about_its_source_alone() -> None:
    peer = asked((0, 10))
    assert peers.doubt(peer, "eu-1", BOUNDS) == ""
    assert peers.doubt(peer, "eu-2", BOUNDS) == "lists no Watchdog of it"


@pytest.mark.parametrize(("age", "believed"), [(150, True), (151, False)])
def test_a_watchdog_is_fresh_for_two_and_a_half_minutes(age: float, believed: bool) -> None:
    assert (peers.doubt(asked((0, age)), "eu-1", BOUNDS) == "") is believed


@pytest.mark.parametrize(("up", "believed"), [(299, False), (300, True)])
def test_a_peer_is_believed_after_five_minutes(up: float, believed: bool) -> None:
    peer = asked((0, 10), started=-up)
    assert (peers.doubt(peer, "eu-1", BOUNDS) == "") is believed


def test_a_restarted_peer_is_young_again() -> None:
    peer = asked((30, 1), started=10, peer=asked((0, 10)))
    assert peers.doubt(peer, "eu-1", BOUNDS) == "up for less than 5 minutes"


def test_a_peer_that_lists_it_no_more_is_not_believed_when_the_last_one_is_old() -> None:
    peer = asked((0, 10), (30, None), (200, None))
    assert peers.doubt(peer, "eu-1", BOUNDS) == "lists no fresh Watchdog of it"


def test_what_is_not_listed_is_gone_only_after_a_source_was_heard_for_a_while() -> None:
    assert not peers.misses_nothing(steady(60), "eu-1", BOUNDS)
    assert peers.misses_nothing(steady(120), "eu-1", BOUNDS)


def test_a_gap_begins_anew() -> None:
    peer = steady(600)
    assert peers.misses_nothing(peer, "eu-1", BOUNDS)
    back = asked((1200, 1), peer=peer)
    assert peers.doubt(back, "eu-1", BOUNDS) == ""
    assert not peers.misses_nothing(back, "eu-1", BOUNDS)


def test_a_source_that_was_heard_all_along_proves_an_end_with_its_next_watchdog() -> None:
    end = at(610)
    assert not peers.alive_after(asked((620, 15), peer=steady(600)), "eu-1", end, BOUNDS)
    assert peers.alive_after(asked((620, 5), peer=steady(600)), "eu-1", end, BOUNDS)


def test_a_source_that_was_cut_off_proves_an_end_only_after_all_of_it_was_heard_again() -> None:
    end = at(700)
    back = asked((1200, 1), peer=steady(600))
    assert not peers.alive_after(back, "eu-1", end, BOUNDS)
    settled = asked((1260, 1), (1300, 1), peer=back)
    assert peers.alive_after(settled, "eu-1", end, BOUNDS)


def test_a_peer_in_doubt_proves_nothing() -> None:
    young = steady(900, started=850)
    assert not peers.alive_after(young, "eu-1", at(610), BOUNDS)


@pytest.mark.parametrize(
    ("claims", "sources", "found"),
    [
        ("eu-1", {"eu-1", "eu-2"}, {"eu-1"}),
        ("eu-1/a", {"eu-1/a", "eu-1/b"}, {"eu-1/a"}),
        ("eu-1", {"eu-1/a", "eu-1/b", "eu-2/a"}, {"eu-1/a", "eu-1/b"}),
        ("other", {"eu-1"}, {"eu-1"}),
        ("", {"eu-1"}, {"eu-1"}),
        ("", {"eu-1/a", "eu-2/a"}, set()),
        ("other", {"eu-1", "eu-2"}, set()),
        ("eu-1", set(), set()),
    ],
)
def test_the_source_of_an_alert_is_the_one_that_it_claims_or_the_only_one(
    claims: str, sources: set[str], found: set[str]
) -> None:
    assert set(peers.belongs(claims, sources)) == found


@pytest.mark.parametrize(
    ("labels", "key"),
    [({}, ""), ({"cluster": "eu-1"}, "eu-1"), ({"cluster": "eu-1", "prometheus": "a"}, "eu-1/a")],
)
def test_the_source_is_named_by_its_labels(labels: dict[str, str], key: str) -> None:
    assert peers.source(labels) == key


def test_bounds_leave_room_for_what_alertmanager_forgets() -> None:
    forgets_after = timedelta(minutes=4)
    assert BOUNDS.fresh < forgets_after
    assert BOUNDS.settled > timedelta(seconds=MINUTE)
