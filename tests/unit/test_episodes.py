"""What a message changes of an incident."""

import dataclasses
from datetime import timedelta

from msgspec import structs

from routing import episodes, model, truth
from tests.unit import build
from tests.unit.build import alert, at, message


def heard(*messages: tuple[float, model.Notification]) -> model.Incident:
    incident: model.Incident | None = None
    for seconds, notification in messages:
        incident = episodes.absorb(incident, notification, at(seconds))
    assert incident is not None
    return incident


def test_a_first_firing_opens_the_first_episode() -> None:
    incident = heard((1, message(alert())))
    assert (incident.open, incident.episode, incident.version) == (True, 1, 1)
    assert incident.opened_at == at(1)


def test_a_repeat_is_the_same_object() -> None:
    first = episodes.absorb(None, message(alert()), at(1))
    assert episodes.absorb(first, message(alert()), at(2)) is first


def test_a_changed_annotation_is_refreshed_and_is_no_change_of_state() -> None:
    first = heard((1, message(alert())))
    fresh = alert()
    second = episodes.absorb(
        first,
        message(
            model.Alert(
                fingerprint=fresh.fingerprint,
                status=fresh.status,
                labels=fresh.labels,
                annotations={"summary": "other words"},
                starts_at=fresh.starts_at,
                ends_at=None,
            )
        ),
        at(2),
    )
    assert second.version == first.version
    assert second.alerts[fresh.fingerprint].annotations == {"summary": "other words"}


def test_the_last_resolve_closes_the_episode() -> None:
    incident = heard((1, message(alert("a"), alert("b"))), (30, message(alert("a", ends=29))))
    assert incident.open
    incident = episodes.absorb(incident, message(alert("b", ends=39)), at(40))
    assert (incident.open, incident.episode, incident.resolved_at) == (False, 1, at(40))


def test_an_alert_that_a_message_leaves_out_stays_firing() -> None:
    incident = heard((1, message(alert("a"), alert("b"))), (30, message(alert("a", ends=29))))
    assert [one.labels["pod"] for one in incident.firing] == ["b"]


def test_a_firing_that_began_after_the_resolve_opens_the_next_episode() -> None:
    incident = heard((1, message(alert())), (30, message(alert(ends=29))), (60, message(alert(starts=55))))
    assert (incident.open, incident.episode) == (True, 2)


def test_a_firing_that_began_before_the_resolve_is_held() -> None:
    incident = heard((1, message(alert())), (30, message(alert(ends=29))), (31, message(alert())))
    assert (incident.open, incident.episode) == (False, 1)


def test_a_held_firing_counts_when_it_is_heard_again_a_flush_later() -> None:
    incident = heard(
        (1, message(alert())),
        (30, message(alert(ends=29))),
        (31, message(alert())),
        (42, message(alert())),
    )
    assert (incident.open, incident.episode) == (True, 2)


def test_a_held_firing_does_not_count_when_it_is_heard_again_at_once() -> None:
    incident = heard(
        (1, message(alert())),
        (30, message(alert(ends=29))),
        (31, message(alert())),
        (33, message(alert())),
    )
    assert not incident.open


def test_a_held_firing_counts_after_25_seconds_in_any_case() -> None:
    incident = heard((1, message(alert())), (30, message(alert(ends=29))), (31, message(alert())))
    assert not episodes.release(incident, at(55.9)).open
    assert episodes.release(incident, at(56)).open


def test_a_resolve_ends_a_hold_and_no_episode_has_begun() -> None:
    incident = heard(
        (1, message(alert())),
        (30, message(alert(ends=29))),
        (31, message(alert())),
        (32, message(alert(ends=29))),
    )
    incident = episodes.release(incident, at(600))
    assert (incident.open, incident.episode) == (False, 1)


def test_a_resolve_of_an_earlier_run_does_not_end_the_present_one() -> None:
    incident = heard((60, message(alert(starts=55))), (61, message(alert(ends=29))))
    assert incident.open


def test_a_start_that_moves_back_within_a_run_changes_no_state() -> None:
    first = heard((60, message(alert(starts=55))))
    second = episodes.absorb(first, message(alert(starts=50)), at(61))
    assert (second.version, second.episode) == (first.version, 1)


def test_a_resolve_of_an_earlier_run_does_not_count_after_a_late_firing_of_that_run_either() -> None:
    incident = heard(
        (60, message(alert(starts=55))),
        (61, message(alert(starts=5))),
        (62, message(alert(starts=5, ends=29))),
    )
    assert incident.open


def test_a_resolve_of_an_alert_never_heard_opens_nothing() -> None:
    assert heard((1, message(alert(ends=0)))).episode == 0


def test_a_cut_message_closes_nothing() -> None:
    incident = heard((1, message(alert())), (30, message(alert(ends=29), truncated=3)))
    assert incident.open
    incident = episodes.absorb(incident, message(alert(ends=29)), at(40))
    assert not incident.open


def test_the_priority_of_an_episode_rises_and_does_not_fall() -> None:
    incident = heard((1, message(alert("a", priority="P2"))), (2, message(alert("b"))))
    assert incident.priority is model.Priority.P1
    incident = episodes.absorb(incident, message(alert("b", ends=3)), at(4))
    assert incident.priority is model.Priority.P1


def test_the_next_episode_has_its_own_priority() -> None:
    incident = heard(
        (1, message(alert("b"))),
        (4, message(alert("b", ends=3))),
        (9, message(alert("a", priority="P2", starts=8))),
    )
    assert incident.priority is model.Priority.P2


def test_an_alert_that_moved_away_closes_what_it_leaves_empty() -> None:
    incident = heard((1, message(alert())))
    moved = episodes.move_away(incident, alert().fingerprint, "elsewhere", at(5))
    assert not moved.open
    assert moved.alerts[alert().fingerprint].moved_to == "elsewhere"


def test_a_moved_alert_does_not_come_back_within_its_run() -> None:
    moved = episodes.move_away(heard((1, message(alert()))), alert().fingerprint, "elsewhere", at(5))
    assert episodes.absorb(moved, message(alert()), at(6)) is moved


def test_a_moved_alert_that_begins_anew_fires_here() -> None:
    moved = episodes.move_away(heard((1, message(alert()))), alert().fingerprint, "elsewhere", at(5))
    assert episodes.absorb(moved, message(alert(starts=9)), at(10)).open


def test_ended_alerts_of_earlier_episodes_are_forgotten_after_an_hour() -> None:
    hour = timedelta(hours=1).total_seconds()
    incident = heard(
        (1, message(alert("old"))),
        (4, message(alert("old", ends=3))),
        (hour + 10, message(alert("new", starts=hour + 9))),
    )
    assert [one.labels["pod"] for one in incident.alerts.values()] == ["new"]


def test_the_identity_is_that_of_the_group_labels_in_any_order() -> None:
    turned = dict(reversed(list(build.GROUP.items())))
    assert model.incident_id(turned) == model.incident_id(build.GROUP)
    assert model.incident_id({**build.GROUP, "cluster": "eu-2"}) != model.incident_id(build.GROUP)
    assert len(model.dedup_key(model.incident_id(build.GROUP))) <= 255


# An end that may be blindness


def confirmable(*alerts: model.Alert) -> model.Notification:
    return structs.replace(message(*alerts), confirmable=True)


def finding(kind: truth.Kind, about: model.Alert, mute: model.Mute | None = None) -> dict[str, truth.Finding]:
    end = about.recovers_at or about.ends_at
    return {about.fingerprint: truth.Finding(kind=kind, starts_at=about.starts_at, end=end, mute=mute)}


def recovering() -> model.Incident:
    return heard((1, message(alert())), (11, confirmable(alert(ends=10))))


def only(incident: model.Incident) -> model.Alert:
    (one,) = incident.alerts.values()
    return one


SILENCE = model.Mute(kind=model.MuteKind.SILENCED, by="ann", comment="new disk", until=at(3600))


def test_the_end_of_a_p1_waits_for_proof_where_there_is_someone_to_ask() -> None:
    incident = recovering()
    assert (incident.open, only(incident).fires, only(incident).recovers_at) == (True, True, at(10))
    assert incident.version == 2


def test_the_end_of_a_p2_counts_at_once() -> None:
    incident = heard((1, message(alert(priority="P2"))), (11, confirmable(alert(priority="P2", ends=10))))
    assert not incident.open


def test_a_proved_recovery_closes_the_incident_with_the_end_that_was_heard() -> None:
    before = recovering()
    after = episodes.find(before, finding(truth.Kind.RECOVERED, only(before)), at(60))
    assert (after.open, after.reconciled, after.resolved_at) == (False, False, at(60))
    assert (only(after).ends_at, only(after).recovers_at) == (at(10), None)


def test_a_disproved_recovery_goes_on_in_the_same_episode() -> None:
    before = recovering()
    after = episodes.find(before, finding(truth.Kind.FIRES, only(before)), at(60))
    assert (after.open, after.episode, only(after).recovers_at) == (True, 1, None)


def test_a_later_start_disproves_a_recovery_and_an_earlier_one_does_not() -> None:
    stale = episodes.absorb(recovering(), confirmable(alert(starts=5)), at(20))
    assert only(stale).recovers_at == at(10)
    fresh = episodes.absorb(recovering(), confirmable(alert(starts=15)), at(20))
    assert (fresh.episode, only(fresh).recovers_at) == (1, None)


def test_a_second_end_moves_the_first_one_and_never_back() -> None:
    later = episodes.absorb(recovering(), confirmable(alert(ends=30)), at(31))
    assert only(later).recovers_at == at(30)
    assert episodes.absorb(later, confirmable(alert(ends=20)), at(32)) is later


def test_the_end_of_an_earlier_run_says_nothing_of_this_one() -> None:
    incident = heard((1, message(alert(starts=50))), (52, confirmable(alert(ends=10))))
    assert only(incident).recovers_at is None


def test_a_finding_counts_for_nothing_when_something_was_heard_since() -> None:
    seen = only(heard((1, message(alert()))))
    silenced = finding(truth.Kind.FIRES, seen, SILENCE)
    gone = finding(truth.Kind.GONE, seen)
    resolved = heard((1, message(alert())), (11, message(alert(ends=10))))
    restarted = heard((1, message(alert())), (11, message(alert(starts=10))))
    for now in (recovering(), resolved, restarted):
        for found in (silenced, gone):
            assert episodes.find(now, found, at(60)) is now
    assert episodes.find(resolved, finding(truth.Kind.FIRES, alert("unknown")), at(60)) is resolved


# What lists say


def test_a_mute_is_a_change_of_state_and_its_wording_is_not() -> None:
    before = heard((1, message(alert())))
    muted = episodes.find(before, finding(truth.Kind.FIRES, only(before), SILENCE), at(60))
    assert (muted.open, muted.version, only(muted).muted) == (True, 2, SILENCE)
    longer = dataclasses.replace(SILENCE, until=at(7200))
    prolonged = episodes.find(muted, finding(truth.Kind.FIRES, only(muted), longer), at(90))
    assert (prolonged.version, only(prolonged).muted) == (2, longer)


def test_an_alert_that_is_told_of_is_not_muted() -> None:
    before = heard((1, message(alert())))
    muted = episodes.find(before, finding(truth.Kind.FIRES, only(before), SILENCE), at(60))
    assert only(episodes.absorb(muted, message(alert()), at(70))).muted is None


def test_a_held_firing_that_is_listed_counts_at_once() -> None:
    held = heard((1, message(alert())), (21, message(alert(ends=20))), (30, message(alert(starts=10))))
    assert not held.open
    after = episodes.find(held, finding(truth.Kind.FIRES, only(held)), at(31))
    assert (after.open, after.episode, only(after).ends_at) == (True, 2, None)


def test_what_is_gone_closes_the_incident_as_reconciled() -> None:
    before = heard((1, message(alert())))
    after = episodes.find(before, finding(truth.Kind.GONE, only(before)), at(60))
    assert (after.open, after.reconciled, only(after).ends_at) == (False, True, at(60))
    again = episodes.absorb(after, message(alert(starts=70)), at(71))
    assert (again.open, again.reconciled) == (True, False)


def stranger(about: model.Alert, *, updated: float) -> truth.Stranger:
    listed = truth.Listed(
        incident_id="", receiver="hook", name="ServiceDown", updated_at=at(updated), mute=None
    )
    return truth.Stranger(group_labels=build.GROUP, alert=about, listed=listed)


def test_an_alert_that_is_only_listed_opens_its_incident() -> None:
    opened = episodes.list_strangers(None, [stranger(alert(), updated=50)], at(60))
    assert opened is not None
    assert (opened.id, opened.open, opened.episode) == (model.incident_id(build.GROUP), True, 1)
    assert opened.receiver == "hook"


def test_an_alert_that_ended_since_it_was_sent_opens_nothing() -> None:
    resolved = heard((1, message(alert())), (51, message(alert(ends=50))))
    for known in (resolved, recovering()):
        assert episodes.list_strangers(known, [stranger(alert(), updated=50)], at(60)) is known
    later = episodes.list_strangers(resolved, [stranger(alert(), updated=51)], at(60))
    assert later is not None
    assert (later.open, later.episode, later.receiver) == (True, 2, "phantommesh-alerts")


def test_an_incident_that_was_told_in_part_closes_once_all_of_it_is_known() -> None:
    partial = heard((1, message(alert(), truncated=2)), (11, message(alert(ends=10), truncated=2)))
    assert partial.open
    whole = episodes.tell_whole(partial, at(60))
    assert (whole.open, whole.reconciled, whole.truncated_alerts) == (False, True, 0)
    assert episodes.tell_whole(whole, at(61)) is whole


def test_openings_are_kept_for_an_hour() -> None:
    incident = heard(
        (0, message(alert())),
        (10, message(alert(ends=9))),
        (3000, message(alert(starts=3000))),
        (3010, message(alert(starts=3000, ends=3009))),
        (3700, message(alert(starts=3700))),
    )
    assert incident.openings == (at(3000), at(3700))
