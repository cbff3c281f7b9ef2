"""What moves which metric. Metrics are read as Prometheus reads them."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from routing import events, model
from tests.contract import served
from tests.unit.build import alert, message
from webhook import metrics, receive, resync

P = "phantommesh_alerts_"
ABOUT: dict[str, Any] = {"incident_id": "1f" * 16, "destination": "slack-ops", "priority": model.Priority.P1}
STEP: dict[str, Any] = {"act": model.Act.OPEN, "reason": model.Reason.FIRED}


def sent(since_start: float | None = 40.0, *, repeated: bool = False) -> events.Sent:
    return events.Sent(
        **ABOUT, **STEP, since_change_seconds=0.3, since_start_seconds=since_start, possibly_repeated=repeated
    )


RETRIED = events.Retried(**ABOUT, **STEP, error="503", pause_seconds=1.0)
REFUSED = events.Refused(**ABOUT, **STEP, error="400")
DEAD = events.Dead(**ABOUT, **STEP, error="400")
SUSPENDED = events.LaneSuspended(destination="slack-ops", error="no such channel")
RECOVERED = events.LaneRecovered(destination="slack-ops", was_suspended=True)


@pytest.fixture
def measured() -> metrics.Metrics:
    return metrics.Metrics(version="1.2.3", sqlite_version="3.40.1", destinations=["slack-ops"])


def value(measured: metrics.Metrics, name: str, **labels: str) -> float | None:
    return measured.registry.get_sample_value(P + name, labels)


@pytest.mark.parametrize("outcome", metrics.OUTCOMES)
def test_every_outcome_of_a_configured_destination_is_there_from_the_start(
    measured: metrics.Metrics, outcome: str
) -> None:
    assert value(measured, "deliveries_total", destination="slack-ops", outcome=outcome) == 0


@pytest.mark.parametrize(
    ("event", "outcome"), [(sent(), "sent"), (RETRIED, "retried"), (REFUSED, "refused"), (DEAD, "dead")]
)
def test_each_attempt_counts_under_its_outcome_alone(
    measured: metrics.Metrics, event: events.Event, outcome: str
) -> None:
    measured.listen(event)
    counted = {
        each: value(measured, "deliveries_total", destination="slack-ops", outcome=each)
        for each in metrics.OUTCOMES
    }
    assert counted == {each: float(each == outcome) for each in metrics.OUTCOMES}


def test_known_again_after_a_reload_keeps_the_counts(measured: metrics.Metrics) -> None:
    measured.listen(sent())
    measured.listen(SUSPENDED)
    measured.know(["slack-ops", "pagerduty"])
    assert value(measured, "deliveries_total", destination="slack-ops", outcome="sent") == 1
    assert value(measured, "deliveries_total", destination="pagerduty", outcome="sent") == 0
    assert value(measured, "lane_state", destination="slack-ops", state="suspended") == 1


def test_reason_of_what_was_told_labels_the_metric(measured: metrics.Metrics) -> None:
    measured.listen(sent())
    assert value(measured, "told_total", destination="slack-ops", act="open", reason="fired") == 1


def test_receipt_is_timed_from_the_change_and_from_the_alert(measured: metrics.Metrics) -> None:
    measured.listen(sent())
    labels = {"destination": "slack-ops", "priority": "P1"}
    assert value(measured, "change_to_receipt_seconds_sum", **labels) == 0.3
    assert value(measured, "start_to_page_seconds_sum", **labels) == 40.0


def test_only_the_first_message_is_timed_from_the_alert(measured: metrics.Metrics) -> None:
    measured.listen(sent(since_start=None))
    assert value(measured, "start_to_page_seconds_count", destination="slack-ops", priority="P1") == 0


def test_possible_repeat_is_counted(measured: metrics.Metrics) -> None:
    measured.listen(sent())
    measured.listen(sent(repeated=True))
    assert value(measured, "possible_repeats_total", destination="slack-ops") == 1


@pytest.mark.parametrize(
    ("heard", "state"),
    [
        ([], "working"),
        ([RETRIED], "pausing"),
        ([RETRIED, sent()], "working"),
        ([SUSPENDED], "suspended"),
        ([SUSPENDED, RETRIED], "suspended"),
        ([SUSPENDED, RECOVERED], "working"),
    ],
)
def test_lane_is_in_one_state(measured: metrics.Metrics, heard: list[events.Event], state: str) -> None:
    for event in heard:
        measured.listen(event)
    states = {
        each: value(measured, "lane_state", destination="slack-ops", state=each) for each in metrics.STATES
    }
    assert states == {each: float(each == state) for each in metrics.STATES}


def test_trouble_with_the_store_is_counted(measured: metrics.Metrics) -> None:
    measured.listen(events.StoreTrouble(error="disk full"))
    assert value(measured, "store_errors_total") == 1


def test_answers_are_counted_by_status(measured: metrics.Metrics) -> None:
    measured.answered(receive.Answered(status=400, seconds=0.001))
    assert value(measured, "notifications_total", status="400") == 1
    assert value(measured, "notifications_total", status="200") == 0


def test_only_what_was_accepted_is_timed(measured: metrics.Metrics) -> None:
    measured.answered(receive.Answered(status=401, seconds=5))
    measured.answered(receive.Answered(status=200, seconds=0.004))
    assert value(measured, "accept_seconds_sum") == 0.004


def test_reload_tells_success_time_and_hash_as_alertmanager_does(measured: metrics.Metrics) -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    measured.loaded(digest=hashlib.sha256(b"a").digest(), at=at)
    first = value(measured, "config_hash")
    measured.reload_failed()
    assert value(measured, "config_last_reload_successful") == 0
    assert value(measured, "config_last_reload_success_timestamp_seconds") == at.timestamp()
    assert value(measured, "config_hash") == first
    measured.loaded(digest=hashlib.sha256(b"b").digest(), at=at)
    assert value(measured, "config_last_reload_successful") == 1
    assert value(measured, "config_hash") != first


def test_age_of_what_was_not_told_is_set_from_outside(measured: metrics.Metrics) -> None:
    measured.undelivered("slack-ops", model.Priority.P1, 12.5)
    ages = {
        each: value(measured, "oldest_undelivered_seconds", destination="slack-ops", priority=each)
        for each in ("P1", "P2", "P3")
    }
    assert ages == {"P1": 12.5, "P2": 0, "P3": 0}


def test_dead_letters_are_counted_by_priority(measured: metrics.Metrics) -> None:
    measured.listen(DEAD)
    counted = {
        each: value(measured, "dead_letters_total", destination="slack-ops", priority=each)
        for each in ("P1", "P2", "P3")
    }
    assert counted == {"P1": 1, "P2": 0, "P3": 0}


def test_versions_are_labels(measured: metrics.Metrics) -> None:
    (family,) = [each for each in measured.registry.collect() if each.name == P + "build_info"]
    assert {"version": "1.2.3", "sqlite_version": "3.40.1"}.items() <= family.samples[0].labels.items()


def test_no_series_tells_when_another_was_made(measured: metrics.Metrics) -> None:
    assert "_created" not in prometheus_client.generate_latest(measured.registry).decode()


def test_every_metric_is_named_ours(measured: metrics.Metrics) -> None:
    text = prometheus_client.generate_latest(measured.registry).decode()
    assert {
        family.name for family in text_string_to_metric_families(text) if not family.name.startswith(P)
    } == set()


async def test_figures_of_the_store_are_read_when_asked_for(tmp_path: Path) -> None:
    async with served.serve(tmp_path) as service:
        await service.store.accept(message(alert()), sources=["eu-1"], body=b"{}", now=service.now)
        _, text, _ = await service.get("/metrics")
    assert 'phantommesh_alerts_open_incidents{priority="P1"} 1.0' in text
    assert 'phantommesh_alerts_open_incidents{priority="P2"} 0.0' in text
    assert "phantommesh_alerts_stored_notifications 1.0" in text
    assert "phantommesh_alerts_store_up 1.0" in text
    assert 'source_last_heard_timestamp_seconds{source="eu-1"} 1.7955756e+09' in text


async def test_series_grow_neither_with_incidents_nor_with_sources_without_end(tmp_path: Path) -> None:
    async with served.serve(tmp_path) as service:
        for number in range(150):
            at = service.now + timedelta(seconds=number)
            await service.store.accept(
                message(alert(str(number)), group={"n": str(number)}),
                sources=[f"s{number}"],
                body=b"",
                now=at,
            )
            if number == 100:
                await service.get("/metrics")
        _, text, _ = await service.get("/metrics")
    sources = [line for line in text.splitlines() if line.startswith(f"{P}source_last_heard")]
    assert len(sources) == 100
    assert any('"s149"' in line for line in sources)
    assert "ServiceDown" not in text


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_format_is_the_one_asked_for(tmp_path: Path, accept: str, media_type: str) -> None:
    async with served.serve(tmp_path) as service:
        _, _, headers = await service.get("/metrics", headers={"Accept": accept})
    assert headers["Content-Type"].startswith(media_type)


def test_a_lane_tells_what_waits_and_what_was_summarised(measured: metrics.Metrics) -> None:
    measured.waiting("slack-ops", {model.Priority.P1: 0, model.Priority.P2: 7, model.Priority.P3: 0}, 3)
    measured.waiting("slack-ops", {model.Priority.P2: 8}, 5)
    measured.waiting("slack-ops", {}, 1)  # a reload: the new lane counts from 0
    measured.listen(events.Summarised(destination="slack-ops", incidents=40))
    assert value(measured, "lane_waiting", destination="slack-ops", priority="P2") == 8
    assert value(measured, "budget_waits_total", destination="slack-ops") == 6
    assert value(measured, "summarised_total", destination="slack-ops") == 40
    assert value(measured, "deliveries_total", destination="slack-ops", outcome="sent") == 1


def looked(*seen: resync.Seen) -> resync.Looked:
    return resync.Looked(
        at=datetime(2026, 1, 15, 3, 0, tzinfo=UTC), seconds=0.2, seen=seen, found={"gone": 2, "fires": 0}
    )


def test_a_look_at_alertmanagers_is_measured(measured: metrics.Metrics) -> None:
    believed = resync.Seen(address="http://one", error="", doubts={"eu-1": ""})
    measured.looked(looked(believed, resync.Seen(address="http://two", error="it answers 503")))
    by_peer = {
        address: [
            value(measured, name, alertmanager=address)
            for name in ("alertmanager_up", "alertmanager_believed", "alertmanager_failures_total")
        ]
        for address in ("http://one", "http://two")
    }
    assert by_peer == {"http://one": [1, 1, 0], "http://two": [0, 0, 1]}
    assert value(measured, "resync_findings_total", finding="gone") == 2
    assert value(measured, "resync_seconds_count") == 1
    assert value(measured, "resync_last_success_timestamp_seconds") == 0

    measured.looked(looked(believed))
    assert value(measured, "resync_last_success_timestamp_seconds") == 1768446000
    assert value(measured, "alertmanager_up", alertmanager="http://two") is None
