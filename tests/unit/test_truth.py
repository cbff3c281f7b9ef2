"""What Alertmanager's lists say about what is on record."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import episodes, model, peers, truth
from tests.unit.build import GROUP, alert, at, message

BOUNDS = peers.Bounds()
TIMING = truth.Timing(group_wait=timedelta(seconds=5), group_interval=timedelta(seconds=10))
ID = model.incident_id(GROUP)
OTHER = {**GROUP, "service": "vpn"}
OTHER_ID = model.incident_id(OTHER)
NOW = 1000.0
SILENCE = model.Mute(kind=model.MuteKind.SILENCED, by="ann", comment="new disk", until=at(5000))
INHIBITION = model.Mute(kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable")


def peer(
    name: str = "one", *, now: float = NOW, beats_since: float = 0, up: float = 3600, error: str = ""
) -> peers.Peer:
    """A peer that answered just now, and has heard a Watchdog since then, last a second ago."""
    return peers.Peer(
        name=name,
        error=error,
        at=at(now),
        started_at=at(now - up),
        beats={"eu-1": peers.Beat(since=at(beats_since), latest=at(now - 1))},
    )


def listed(
    mute: model.Mute | None = None,
    *,
    incident: str = ID,
    receiver: str = "phantommesh-alerts",
    updated: float = NOW - 5,
) -> truth.Listed:
    return truth.Listed(
        incident_id=incident, receiver=receiver, name="ServiceDown", updated_at=at(updated), mute=mute
    )


def listing(
    alerts: Mapping[str, Sequence[truth.Listed]] | None = None,
    by: peers.Peer | None = None,
    strangers: Sequence[truth.Stranger] = (),
    *,
    knows_mutes: bool = True,
    complete: bool = True,
) -> truth.Listing:
    return truth.Listing(
        peer=by or peer(),
        alerts=alerts or {},
        strangers=strangers,
        knows_mutes=knows_mutes,
        complete=complete,
    )


def standing(known: model.Alert, incident: str = ID, claims: str = "eu-1") -> truth.Standing:
    """What the store says of an alert on record."""
    return truth.Standing(
        incident_id=incident,
        fingerprint=known.fingerprint,
        receiver="phantommesh-alerts",
        claims=claims,
        starts_at=known.starts_at,
        end=known.recovers_at or known.ends_at,
        held=known.held_until is not None,
        muted=known.muted,
    )


A = alert()
FIRES = standing(A)
HELD = standing(structs.replace(A, ends_at=at(900), held_until=at(1020)))
RECOVERS = standing(structs.replace(A, recovers_at=at(900)))
SILENCED = standing(structs.replace(A, muted=SILENCE))


def judge(
    on_record: Collection[truth.Standing],
    *listings: truth.Listing,
    absent: Mapping[str, datetime] | None = None,
    partial: Collection[str] = (),
    sources: Collection[str] = ("eu-1",),
    now: float = NOW,
) -> truth.Verdict:
    return truth.judge(
        on_record,
        listings,
        sources=sources,
        partial=partial,
        absent=absent or {},
        timing=TIMING,
        bounds=BOUNDS,
        now=at(now),
    )


def found(verdict: truth.Verdict, about: truth.Standing = FIRES) -> tuple[str, model.Mute | None] | None:
    finding = verdict.findings.get(about.incident_id, {}).get(about.fingerprint)
    return None if finding is None else (finding.kind.value, finding.mute)


def by_a(*entries: truth.Listed) -> Mapping[str, Sequence[truth.Listed]]:
    return {A.fingerprint: entries}


def test_what_is_as_it_was_is_no_finding() -> None:
    verdict = judge([FIRES], listing(by_a(listed())))
    assert verdict == truth.Verdict(findings={}, unheard=[], told_whole=frozenset(), absent={})


@pytest.mark.parametrize("mute", [SILENCE, INHIBITION])
def test_a_mute_is_found(mute: model.Mute) -> None:
    assert found(judge([FIRES], listing(by_a(listed(mute))))) == ("fires", mute)


def test_the_end_of_a_silence_is_found() -> None:
    assert found(judge([SILENCED], listing(by_a(listed())))) == ("fires", None)


def test_a_silence_that_is_prolonged_is_found() -> None:
    longer = dataclasses.replace(SILENCE, until=at(9000))
    assert found(judge([SILENCED], listing(by_a(listed(longer))))) == ("fires", longer)


def test_of_two_peers_one_that_tells_it_is_enough() -> None:
    verdict = judge([SILENCED], listing(by_a(listed(SILENCE))), listing(by_a(listed()), peer("two")))
    assert found(verdict) == ("fires", None)


def test_a_mute_of_another_route_counts_only_where_its_own_is_not_listed() -> None:
    elsewhere = listed(INHIBITION, receiver="pagerduty-native")
    assert found(judge([FIRES], listing(by_a(listed(), elsewhere)))) is None
    assert found(judge([FIRES], listing(by_a(elsewhere)))) == ("fires", INHIBITION)


@pytest.mark.parametrize(
    "doubted",
    [
        peer(up=299),
        peer(error="it does not answer in time"),
        dataclasses.replace(peer(), beats={}),
        dataclasses.replace(peer(), beats={"eu-2": peers.Beat(since=at(0), latest=at(NOW))}),
        dataclasses.replace(peer(), beats={"eu-1": peers.Beat(since=at(0), latest=at(NOW - 151))}),
    ],
    ids=["young", "unreachable", "no watchdog", "another's watchdog", "a stale watchdog"],
)
def test_nothing_is_concluded_from_a_peer_in_doubt(doubted: peers.Peer) -> None:
    stranger = truth.Stranger(group_labels=OTHER, alert=alert("b"), listed=listed(incident=OTHER_ID))
    old = {A.fingerprint: at(0)}
    for mentioned in ({}, by_a(listed(SILENCE))):
        for one in (FIRES, HELD, RECOVERS):
            verdict = judge(
                [one],
                listing(mentioned, doubted, [stranger]),
                absent=old,
                partial=[ID],
                sources=["eu-1", "eu-2"],
            )
            assert (verdict.findings, verdict.unheard, verdict.told_whole) == ({}, [], frozenset())


def test_without_any_peer_nothing_is_concluded() -> None:
    verdict = judge([FIRES, RECOVERS], absent={A.fingerprint: at(0)}, partial=[ID])
    assert (verdict.findings, verdict.told_whole) == ({}, frozenset())


# Held firings and recoveries


def test_a_held_firing_that_was_sent_after_its_end_fires() -> None:
    assert found(judge([HELD], listing(by_a(listed(updated=901)))), HELD) == ("fires", None)


def test_a_held_firing_that_was_not_sent_since_its_end_proves_nothing() -> None:
    assert found(judge([HELD], listing(by_a(listed(updated=900)))), HELD) is None
    assert found(judge([HELD], listing()), HELD) is None


def test_a_recovery_is_proved_by_a_watchdog_after_it() -> None:
    assert found(judge([RECOVERS], listing())) == ("recovered", None)


def test_a_recovery_waits_while_no_watchdog_came_after_it() -> None:
    last = dataclasses.replace(peer(), beats={"eu-1": peers.Beat(since=at(0), latest=at(900))})
    assert found(judge([RECOVERS], listing(by=last))) is None


def test_a_recovery_is_disproved_by_a_peer_that_was_sent_the_alert_since() -> None:
    verdict = judge([RECOVERS], listing(), listing(by_a(listed(updated=950)), peer("two")))
    assert found(verdict) == ("fires", None)


def test_a_recovery_is_proved_although_a_peer_that_did_not_hear_of_it_lists_the_alert() -> None:
    verdict = judge([RECOVERS], listing(), listing(by_a(listed(updated=890)), peer("two")))
    assert found(verdict) == ("recovered", None)


def test_a_recovery_is_proved_by_one_of_two_peers() -> None:
    verdict = judge([RECOVERS], listing(), listing(by=peer("two", error="it cannot be reached")))
    assert found(verdict) == ("recovered", None)


def test_a_source_that_was_cut_off_around_the_end_has_to_be_heard_for_a_while() -> None:
    assert found(judge([RECOVERS], listing(by=peer(beats_since=950)))) is None
    assert found(judge([RECOVERS], listing(by=peer(beats_since=910)))) == ("recovered", None)


def test_an_alert_that_may_come_from_two_needs_both() -> None:
    beat = peers.Beat(since=at(0), latest=at(NOW - 1))
    both = dataclasses.replace(peer(), beats={"eu-1/a": beat, "eu-1/b": beat})
    half = dataclasses.replace(peer(), beats={"eu-1/a": beat})
    sources = ["eu-1/a", "eu-1/b"]
    assert found(judge([RECOVERS], listing(by=both), sources=sources)) == ("recovered", None)
    assert found(judge([RECOVERS], listing(by=half), sources=sources)) is None


# Gone


def test_what_is_not_listed_is_given_up_when_no_message_can_come_any_more() -> None:
    first = judge([FIRES], listing())
    assert (found(first), first.absent) == (None, {A.fingerprint: at(NOW)})
    later = judge([FIRES], listing(by=peer(now=1024)), absent=first.absent, now=1024)
    assert (found(later), later.absent) == (None, first.absent)
    assert found(judge([FIRES], listing(by=peer(now=1025)), absent=first.absent, now=1025)) == ("gone", None)


def test_what_is_listed_again_is_not_absent() -> None:
    assert judge([FIRES], listing(by_a(listed())), absent={A.fingerprint: at(0)}).absent == {}


def test_of_what_is_silenced_no_message_would_tell_the_end() -> None:
    assert found(judge([SILENCED], listing())) == ("gone", None)


def test_nothing_is_gone_while_one_peer_is_in_doubt() -> None:
    for doubted in (
        peer("two", error="it cannot be reached"),
        peer("two", up=10),
        peer("two", beats_since=950),
    ):
        verdict = judge([SILENCED], listing(), listing(by=doubted))
        assert (found(verdict), verdict.absent) == (None, {})


def test_nothing_is_gone_that_anyone_lists_anywhere() -> None:
    renamed = listed(receiver="renamed")
    regrouped = listed(incident=OTHER_ID)
    for entry in (renamed, regrouped):
        verdict = judge([SILENCED], listing(by_a(entry._replace(mute=SILENCE))))
        assert (found(verdict), verdict.absent) == (None, {})


# Strangers


def stranger(
    *, starts: float = 0, mute: model.Mute | None = None, updated: float = NOW - 5, name: str = "b"
) -> truth.Stranger:
    return truth.Stranger(
        group_labels=OTHER,
        alert=alert(name, starts=starts, cluster="eu-1"),
        listed=listed(mute, incident=OTHER_ID, updated=updated),
    )


def test_an_alert_that_no_message_told_of_is_heard() -> None:
    one = stranger()
    assert judge([], listing(strangers=[one]), listing(by=peer("two"), strangers=[one])).unheard == [one]


@pytest.mark.parametrize(("age", "heard"), [(29, 0), (30, 1)])
def test_an_alert_is_left_to_its_message_for_as_long_as_one_may_come(age: float, heard: int) -> None:
    assert len(judge([], listing(strangers=[stranger(starts=NOW - age)])).unheard) == heard


def test_a_muted_stranger_is_none_of_our_business() -> None:
    assert judge([], listing(strangers=[stranger(mute=SILENCE)])).unheard == []


def test_where_mutes_cannot_be_seen_no_stranger_is_heard() -> None:
    assert judge([], listing(strangers=[stranger()], knows_mutes=False)).unheard == []


def test_an_alert_that_left_its_group_is_heard_in_the_other() -> None:
    one = stranger()
    there = {one.alert.fingerprint: (one.listed,)}
    assert judge([standing(one.alert)], listing(there, strangers=[one])).unheard == [one]


def test_an_alert_that_is_still_in_its_group_did_not_move() -> None:
    one = stranger()
    both = {one.alert.fingerprint: (one.listed, listed())}
    assert judge([standing(one.alert)], listing(both, strangers=[one])).unheard == []
    moved = listing({one.alert.fingerprint: (one.listed,)}, strangers=[one])
    stays = listing({one.alert.fingerprint: (listed(),)}, peer("two"))
    assert judge([standing(one.alert)], moved, stays).unheard == []


# Messages that left alerts out


def test_an_incident_is_told_whole_when_nothing_of_it_is_unknown() -> None:
    assert judge([], listing(), partial=[ID, OTHER_ID]).told_whole == {ID, OTHER_ID}
    unknown = listing(strangers=[stranger(mute=SILENCE)])
    assert judge([], unknown, partial=[ID, OTHER_ID]).told_whole == {ID}


def test_an_incident_is_not_told_whole_while_something_may_be_missed() -> None:
    assert judge([], listing(complete=False), partial=[ID]).told_whole == frozenset()
    assert judge([], listing(by=peer(beats_since=950)), partial=[ID]).told_whole == frozenset()
    assert judge([], listing(), partial=[ID], sources=["eu-1", "eu-2"]).told_whole == frozenset()


# Nobody to ask


def test_where_nobody_can_be_asked_what_was_heard_counts() -> None:
    held, fires = (one._replace(fingerprint=name) for one, name in ((HELD, "held"), (FIRES, "fires")))
    silenced = SILENCED._replace(fingerprint="silenced")
    kinds = {
        name: (one.kind, one.mute)
        for name, one in truth.unasked([RECOVERS, held, fires, silenced])[ID].items()
    }
    assert kinds == {
        A.fingerprint: (truth.Kind.RECOVERED, None),
        "silenced": (truth.Kind.FIRES, None),
    }


# What is found is put on record, and then there is nothing left to find

_MUTES = st.sampled_from([None, SILENCE, INHIBITION])
_LISTED = st.builds(
    lambda mute, here, updated: listed(mute, incident=ID if here else OTHER_ID, updated=updated),
    _MUTES,
    st.booleans(),
    st.sampled_from([850.0, 990.0]),
)
_PEERS = st.builds(
    lambda error, up, since: peer(error=error, up=up, beats_since=since),
    st.sampled_from(["", "", "", "it cannot be reached"]),
    st.sampled_from([3600.0, 3600.0, 10.0]),
    st.sampled_from([0.0, 0.0, 950.0]),
)
_LISTINGS = st.lists(
    st.builds(lambda by, entries: listing(by_a(*entries) if entries else {}, by), _PEERS, st.lists(_LISTED)),
    min_size=1,
    max_size=2,
)
_RECORD = st.sampled_from(
    [
        A,
        structs.replace(A, recovers_at=at(900)),
        structs.replace(A, ends_at=at(900), held_until=at(1020)),
        structs.replace(A, muted=SILENCE),
        structs.replace(A, muted=INHIBITION),
    ]
)


@given(known=_RECORD, listings=_LISTINGS)
@settings(max_examples=400, deadline=None)
def test_a_second_look_finds_nothing_new(known: model.Alert, listings: list[truth.Listing]) -> None:
    opened = episodes.absorb(None, message(A), at(1))
    incident = structs.replace(
        opened, alerts={A.fingerprint: structs.replace(known, episode=1)}, open=known.fires
    )
    for _ in range(2):
        on_record = [
            standing(one) for one in incident.alerts.values() if one.status is model.AlertStatus.FIRING
        ]
        verdict = judge(on_record, *listings, absent={A.fingerprint: at(0)})
        before, incident = incident, episodes.find(incident, verdict.findings.get(ID, {}), at(NOW))
    assert before is incident
    one = incident.alerts[A.fingerprint]
    assert (one.status is model.AlertStatus.FIRING) or one.ends_at is not None
    trusted = [each for each in listings if not peers.doubt(each.peer, "eu-1", BOUNDS)]
    if not trusted:
        assert one == structs.replace(known, episode=1)
    if any(entry.updated_at > at(900) for each in trusted for entry in each.alerts.get(A.fingerprint, ())):
        assert one.fires
