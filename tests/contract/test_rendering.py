"""What no text in an alert can do: keep a message from being rendered, within every limit and in little time."""

import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from msgspec import structs

from routing import message, model
from routing.destinations import log, pagerduty, slack
from tests.standins import blocks, faults, messages
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import told
from webhook import listing

KEY = "s3cretkeys3cretkeys3cretkeys3cre"
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)

LARGE = "\U0001f525" * 100_000
"""100,000 characters of the kind that takes the most bytes everywhere."""

GREEDY_RUNBOOK = "# T\n\n## First three minutes\n\n" + "\n".join(
    f"{number}. Look at {{service}} and {{pod}} and {{instance}} {LARGE[:2_000]}\n\n"
    f"   ```\n   {LARGE[:9_000]}\n   ```\n"
    for number in range(1, 30)
)


def arrival(path: str, body: object) -> faults.Arrival:
    return faults.Arrival(
        path=path,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        at_seconds=0,
        at_unix_seconds=0,
    )


def pagerduty_takes(shown_: message.Message, *, plain: bool) -> None:
    strict = pagerduty_standin.PagerDuty(keys={KEY: "ops"}, rate_per_minute=None)
    asked = dict(pagerduty.event(shown_, plain=plain))
    # What pdpyras makes of its arguments.
    body = {"routing_key": KEY, "event_action": asked.pop("action"), **asked}
    verdict = strict.judge(arrival("/v2/enqueue", body))
    assert verdict.status == 202, verdict.reasons


def slack_takes(shown_: message.Message, *, plain: bool) -> None:
    body = slack.plainly(shown_) if plain else slack.render(shown_)
    word, reasons = slack_standin.message_faults(arrival("/services/T000/B000/x", body))
    assert word is None, reasons
    assert blocks.characters(messages.all_blocks(body)) <= slack.ALL_BLOCKS_CHARACTERS
    for place, text in untrusted_parts(body):
        if shown_.summons:  # the one text that calls the channel, and in front of anything untrusted
            text = text.removeprefix("<!channel> ")  # noqa: PLW2901
        assert not re.search(
            "<(?!https?://[^|<>]+[|](?:Runbook|Incident|Graph|Dashboard|Logs|Silence)>)", text
        ), place


def untrusted_parts(body: Mapping[str, object]) -> list[tuple[str, str]]:
    """Each text of a message, with its name."""
    found = [("text", str(body["text"]))]
    for block in messages.all_blocks(body):
        found.extend((str(block["type"]), text) for text, _ in blocks.texts(block))
    return found


def log_takes(shown_: message.Message, *, plain: bool) -> None:
    line = json.dumps(log.Log(name="info", stands_for=None)._record(shown_, plain=plain))
    assert line.isascii()
    assert line.isprintable()
    assert len(line) <= 200_000


TAKERS: Mapping[str, Callable[..., None]] = {
    "pagerduty": pagerduty_takes,
    "slack": slack_takes,
    "log": log_takes,
}


def every_step(about: model.Incident) -> list[model.Step]:
    return [told.step(about, act, why, fired_times=7) for act in model.Act for why in model.Reason]


def full(characters: str, alerts: int = 3, labels: int = 30) -> model.Incident:
    """An incident that is full everywhere of one kind of character."""
    names: dict[str, str] = {f"{characters[:300]}{number}": characters for number in range(labels)}
    usual = (
        "alertname",
        "service",
        "namespace",
        "cluster",
        "instance",
        "pod",
        "priority",
        "severity",
        "team",
    )
    worst = names | dict.fromkeys(usual, characters)
    many = [
        structs.replace(
            told.down(str(number)),
            fingerprint=f"{number:016x}",
            labels=worst,
            annotations=worst
            | {
                "summary": characters,
                "description": characters,
                "runbook_url": "https://r.example/" + characters,
                "dashboard_url": "https://g.example/" + characters[:150],
            },
            generator_url="https://p.example/" + characters[:150],
        )
        for number in range(alerts)
    ]
    return told.incident(*many, group_labels=worst, external_url="https://a.example/" + characters[:150])


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS.keys())
@settings(deadline=None, max_examples=60)
@given(told.hostile_messages())
def test_no_message_is_refused_for_a_text_in_an_alert(
    taker: Callable[..., None], shown_: message.Message
) -> None:
    for plain in (False, True):
        taker(shown_, plain=plain)


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS.keys())
@pytest.mark.parametrize("text", told.HOSTILE, ids=range(len(told.HOSTILE)))
def test_every_step_for_every_reason_can_be_told_of_hostile_alerts(
    taker: Callable[..., None], text: str
) -> None:
    about = full(text, alerts=2, labels=5)
    for step in every_step(about):
        taker(told.compose(about, step), plain=False)
        taker(told.compose(about, step), plain=True)


@pytest.mark.parametrize("taker", TAKERS.values(), ids=TAKERS.keys())
@pytest.mark.parametrize("character", ["x", "&", "\U0001f525", "\ud800", "\x00", "'", '"', "\\", "\u0301"])
def test_a_message_that_is_full_everywhere_is_within_every_limit(
    taker: Callable[..., None], character: str
) -> None:
    about = full(character * 100_000)
    short = structs.replace(
        about,
        alerts={
            name: structs.replace(
                alert,
                labels=dict(alert.labels)
                | {"service": character * 900, "pod": character * 900, "alertname": "ServiceDown"},
            )
            for name, alert in about.alerts.items()
        },
    )
    for step in (
        told.step(short),
        told.step(short, model.Act.UPDATE, model.Reason.JOINED),
        told.step(short, model.Act.CLOSE, model.Reason.RESOLVED),
    ):
        told_ = told.compose(short, step, {"ServiceDown": GREEDY_RUNBOOK})
        assert told_.advice is not None
        taker(told_, plain=False)


def test_thousands_of_alerts_with_large_texts_are_rendered_at_once() -> None:
    alerts = [
        structs.replace(alert, fingerprint=f"{number:016x}")
        for number, alert in enumerate(list(full(LARGE, alerts=50, labels=3).alerts.values()) * 100)
    ]
    about = told.incident(*alerts)
    began = time.process_time()
    composed = told.compose(about, told.step(about))
    for taker in TAKERS.values():
        taker(composed, plain=False)
    # Measured: 0.1 s. While it lasts, nothing else is answered or told.
    assert time.process_time() - began < 1.5


def test_the_command_line_lists_hostile_incidents_in_plain_signs() -> None:
    situations = [
        model.Situation(
            incident=full(text, alerts=2, labels=5),
            deliveries={
                "pager": model.Delivery(
                    incident_id="x", destination="pager", since_episode=1, attempts=2, last_error=text
                )
            },
        )
        for text in told.HOSTILE
    ]
    text = listing.as_text(situations, now=NOW)
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.dumps(listing.as_data(situations)).isascii()
