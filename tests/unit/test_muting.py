"""What people read about alerts that are kept quiet, and about ends that nothing has proved."""

import dataclasses

from msgspec import structs

from routing import model, muting
from routing.destinations import pagerduty, slack
from tests.unit import told
from tests.unit.build import at

ONE, TWO = told.down("a"), told.down("b")
SILENCE = model.Mute(kind=model.MuteKind.SILENCED, by="ann", comment="new disk", until=at(3600))
INHIBITION = model.Mute(kind=model.MuteKind.INHIBITED, by="DatabaseUnreachable")
NIGHT = model.Mute(kind=model.MuteKind.MUTED, by="night")


def muted(alert: model.Alert, mute: model.Mute) -> model.Alert:
    return structs.replace(alert, muted=mute)


def said(*alerts: model.Alert, **sets: frozenset[str]) -> list[str]:
    about = told.incident(*alerts)
    shows = model.Shown(
        episode=1,
        firing=frozenset(about.alerts) - sets.get("silenced", frozenset()),
        priority=model.Priority.P1,
        **sets,
    )
    return muting.sentences(about, shows)


def these(*alerts: model.Alert) -> frozenset[str]:
    return frozenset(alert.fingerprint for alert in alerts)


def test_a_silence_says_by_whom_until_when_and_why() -> None:
    assert said(muted(ONE, SILENCE), silenced=these(ONE)) == [
        "It is silenced by ann until 2026-01-15 04:00:00 UTC (new disk)."
    ]


def test_a_silence_of_some_says_how_many() -> None:
    assert said(muted(ONE, SILENCE), TWO, silenced=these(ONE)) == [
        "1 alert is silenced by ann until 2026-01-15 04:00:00 UTC (new disk)."
    ]


def test_a_silence_of_which_nothing_is_known_is_still_told() -> None:
    unknown = model.Mute(kind=model.MuteKind.SILENCED)
    assert said(muted(ONE, unknown), silenced=these(ONE)) == ["It is silenced in Alertmanager."]


def test_several_silences_are_told_and_many_are_not() -> None:
    alerts = [told.down(str(number)) for number in range(5)]
    silenced = [
        muted(alert, dataclasses.replace(SILENCE, by=f"ann {number}", until=None, comment=""))
        for number, alert in enumerate(alerts)
    ]
    assert said(*silenced, silenced=these(*alerts)) == [
        "It is silenced by ann 0, by ann 1, by ann 2 and others."
    ]


def test_inhibition_says_by_what() -> None:
    assert said(muted(ONE, INHIBITION), inhibited=these(ONE)) == [
        "It is inhibited by DatabaseUnreachable: it stays open, and nobody is reminded."
    ]
    assert said(muted(ONE, NIGHT), TWO, inhibited=these(ONE)) == [
        "1 alert is muted by the time interval night: it stays open, and nobody is reminded."
    ]


def test_an_unconfirmed_recovery_says_what_was_heard_and_when() -> None:
    recovering = structs.replace(ONE, recovers_at=at(60))
    assert said(recovering, unconfirmed=these(ONE)) == [
        (
            "Recovery unconfirmed: Alertmanager said that it resolved at 2026-01-15 03:01:00 UTC, and nothing has "
            "proved since that its Prometheus is alive. It may still fire."
        )
    ]


def closed_as_silenced(comment: str = "new disk") -> tuple[model.Incident, model.Step]:
    about = told.incident(muted(ONE, dataclasses.replace(SILENCE, comment=comment)))
    shows = model.Shown(
        episode=1, firing=frozenset(), priority=model.Priority.P1, silenced=frozenset(about.alerts)
    )
    return about, told.step(about, model.Act.CLOSE, model.Reason.SILENCED, shows=shows)


def test_pagerduty_hears_why_an_incident_is_resolved_that_still_fires() -> None:
    event = pagerduty.event(told.compose(*closed_as_silenced()), plain=False)
    assert (event["action"], event["payload"]["severity"]) == ("resolve", "critical")
    assert event["payload"]["summary"].startswith("[P1 silenced] ServiceDown")
    assert event["payload"]["custom_details"] == {
        "notes": ["It is silenced by ann until 2026-01-15 04:00:00 UTC (new disk)."]
    }
    assert pagerduty.event(told.compose(*closed_as_silenced()), plain=True).keys() == {"action", "dedup_key"}


def test_slack_shows_why_an_incident_is_closed_that_still_fires() -> None:
    body = str(slack.render(told.compose(*closed_as_silenced(comment="<!channel>"))))
    assert "[P1 silenced] ServiceDown" in body
    assert "silenced by ann until 2026-01-15 04:00:00 UTC (&lt;!channel&gt;)" in body
