"""What a message says, before any vendor gives it a form."""

import dataclasses

import pytest
from hypothesis import given
from msgspec import structs

from routing import message, model
from tests.unit import build, told


def update(reason: model.Reason, *alerts: model.Alert, **changes: object) -> message.Message:
    about = told.incident(*alerts)
    return told.compose(about, told.step(about, model.Act.UPDATE, reason, **changes))


def closed(reason: model.Reason, *alerts: model.Alert) -> message.Message:
    about = told.incident(*alerts)
    return told.compose(about, told.step(about, model.Act.CLOSE, reason))


def test_a_title_names_tier_alert_service_and_place() -> None:
    assert told.opening().title == "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod)"


def test_a_title_says_that_it_is_over() -> None:
    assert told.closing().title.startswith("[P1 resolved] ServiceDown: vpn-core")


@pytest.mark.parametrize(
    ("reason", "word"), [(model.Reason.MOVED, "[P1 moved]"), (model.Reason.REROUTED, "[P1 rerouted]")]
)
def test_a_title_does_not_call_resolved_what_goes_on(reason: model.Reason, word: str) -> None:
    assert closed(reason, told.down(ends=60)).title.startswith(word)


def test_a_title_without_group_labels_names_what_the_alerts_share() -> None:
    about = told.incident(told.down("a"), told.down("b"), group_labels={})
    title = told.compose(about, told.step(about)).title
    assert title == "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod)"


def test_a_title_of_alerts_that_share_nothing_counts_them() -> None:
    first, second = told.down("a"), told.down("b")
    other = structs.replace(second, labels={"alertname": "HighCPU", "priority": "P2"})
    about = told.incident(first, other, group_labels={})
    assert told.compose(about, told.step(about)).title == "[P1] 2 alerts"


def test_an_instance_stands_for_a_service_that_is_not_named() -> None:
    about = told.incident(build.alert(instance="node-1"), group_labels={"alertname": "HighCPU"})
    assert told.compose(about, told.step(about)).title == "[P1] HighCPU: node-1"


def test_the_tier_is_the_one_that_the_step_shows() -> None:
    about = told.incident(told.down())
    shows = model.Shown(episode=1, firing=frozenset(about.alerts), priority=model.Priority.P2)
    assert told.compose(about, told.step(about, shows=shows)).title.startswith("[P2] ")


def test_shown_alerts_are_those_of_the_step_firing_ones_first() -> None:
    gone, fires, elsewhere = told.down("gone", ends=60), told.down("fires"), told.down("elsewhere")
    about = told.incident(gone, fires, elsewhere)
    shows = model.Shown(episode=1, firing=frozenset({fires.fingerprint}), priority=model.Priority.P1)
    step = told.step(
        about,
        model.Act.UPDATE,
        model.Reason.PARTLY_RESOLVED,
        shows=shows,
        resolved=frozenset({gone.fingerprint}),
    )
    shown = told.compose(about, step).shown_alerts
    assert [alert.labels["pod"] for alert in shown] == ["fires", "gone"]


def test_a_close_shows_what_was_shown() -> None:
    shown, other = told.down("shown", ends=60), told.down("other", ends=60)
    about = told.incident(shown, other)
    step = told.step(about, model.Act.CLOSE, model.Reason.RESOLVED, resolved=frozenset({shown.fingerprint}))
    assert [alert.labels["pod"] for alert in told.compose(about, step).shown_alerts] == ["shown"]


def test_a_step_that_names_no_alert_shows_those_of_its_episode() -> None:
    about = told.incident(told.down("now", ends=60))
    old = structs.replace(told.down("old", ends=10), episode=0)
    about = structs.replace(about, alerts={**about.alerts, old.fingerprint: old})
    step = told.step(about, model.Act.CLOSE, model.Reason.UNCERTAIN, resolved=frozenset())
    assert [alert.labels["pod"] for alert in told.compose(about, step).shown_alerts] == ["now"]


def test_an_incident_of_no_known_alert_can_be_told() -> None:
    about = told.incident()
    shown = told.compose(about, told.step(about))
    assert shown.shown_alerts == ()
    assert shown.title == "[P2] ServiceDown: vpn-core (eu-1/phantommesh-prod)"


def test_an_ordinary_firing_needs_no_note() -> None:
    assert told.opening().notes == ()


@pytest.mark.parametrize(
    ("reason", "note"),
    [
        (model.Reason.JOINED, "1 alert joined: 2 alerts firing."),
        (model.Reason.RAISED, "Raised to P1: 2 alerts firing."),
        (model.Reason.PARTLY_RESOLVED, "1 alert resolved: 2 alerts firing."),
        (model.Reason.REASSERTED, "Still firing, so it is told again."),
        (
            model.Reason.UNRECORDED,
            (
                "Paged directly: this service cannot write its record now. See its log; "
                "until that is mended nobody is told anything but P1 pages like this one."
            ),
        ),
        (model.Reason.UNCERTAIN, "This may repeat an earlier message, whose arrival is not certain."),
    ],
)
def test_an_update_says_what_changed(reason: model.Reason, note: str) -> None:
    first, second = told.down("a"), told.down("b")
    one = frozenset({second.fingerprint})
    assert update(reason, first, second, joined=one, resolved=one).notes == (note,)


def test_what_fired_unheard_is_counted_in_the_title_and_the_notes() -> None:
    about = told.incident(told.down())
    shown = told.compose(about, told.step(about, fired_times=7))
    assert shown.title.startswith("[P1, fired 7 times] ServiceDown")
    assert shown.notes == ("Fired 7 times while this could not be told.",)


def test_what_is_already_over_says_so_when_it_is_told() -> None:
    about = told.incident(told.down(ends=60))
    shown = told.compose(about, told.step(about, reason=model.Reason.TOLD_LATE, fired_times=7))
    assert shown.title.startswith("[P1, fired 7 times, resolved since] ServiceDown")
    assert shown.notes == ("Fired 7 times while this could not be told, and has resolved since.",)


def test_an_unknown_tier_says_how_it_is_treated() -> None:
    vague = structs.replace(told.down(), labels={"alertname": "ServiceDown", "severity": "urgent"})
    assert told.opening(vague).notes == ("No known priority or severity label: treated as P2.",)


def test_alerts_that_alertmanager_left_out_are_counted() -> None:
    about = told.incident(told.down(), truncated_alerts=12)
    (note,) = told.compose(about, told.step(about)).notes
    assert note.startswith("Alertmanager left 12 alerts out of its message")


def test_a_resolve_told_while_it_fires_again_says_so() -> None:
    assert closed(model.Reason.RESOLVED, told.down()).notes == ("It fires again since; that is told next.",)


def test_what_moved_leads_to_where_it_goes_on() -> None:
    moved = structs.replace(told.down(ends=60), status=model.AlertStatus.MOVED, moved_to="f" * 32)
    shown = closed(model.Reason.MOVED, moved)
    assert shown.links.incident == f"https://alerts.example/incidents/{'f' * 32}"
    assert shown.notes == (f"Its alerts are grouped anew; it goes on as incident {'f' * 32}.",)


def test_what_is_rerouted_says_so() -> None:
    assert closed(model.Reason.REROUTED, told.down()).notes == (
        "The routing changed: this is told elsewhere now.",
    )


def test_links_lead_to_where_people_reach_things() -> None:
    shown = told.opening()
    assert shown.links.incident == f"https://alerts.example/incidents/{shown.incident.id}"
    assert shown.links.runbook == "https://alerts.example/runbooks/ServiceDown"
    assert shown.links.graph == "https://prometheus.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1"
    assert shown.links.dashboard == "https://grafana.example/d/services?var-service=vpn-core"
    assert shown.links.logs.startswith("https://grafana.example/explore?left=")
    assert shown.links.silence.startswith("https://alertmanager.example/#/silences/new?filter=")


def test_in_unknown_surroundings_links_are_as_the_alert_has_them() -> None:
    about = told.incident(told.down())
    shown = message.compose(
        about, told.step(about), surroundings=message.Surroundings(), runbooks=told.RUNBOOKS
    )
    assert shown.links == message.Links(
        runbook="https://elsewhere.example/runbooks/ServiceDown",
        graph="http://prometheus-svc:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        dashboard="http://grafana-svc:3000/d/services?var-service=vpn-core",
        silence=shown.links.silence,
    )
    assert shown.links.silence.startswith("http://alertmanager.internal:9093/#/silences/new")


def test_an_alert_without_a_runbook_here_keeps_its_own_link() -> None:
    about = told.incident(told.down())
    shown = told.compose(about, told.step(about), runbooks={})
    assert shown.links.runbook == "https://elsewhere.example/runbooks/ServiceDown"
    assert shown.advice is None


def test_a_link_that_runs_something_is_no_link() -> None:
    evil = "javascript:alert(1)"
    alert = structs.replace(
        told.down(), annotations={"runbook_url": evil, "dashboard_url": evil}, generator_url=evil
    )
    about = told.incident(alert)
    shown = told.compose(about, told.step(about), runbooks={})
    assert (shown.links.runbook, shown.links.dashboard, shown.links.graph) == ("", "", "")


def test_advice_is_the_runbook_s_with_the_alert_s_own_names() -> None:
    assert told.opening().advice == message.Advice(
        name="ServiceDown",
        first_command="kubectl get pods -n phantommesh-prod -l app=vpn-core",
        first_steps=("See the pods.", "Read their log, see Logs."),
    )


@given(told.hostile_messages())
def test_no_text_in_an_alert_can_break_a_message(shown: message.Message) -> None:
    assert len(shown.title) <= 150
    assert shown.title.isprintable()
    for link in dataclasses.astuple(shown.links):
        assert link == "" or link.startswith(("http://", "https://"))
