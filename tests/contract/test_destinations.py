"""What every destination does, whatever its kind: against stand-ins of the far ends."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import pytest

from routing import message, model
from routing.destinations import contract, log, pagerduty, slack
from tests.standins import faults, server
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.unit import told

ROUTING_KEY = "s3cretkeys3cretkeys3cretkeys3cre"
WEBHOOK_SECRET = "s3cretWebhookTail"
CHANNEL = "#incidents"


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A destination and its far end. `taken` counts what the far end took, `address` is where it takes it."""

    destination: contract.Destination
    taken: Callable[[], int]
    standin: server.Standin | None = None
    secret: str = ""
    address: str = ""


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
async def pagerduty_rig() -> AsyncIterator[Rig]:
    async with pagerduty_standin.serve(keys={ROUTING_KEY: "ops"}, rate_per_minute=None) as standin:
        destination = pagerduty.PagerDuty(name="pager", routing_key=ROUTING_KEY, events_url=standin.url)
        yield Rig(
            destination=destination,
            taken=lambda: len(standin.events),
            standin=standin,
            secret=ROUTING_KEY,
            address=f"{standin.url}/v2/enqueue",
        )
        await destination.close()


@pytest.fixture
async def slack_rig() -> AsyncIterator[Rig]:
    async with slack_standin.serve(channels={WEBHOOK_SECRET: CHANNEL}, burst=None) as standin:
        destination = slack.Slack(name="incidents", webhook_url=standin.webhook(CHANNEL), channel=CHANNEL)
        yield Rig(
            destination=destination,
            taken=lambda: len(standin.messages),
            standin=standin,
            secret=WEBHOOK_SECRET,
            address=standin.webhook(CHANNEL),
        )
        await destination.close()


@pytest.fixture
async def log_rig() -> AsyncIterator[Rig]:
    lines = Lines()
    logger = logging.getLogger("phantommesh.log")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    destination = log.Log(name="pager", stands_for="pagerduty")
    yield Rig(destination=destination, taken=lambda: len([json.loads(line) for line in lines.lines]))
    await destination.close()
    logger.removeHandler(lines)


@pytest.fixture(params=["pagerduty_rig", "slack_rig", "log_rig"])
def rig(request: pytest.FixtureRequest, pagerduty_rig: Rig, slack_rig: Rig, log_rig: Rig) -> Rig:
    rigs: Mapping[str, Rig] = {
        "pagerduty_rig": pagerduty_rig,
        "slack_rig": slack_rig,
        "log_rig": log_rig,
    }
    return rigs[request.param]


@pytest.fixture(params=["pagerduty_rig", "slack_rig"])
def far_rig(request: pytest.FixtureRequest, pagerduty_rig: Rig, slack_rig: Rig) -> Rig:
    """Only those with a far end."""
    rigs: Mapping[str, Rig] = {"pagerduty_rig": pagerduty_rig, "slack_rig": slack_rig}
    return rigs[request.param]


def standin_of(rig: Rig) -> server.Standin:
    assert rig.standin is not None
    return rig.standin


def every_message() -> list[message.Message]:
    """Each act for each reason, about an incident with alerts that fire and alerts that do not."""
    about = told.incident(told.down("a"), told.down("b"), told.down("c", ends=60))
    return [told.compose(about, told.step(about, act, why)) for act in model.Act for why in model.Reason]


def storm() -> message.Message:
    """5,000 alerts, each with the worst texts."""
    alerts = [
        told.down(
            str(number),
            note=told.HOSTILE[number % len(told.HOSTILE)],
            service=told.HOSTILE[number // 7 % len(told.HOSTILE)],
        )
        for number in range(5_000)
    ]
    return told.opening(*alerts)


@pytest.mark.parametrize("plain", [False, True])
async def test_takes_every_step_for_every_reason(rig: Rig, plain: bool) -> None:
    messages = every_message()
    for shown in messages:
        await rig.destination.send(shown, plain=plain)
    assert rig.taken() == len(messages)


@pytest.mark.parametrize("plain", [False, True])
async def test_takes_an_incident_of_thousands_of_hostile_alerts(rig: Rig, plain: bool) -> None:
    await rig.destination.send(storm(), plain=plain)
    assert rig.taken() == 1


async def test_takes_an_incident_without_alerts(rig: Rig) -> None:
    about = told.incident()
    await rig.destination.send(told.compose(about, told.step(about)), plain=False)
    assert rig.taken() == 1


async def test_sends_can_overlap(rig: Rig) -> None:
    await asyncio.gather(*(rig.destination.send(told.opening(), plain=False) for _ in range(5)))
    assert rig.taken() == 5


async def test_can_be_closed_unused_and_twice(rig: Rig) -> None:
    await rig.destination.close()
    await rig.destination.close()


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
async def test_a_fault_that_passes_is_tried_once_and_named_passing(far_rig: Rig, status: int) -> None:
    standin_of(far_rig).script(faults.Answer(status=status, body="trouble"), times=None)
    with pytest.raises(contract.Passing):
        await far_rig.destination.send(told.opening(), plain=False)
    assert len(standin_of(far_rig).requests) == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 410, 451])
async def test_an_answer_about_us_breaks_the_destination(far_rig: Rig, status: int) -> None:
    standin_of(far_rig).script(faults.Answer(status=status, body="trouble"))
    with pytest.raises(contract.Broken):
        await far_rig.destination.send(told.opening(), plain=False)


@pytest.mark.parametrize("status", [400, 413, 414, 415, 422, 431])
async def test_an_answer_about_the_event_refuses_it(far_rig: Rig, status: int) -> None:
    standin_of(far_rig).script(faults.Answer(status=status, body="trouble"))
    with pytest.raises(contract.Refused):
        await far_rig.destination.send(told.opening(), plain=False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(far_rig: Rig, status: int) -> None:
    standin = standin_of(far_rig)
    standin.script(faults.Answer(status=status, headers={"Location": far_rig.address}))
    with pytest.raises(contract.Broken):
        await far_rig.destination.send(told.opening(), plain=False)
    assert len(standin.requests) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_success_that_is_no_receipt_is_an_unknown_outcome(far_rig: Rig, status: int) -> None:
    standin_of(far_rig).script(faults.Answer(status=status, body="" if status == 204 else "<html>sign in"))
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert not caught.value.outcome_known


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("99999999999999999999", 300),
        ("9" * 5_000, 300),
        ("-7", None),
        ("7.5", None),
        ("Wed, 25 Nov 2026 00:00:00 GMT", None),
        ("\u0667", None),
    ],
)
async def test_the_far_end_s_own_word_on_when_to_come_back(
    far_rig: Rig, header: str, seconds: float | None
) -> None:
    standin_of(far_rig).script(faults.Answer(status=429, headers={"Retry-After": header}))
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert caught.value.retry_after_seconds == seconds
    assert caught.value.outcome_known


@pytest.mark.parametrize(
    ("status", "known"), [(429, True), (503, True), (500, False), (502, False), (504, False)]
)
async def test_only_a_plain_no_means_that_nothing_was_shown(far_rig: Rig, status: int, known: bool) -> None:
    standin_of(far_rig).script(faults.Answer(status=status, body="trouble", recorded=not known))
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert caught.value.outcome_known is known


@pytest.mark.parametrize("fault", [faults.Reset(), faults.Close(), faults.lost_receipt()])
async def test_a_connection_that_breaks_leaves_the_outcome_unknown(far_rig: Rig, fault: faults.Fault) -> None:
    standin_of(far_rig).script(fault)
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert not caught.value.outcome_known
    assert len(standin_of(far_rig).requests) == 1


async def test_a_far_end_that_is_down_surely_showed_nothing(far_rig: Rig) -> None:
    await standin_of(far_rig).stop()
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert caught.value.outcome_known


async def test_works_again_when_the_far_end_does(far_rig: Rig) -> None:
    standin = standin_of(far_rig)
    await standin.stop()
    with pytest.raises(contract.Passing):
        await far_rig.destination.send(told.opening(), plain=False)
    await standin.start(port=standin.port)
    await far_rig.destination.send(told.opening(), plain=False)
    assert far_rig.taken() == 1


async def test_a_connection_is_not_kept_for_the_next_message(far_rig: Rig) -> None:
    # The far end may close a kept one just as a message goes out, and then nobody knows whether it arrived.
    await far_rig.destination.send(told.opening(), plain=False)
    (request,) = standin_of(far_rig).requests
    assert request.arrival.headers["Connection"] == "close"


async def test_goes_through_the_proxy_of_the_environment(
    far_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert caught.value.outcome_known
    assert standin_of(far_rig).requests == []


async def test_does_not_go_through_a_proxy_where_none_is_wanted(
    far_rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    await far_rig.destination.send(told.opening(), plain=False)
    assert far_rig.taken() == 1


async def test_a_send_can_be_cancelled_and_the_next_one_goes(far_rig: Rig) -> None:
    standin = standin_of(far_rig)
    standin.script(faults.Hang())
    hanging = asyncio.create_task(far_rig.destination.send(told.opening(), plain=False))
    await standin.wait_for(lambda seen: len(seen.requests) == 1, timeout_seconds=5)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    await far_rig.destination.send(told.opening(), plain=False)
    assert far_rig.taken() == 1


async def test_an_endless_answer_is_not_read_to_its_end(far_rig: Rig) -> None:
    # Behind the bound stand words that would make it broken.
    words = "routing_key" if far_rig.secret == ROUTING_KEY else "invalid_token"
    standin_of(far_rig).script(faults.Answer(status=400, body=" " * 200_000 + words))
    with pytest.raises(contract.Refused):
        await far_rig.destination.send(told.opening(), plain=False)


async def test_a_long_answer_makes_no_long_error(far_rig: Rig) -> None:
    standin_of(far_rig).script(faults.Answer(status=400, body="x" * 60_000))
    with pytest.raises(contract.Refused) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("status", [200, 202, 400, 403, 404, 429, 500])
async def test_a_secret_that_the_far_end_repeats_is_in_no_error(
    far_rig: Rig, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"no such thing: {far_rig.secret} at {standin_of(far_rig).url}/{far_rig.secret}"
    standin_of(far_rig).script(faults.Answer(status=status, body=echo))
    with pytest.raises(contract.Failure) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert far_rig.secret not in str(caught.value)
    assert far_rig.secret not in caplog.text


async def test_a_secret_is_in_no_error_and_no_log_when_nothing_answers(
    far_rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await standin_of(far_rig).stop()
    with pytest.raises(contract.Passing) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    logging.getLogger(__name__).error("what a process would log", exc_info=caught.value)
    assert far_rig.secret not in caplog.text


async def test_control_characters_of_the_far_end_reach_no_error_text(far_rig: Rig) -> None:
    standin_of(far_rig).script(faults.Answer(status=400, body="bad\x1b[31m\nline \u202e two"))
    with pytest.raises(contract.Refused) as caught:
        await far_rig.destination.send(told.opening(), plain=False)
    assert str(caught.value).isprintable()


def test_the_traits_of_each_kind() -> None:
    assert pagerduty.PagerDuty.traits == contract.Traits(shows_partial_resolves=False, reassert_seconds=1_800)
    assert slack.Slack.traits == contract.Traits(shows_partial_resolves=True, reassert_seconds=None)
    assert log.Log.traits == contract.Traits(shows_partial_resolves=True, reassert_seconds=None)


def log_line(shown: message.Message, *, stands_for: str | None, plain: bool) -> Mapping[str, object]:
    lines = Lines()
    logger = logging.getLogger("phantommesh.log")
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        asyncio.run(log.Log(name="pager", stands_for=stands_for).send(shown, plain=plain))
    finally:
        logger.removeHandler(lines)
    (line,) = lines.lines
    assert line.isprintable()
    found: Mapping[str, object] = json.loads(line)
    return found


def test_the_log_says_which_destination_it_stands_for() -> None:
    line = log_line(told.opening(), stands_for="pagerduty", plain=False)
    assert (line["destination"], line["instead_of"]) == ("pager", "pagerduty")


def test_a_log_that_stands_for_itself_says_nothing_of_the_kind() -> None:
    assert "instead_of" not in log_line(told.opening(), stands_for=None, plain=False)


def test_the_log_has_what_a_person_needs() -> None:
    line = log_line(told.opening(), stands_for=None, plain=False)
    assert line["title"] == "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod)"
    assert line["first_command"] == "kubectl get pods -n phantommesh-prod -l app=vpn-core"
    assert "runbook" in str(line["links"])
    assert "notes" not in line


def test_the_log_keeps_a_storm_to_one_line_of_bounded_length() -> None:
    line = log_line(storm(), stands_for=None, plain=False)
    assert line["alerts_not_shown"] == 4_990
    assert len(json.dumps(line)) < 50_000
