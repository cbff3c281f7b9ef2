"""What a message changes of an incident."""

from datetime import timedelta

from routing import episodes, model
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
