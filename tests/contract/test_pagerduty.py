"""PagerDuty: what an incident becomes there, each of its answers, and that an attempt called off never arrives."""

import asyncio
import inspect
import json
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import requests.exceptions
import urllib3.exceptions
from hypothesis import given, settings
from msgspec import structs

from routing import message, model
from routing.destinations import contract, pagerduty, pagerduty_client
from tests.standins import faults
from tests.standins import pagerduty as standin_module
from tests.unit import build, told

KEY = "k" * 32


@pytest.fixture
async def standin() -> AsyncIterator[standin_module.PagerDuty]:
    async with standin_module.serve(keys={KEY: "ops"}, rate_per_minute=None) as listening:
        yield listening


@pytest.fixture
async def pager(standin: standin_module.PagerDuty) -> AsyncIterator[pagerduty.PagerDuty]:
    destination = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=standin.url)
    yield destination
    await destination.close()


def event(shown: message.Message, *, plain: bool = False) -> dict[str, Any]:
    return pagerduty.event(shown, plain=plain)


def as_sent(body: dict[str, Any]) -> bytes:
    """The bytes on the wire, as requests writes JSON."""
    arguments = dict(body)
    return json.dumps({"event_action": arguments.pop("action"), **arguments, "routing_key": KEY}).encode()


# What an incident becomes.


async def test_a_page_and_its_end_are_one_incident(
    pager: pagerduty.PagerDuty, standin: standin_module.PagerDuty
) -> None:
    await pager.send(told.opening(), plain=False)
    await pager.send(told.closing(), plain=False)
    (incident,) = standin.incidents
    assert incident.resolved
    assert [seen.action for seen in incident.events] == ["trigger", "resolve"]


async def test_an_update_is_appended_and_pages_nobody(
    pager: pagerduty.PagerDuty, standin: standin_module.PagerDuty
) -> None:
    about = told.incident(told.down())
    await pager.send(told.compose(about, told.step(about)), plain=False)
    joined = told.step(about, model.Act.UPDATE, model.Reason.JOINED)
    await pager.send(told.compose(about, joined), plain=False)
    (incident,) = standin.incidents
    assert incident.appended == 1


def test_the_dedup_key_is_the_incident_s() -> None:
    shown = told.opening()
    assert event(shown)["dedup_key"] == f"phantommesh-alerts/{shown.incident.id}"
    assert event(shown)["dedup_key"] == event(told.closing())["dedup_key"]


@pytest.mark.parametrize(("priority", "severity"), [("P1", "critical"), ("P2", "warning"), ("P3", "info")])
def test_severity_follows_the_tier(priority: str, severity: str) -> None:
    alert = build.alert(priority=priority)
    assert event(told.opening(alert))["payload"]["severity"] == severity


def test_a_trigger_says_what_where_and_how_bad() -> None:
    payload = event(told.opening())["payload"]
    assert payload["summary"] == (
        "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod): No replica of vpn-core is ready"
    )
    assert payload["source"] == "phantommesh-prod"
    assert (payload["component"], payload["group"], payload["class"]) == ("vpn-core", "eu-1", "ServiceDown")


def test_a_trigger_links_to_everything_at_the_top_level() -> None:
    shown = told.opening()
    body = event(shown)
    assert {link["text"]: link["href"] for link in body["links"]} == {
        "Runbook": shown.links.runbook,
        "Incident": shown.links.incident,
        "Graph in Prometheus": shown.links.graph,
        "Dashboard in Grafana": shown.links.dashboard,
        "Logs in Loki": shown.links.logs,
        "Silence it": shown.links.silence,
    }
    assert body["client_url"] == shown.links.incident


def test_details_have_the_first_command_and_the_alerts() -> None:
    details = event(told.opening())["payload"]["custom_details"]
    assert details["first_command"] == "kubectl get pods -n phantommesh-prod -l app=vpn-core"
    assert details["first_steps"] == ["See the pods.", "Read their log, see Logs."]
    (alert,) = details["alerts"]
    assert alert["labels"]["pod"] == "a"
    assert alert["annotations"]["description"] == "3 replicas are wanted and 0 are available."
    assert alert["when"] == "since 03:00:00 UTC"


def test_details_hold_no_link_that_was_not_checked() -> None:
    (alert,) = event(told.opening())["payload"]["custom_details"]["alerts"]
    assert not {"runbook_url", "dashboard_url"} & alert["annotations"].keys()


def test_notes_are_told() -> None:
    about = told.incident(told.down())
    body = event(told.compose(about, told.step(about, fired_times=7)))
    assert body["payload"]["custom_details"]["notes"] == ["Fired 7 times while this could not be told."]


def test_the_plain_form_still_says_what_is_wrong_and_no_more() -> None:
    body = event(told.opening(), plain=True)
    assert body["payload"]["summary"].startswith("[P1] ServiceDown: vpn-core")
    assert body.keys() == {"action", "dedup_key", "payload"}
    assert body["payload"].keys() == {"summary", "source", "severity"}


def test_a_resolve_is_nothing_but_a_resolve() -> None:
    assert event(told.closing()).keys() == {"action", "dedup_key"}


def test_a_summary_is_cut_at_its_limit_and_shows_it() -> None:
    alert = structs.replace(told.down(), annotations={"summary": "é" * 5_000})
    summary = event(told.opening(alert))["payload"]["summary"]
    assert len(summary) == 1_024
    assert summary.endswith("é…")


def test_a_summary_that_just_fits_is_whole() -> None:
    title = told.opening().title
    alert = structs.replace(told.down(), annotations={"summary": "x" * (1_024 - len(title) - 2)})
    summary = event(told.opening(alert))["payload"]["summary"]
    assert len(summary) == 1_024
    assert summary.endswith("x")


def test_alerts_that_do_not_fit_are_counted() -> None:
    details = event(told.opening(*(told.down(str(number)) for number in range(130))))["payload"][
        "custom_details"
    ]
    assert len(details["alerts"]) == 100
    assert details["more"] == "30 more alerts: see the incident's page."


def test_the_largest_alerts_fit_in_an_event() -> None:
    # 12 bytes a character as JSON writes them.
    huge: dict[str, Any] = {f"label{number}": "\U0001f525" * 3_000 for number in range(50)}
    alerts = [structs.replace(told.down(str(number), **huge), annotations=huge) for number in range(30)]
    body = event(told.opening(*alerts))
    assert len(as_sent(body)) <= pagerduty.EVENT_BYTES
    assert 1 <= len(body["payload"]["custom_details"]["alerts"]) < 30
    assert body["payload"]["custom_details"]["alerts"][0]["labels"]["…"].endswith(" more")


@settings(deadline=None)
@given(told.hostile_messages())
def test_no_text_in_an_alert_makes_an_event_that_is_refused(shown: message.Message) -> None:
    strict = standin_module.PagerDuty(keys={KEY: "ops"}, rate_per_minute=None)
    for plain in (False, True):
        sent = as_sent(event(shown, plain=plain))
        arrival = faults.Arrival(
            path="/v2/enqueue",
            headers={"Content-Type": "application/json"},
            body=sent,
            at_seconds=0,
            at_unix_seconds=0,
        )
        verdict = strict.judge(arrival)
        assert verdict.status == 202, verdict.reasons
        json.loads(sent)["dedup_key"].encode()
        json.dumps(json.loads(sent), ensure_ascii=False).encode()


# What its answers mean. What holds for every vendor stands in test_destinations.


RECEIPT = json.dumps({"status": "success", "message": "Event processed", "dedup_key": "x"})


def test_a_receipt_is_a_202_with_the_dedup_key() -> None:
    assert pagerduty.judge(202, RECEIPT) is None


@pytest.mark.parametrize("body", ["", "ok", "{}", "[]", '"dedup_key"', "<html>\x00", "[" * 100_000])
def test_a_202_without_it_is_no_receipt(body: str) -> None:
    failure = pagerduty.judge(202, body)
    assert isinstance(failure, contract.Passing)
    assert not failure.outcome_known


def test_a_receipt_with_another_status_is_none() -> None:
    assert isinstance(pagerduty.judge(200, RECEIPT), contract.Passing)


async def test_a_key_that_nobody_has_breaks_the_destination(standin: standin_module.PagerDuty) -> None:
    pager = pagerduty.PagerDuty(name="pager", routing_key="x" * 32, events_url=standin.url)
    with pytest.raises(contract.Broken, match="Invalid routing key"):
        await pager.send(told.opening(), plain=False)
    await pager.close()


async def test_a_key_of_the_wrong_shape_breaks_the_destination(standin: standin_module.PagerDuty) -> None:
    pager = pagerduty.PagerDuty(name="pager", routing_key="too short", events_url=standin.url)
    with pytest.raises(contract.Broken, match="Length of 'routing_key' is incorrect"):
        await pager.send(told.opening(), plain=False)
    await pager.close()


def test_a_refusal_says_why() -> None:
    body = json.dumps({"status": "invalid event", "message": "Event object is invalid", "errors": ["a", "b"]})
    failure = pagerduty.judge(400, body)
    assert isinstance(failure, contract.Refused)
    assert str(failure) == "PagerDuty answered 400: a; b"


async def test_too_many_events_are_a_fault_that_passes(standin: standin_module.PagerDuty) -> None:
    standin.rate_per_minute = 1
    pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=standin.url)
    await pager.send(told.opening(), plain=False)
    with pytest.raises(contract.Passing):
        await pager.send(told.opening(), plain=False)
    await pager.close()


# What it means that none came.

BROKEN_EXCEPTIONS = {
    "InvalidHeader",
    "InvalidProxyURL",
    "InvalidSchema",
    "InvalidURL",
    "LocationParseError",
    "LocationValueError",
    "MissingSchema",
    "ProxySchemeUnknown",
    "URLRequired",
    "URLSchemeUnknown",
}
REFUSED_EXCEPTIONS = {"InvalidJSONError", "JSONDecodeError"}
PASSING_EXCEPTIONS = {
    "BodyNotHttplibCompatible",
    "ChunkedEncodingError",
    "ClosedPoolError",
    "ConnectTimeout",
    "ConnectTimeoutError",
    "ConnectionError",
    "ContentDecodingError",
    "DecodeError",
    "EmptyPoolError",
    "FullPoolError",
    "HTTPError",
    "HeaderParsingError",
    "HostChangedError",
    "IncompleteRead",
    "InvalidChunkLength",
    "MaxRetryError",
    "NameResolutionError",
    "NewConnectionError",
    "PoolError",
    "ProtocolError",
    "ProxyError",
    "ProxySchemeUnsupported",
    "ReadTimeout",
    "ReadTimeoutError",
    "RequestError",
    "RequestException",
    "ResponseError",
    "ResponseNotChunked",
    "RetryError",
    "SSLError",
    "StreamConsumedError",
    "Timeout",
    "TimeoutError",
    "TimeoutStateError",
    "TooManyRedirects",
    "UnrewindableBodyError",
}


def all_exceptions() -> list[type[BaseException]]:
    """All that the libraries below can raise as their own."""
    found: list[type[BaseException]] = []
    for module in (requests.exceptions, urllib3.exceptions):
        for _, one in inspect.getmembers(module, inspect.isclass):
            own = one.__module__ == module.__name__
            if own and issubclass(one, Exception) and not issubclass(one, Warning):
                found.append(one)
    return found


def bare(kind: type[BaseException]) -> BaseException:
    """One of that kind, without the arguments that its constructor wants."""
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", all_exceptions(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_exception_below_has_its_class(kind: type[BaseException]) -> None:
    # What is raised about an address is so before there is a connection.
    about_address = kind.__name__ in BROKEN_EXCEPTIONS and kind is not urllib3.exceptions.InvalidHeader
    failure = pagerduty_client.failure(bare(kind), connected=not about_address)
    if kind is urllib3.exceptions.InvalidHeader:
        # It is about a header of an answer, unlike requests' class of that name.
        assert type(failure) is contract.Passing
        return
    expected = {
        **dict.fromkeys(PASSING_EXCEPTIONS, contract.Passing),
        **dict.fromkeys(BROKEN_EXCEPTIONS, contract.Broken),
        **dict.fromkeys(REFUSED_EXCEPTIONS, contract.Refused),
    }
    assert type(failure) is expected[kind.__name__]


def test_a_broken_header_of_an_answer_breaks_no_destination() -> None:
    failure = pagerduty_client.failure(requests.exceptions.InvalidHeader(), connected=True)
    assert type(failure) is contract.Passing


@pytest.mark.parametrize("connected", [True, False])
def test_the_outcome_is_known_where_nothing_could_have_gone_out(connected: bool) -> None:
    failure = pagerduty_client.failure(requests.exceptions.ConnectionError(), connected=connected)
    assert failure.outcome_known is not connected


@pytest.mark.parametrize("address", ["no address", "ftp://127.0.0.1", "http://", "http://[::1"])
async def test_an_address_that_is_none_breaks_the_destination(address: str) -> None:
    pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url=address)
    with pytest.raises(contract.Broken):
        await pager.send(told.opening(), plain=False)
    await pager.close()


async def test_a_name_that_nobody_knows_is_a_fault_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url="http://events.example")
    with pytest.raises(contract.Passing) as caught:
        await pager.send(told.opening(), plain=False)
    assert caught.value.outcome_known
    await pager.close()


async def test_behind_a_proxy_a_lost_answer_is_an_unknown_outcome_too(
    standin: standin_module.PagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", standin.url)
    pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url="http://events.example")
    standin.script(faults.lost_receipt())
    with pytest.raises(contract.Passing) as caught:
        await pager.send(told.opening(), plain=False)
    assert not caught.value.outcome_known
    await pager.send(told.opening(), plain=False)
    assert [seen.outcome for seen in standin.events] == ["opened", "appended"]
    await pager.close()


async def test_a_missing_file_of_certificates_is_a_fault_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/certificates.pem")
    pager = pagerduty.PagerDuty(name="pager", routing_key=KEY, events_url="https://127.0.0.1:9")
    with pytest.raises(contract.Passing) as caught:
        await pager.send(told.opening(), plain=False)
    assert caught.value.outcome_known
    await pager.close()


# Time, threads and what was called off.


@pytest.mark.parametrize(
    "fault",
    [faults.Hang(), faults.Drip(interval_seconds=0.05), faults.Drip(interval_seconds=0.05, status=202)],
)
async def test_an_answer_that_never_ends_is_a_fault_within_the_deadline(
    pager: pagerduty.PagerDuty,
    standin: standin_module.PagerDuty,
    monkeypatch: pytest.MonkeyPatch,
    fault: faults.Fault,
) -> None:
    monkeypatch.setattr(pagerduty_client, "DEADLINE_SECONDS", 0.5)
    standin.script(fault)
    with pytest.raises(contract.Passing, match="did not answer within") as caught:
        await pager.send(told.opening(), plain=False)
    assert not caught.value.outcome_known


async def test_a_page_does_not_wait_behind_a_request_that_hangs(
    pager: pagerduty.PagerDuty, standin: standin_module.PagerDuty
) -> None:
    standin.script(faults.Hang())
    hanging = asyncio.create_task(pager.send(told.opening(), plain=False))
    await standin.wait_for(lambda seen: len(seen.requests) == 1, timeout_seconds=5)
    await pager.send(told.opening(), plain=False)
    assert not hanging.done()
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


async def test_requests_that_were_called_off_hold_no_thread(
    pager: pagerduty.PagerDuty, standin: standin_module.PagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With so long a timeout nothing else than the calling off can free the threads.
    monkeypatch.setattr(pagerduty_client._Session, "timeout", (60, 60))
    standin.script(faults.Hang(), times=2)
    hanging = [asyncio.create_task(pager.send(told.opening(), plain=False)) for _ in range(2)]
    await standin.wait_for(lambda seen: len(seen.requests) == 2, timeout_seconds=5)
    for one in hanging:
        one.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await pager.send(told.opening(), plain=False)
    assert len(standin.events) == 1


async def test_what_was_called_off_before_it_was_sent_never_arrives(
    pager: pagerduty.PagerDuty, standin: standin_module.PagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, asked, answer, done = socket.getaddrinfo, threading.Event(), threading.Event(), threading.Event()

    def slow(*arguments: Any, **keywords: Any) -> Any:
        asked.set()
        answer.wait(timeout=10)
        return resolve(*arguments, **keywords)

    connect = pagerduty_client._Connection.connect

    def watched(connection: pagerduty_client._Connection) -> None:
        try:
            connect(connection)
        finally:
            done.set()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(pagerduty_client._Connection, "connect", watched)
    sending = asyncio.create_task(pager.send(told.opening(), plain=False))
    await asyncio.to_thread(asked.wait, 5)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    answer.set()
    assert await asyncio.to_thread(done.wait, 5)
    await pager.send(told.closing(), plain=False)
    assert [seen.action for seen in standin.events] == ["resolve"]


async def test_a_deadline_before_anything_was_sent_is_a_known_outcome(
    pager: pagerduty.PagerDuty, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()

    def stuck(*_: object, **__: object) -> None:
        answer.wait(timeout=10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", stuck)
    monkeypatch.setattr(pagerduty_client, "DEADLINE_SECONDS", 0.2)
    with pytest.raises(contract.Passing) as caught:
        await pager.send(told.opening(), plain=False)
    answer.set()
    assert caught.value.outcome_known
