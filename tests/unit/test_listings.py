"""From what an Alertmanager lists to what is compared with the record."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta, timezone

import msgspec

from routing import model, peers
from tests.unit.build import GROUP, at
from webhook import alertmanager_api, listings

ID = model.incident_id(GROUP)
SILENCES = {
    name: alertmanager_api.Silence(id=name, created_by=name, comment=f"{name} says", ends_at=at(hours * 3600))
    for name, hours in (("ann", 1), ("ben", 2))
}


def listed(
    fingerprint: str, state: alertmanager_api.AlertState | None = None, **labels: str
) -> alertmanager_api.ListedAlert:
    return alertmanager_api.ListedAlert(
        fingerprint=fingerprint,
        labels={"alertname": "ServiceDown", **labels},
        starts_at=at(0),
        updated_at=at(60),
        status=state or alertmanager_api.AlertState(state="active"),
    )


def group(
    *alerts: alertmanager_api.ListedAlert, receiver: str = "hook", labels: Mapping[str, str] = GROUP
) -> alertmanager_api.Group:
    named = {"labels": dict(labels), "receiver": {"name": receiver}, "alerts": []}
    made = msgspec.convert(named, alertmanager_api.Group)
    made.alerts = list(alerts)
    return made


def read(
    *groups: alertmanager_api.Group,
    on_record: Mapping[str, Collection[str]] | None = None,
    partial: Collection[str] = (),
) -> tuple[listings.Reading, Sequence[str]]:
    """The reading, and the fingerprints of its strangers."""
    reading = listings.Reading(
        on_record=on_record or {}, receivers={"hook"}, partial=partial, silences=SILENCES
    )
    for one in groups:
        reading.take([one])
    strangers = reading.listing(peers.Peer(name="one")).strangers
    return reading, [one.alert.fingerprint for one in strangers]


def mute_of(state: alertmanager_api.AlertState, *others: alertmanager_api.Group) -> model.Mute | None:
    reading, _ = read(group(listed("a", state)), *others)
    (one,) = reading.listing(peers.Peer(name="one")).alerts["a"]
    return one.mute


def test_the_silence_that_ends_last_says_until_when() -> None:
    state = alertmanager_api.AlertState(state="suppressed", silenced_by=["ann", "ben", "unknown"])
    assert mute_of(state) == model.Mute(
        kind=model.MuteKind.SILENCED, by="ben", comment="ben says", until=at(7200)
    )


def test_a_silence_that_is_not_known_yet_is_one_all_the_same() -> None:
    state = alertmanager_api.AlertState(state="suppressed", silenced_by=["unknown"])
    assert mute_of(state) == model.Mute(kind=model.MuteKind.SILENCED)


def test_an_inhibiting_alert_is_named() -> None:
    state = alertmanager_api.AlertState(state="suppressed", inhibited_by=["b", "elsewhere"])
    other = group(listed("b", alertname="DatabaseUnreachable"))
    assert mute_of(state, other) == model.Mute(
        kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable, elsewhere"
    )


def test_a_time_interval_mutes() -> None:
    state = alertmanager_api.AlertState(state="suppressed", muted_by=["night"])
    assert mute_of(state) == model.Mute(kind=model.MuteKind.MUTED, by="night")


def test_watchdogs_are_heard_by_their_source_and_are_no_alerts() -> None:
    early = listed("w", alertname="Watchdog", cluster="eu-1")
    late = listed("w", alertname="Watchdog", cluster="eu-1")
    late.updated_at = at(90)
    reading, strangers = read(group(late), group(early), group(listed("v", alertname="Watchdog")))
    assert reading.watchdogs == {"eu-1": at(90), "": at(60)}
    assert (strangers, reading.listing(peers.Peer(name="one")).alerts) == ([], {})


def test_strangers_are_what_our_receiver_is_not_on_record_with() -> None:
    silenced = alertmanager_api.AlertState(state="suppressed", silenced_by=["ann"])
    groups = [
        group(listed("known"), listed("elsewhere"), listed("new"), listed("silenced", silenced)),
        group(listed("foreign"), receiver="pagerduty-native"),
    ]
    on_record = {"known": (ID,), "elsewhere": ("another",)}
    assert read(*groups, on_record=on_record)[1] == ["elsewhere", "new"]
    assert read(*groups, on_record=on_record, partial=[ID])[1] == ["elsewhere", "new", "silenced"]


def test_there_is_a_bound_to_strangers_and_it_is_told() -> None:
    reading, strangers = read(group(*(listed(str(number)) for number in range(1500))))
    assert len(strangers) == 1000
    assert not reading.listing(peers.Peer(name="one")).complete


def test_times_come_back_in_utc() -> None:
    one = listed("a")
    one.starts_at = at(0).astimezone(tz=timezone(timedelta(hours=2)))
    reading, _ = read(group(one))
    (stranger,) = reading.listing(peers.Peer(name="one")).strangers
    assert stranger.alert.starts_at.utcoffset() == timedelta(0)
