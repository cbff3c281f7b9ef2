"""Who stands in for whom, by the configuration in force."""

from pathlib import Path

import pytest

from routing import failover, message, model
from tests.unit import build, told
from webhook import config, delivering

LIVE = {
    "PAGERDUTY_SERVICE_KEY": "0123456789abcdef0123456789abcdef",
    "SLACK_INCIDENTS_WEBHOOK": "https://hooks.slack.example/services/T0/B0/hidden",
}


def backups(**environ: str) -> dict[str, str]:
    settings = config.load(None, environ)
    return {name: one.to for name, one in delivering.backups(settings, dry_run=False).items()}


def test_pagerduty_and_the_incident_channel_stand_in_for_each_other() -> None:
    assert backups(**LIVE) == {"pagerduty": "slack-incidents", "slack-incidents": "pagerduty"}


def test_nobody_waits_for_a_destination_that_is_dry() -> None:
    assert backups(PAGERDUTY_SERVICE_KEY=LIVE["PAGERDUTY_SERVICE_KEY"]) == {
        "pagerduty": "slack-incidents (dry)"
    }
    assert backups() == {}


def test_a_dry_run_waits_for_nobody() -> None:
    assert delivering.backups(config.load(None, LIVE), dry_run=True) == {}


@pytest.mark.parametrize("failed", [frozenset({"pagerduty"}), frozenset()])
def test_people_are_named_only_where_a_page_has_gone_astray(failed: frozenset[str], tmp_path: Path) -> None:
    file = tmp_path / "routing.yml"
    text = config.PACKAGED.read_text("utf-8").replace("who: CTO", 'who: CTO\n    reach: "+49 30 1234"')
    file.write_text(text, "utf-8")
    compose = delivering.composer(config.load(file, LIVE), {}, dry_run=False, clock=lambda: build.at(50))
    incident = told.incident(told.down())
    delivery = model.Delivery(
        incident_id=incident.id, destination="pagerduty", since_episode=1, owed_since=build.at(0)
    )
    situation = model.Situation(incident=incident, deliveries={"pagerduty": delivery})

    composed = compose(situation, told.step(incident, failed=failed))

    if failed:
        assert composed.summons is not None
        assert composed.summons.why == ("PagerDuty has not taken this page for 50 s.",)
        assert message.Contact(who="CTO", reach="+49 30 1234") in composed.summons.contacts
    else:
        assert composed.summons is None


def test_what_is_said_of_a_destination_that_has_it_now_is_a_note() -> None:
    compose = delivering.composer(config.load(None, LIVE), {}, dry_run=False, clock=lambda: build.at(60))
    incident = told.incident(told.down())
    shown = model.Shown(episode=1, firing=frozenset({"x"}), priority=model.Priority.P1)
    delivery = model.Delivery(
        incident_id=incident.id,
        destination="pagerduty",
        since_episode=1,
        shown=shown,
        shown_at=build.at(55),
    )
    situation = model.Situation(incident=incident, deliveries={"pagerduty": delivery})
    step = told.step(incident, model.Act.UPDATE, model.Reason.TAKEN_BACK, taken=frozenset({"pagerduty"}))
    assert compose(situation, step).notes[0] == "PagerDuty has been paged now, at 2026-01-15 03:00:55 UTC."
    assert failover.sentences(situation, step, {}, build.at(60)) == ("pagerduty is not waited for any more.",)
