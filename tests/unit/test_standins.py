"""The stand-ins are as strict as the services they stand for, and each fault really happens."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.standins import faults, mrkdwn, pagerduty, server, slack

KEY = "a" * 32
OTHER_KEY = "b" * 32
OPS = "#phantommesh-ops"
INCIDENTS = "#phantommesh-incidents"

Post = Callable[[str, object], Coroutine[Any, Any, tuple[int, str]]]


@pytest_asyncio.fixture
async def pd() -> AsyncIterator[pagerduty.PagerDuty]:
    async with pagerduty.serve(keys={KEY: "PhantomMesh", OTHER_KEY: "Another"}, rate_per_minute=None) as one:
        yield one


@pytest_asyncio.fixture
async def sl() -> AsyncIterator[slack.Slack]:
    async with slack.serve(channels={"s-ops": OPS, "s-incidents": INCIDENTS}, burst=None) as one:
        yield one


@pytest_asyncio.fixture
async def post() -> AsyncIterator[Post]:
    async with aiohttp.ClientSession() as session:

        async def send(url: str, body: object) -> tuple[int, str]:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            async with session.post(url, data=data, headers={"Content-Type": "application/json"}) as answer:
                return answer.status, await answer.text()

        yield send


def trigger(**changed: Any) -> dict[str, Any]:
    payload = {"summary": "vpn-core is down", "source": "phantommesh", "severity": "critical"}
    payload.update(changed.pop("payload", {}))
    event = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload, **changed}
    return {name: value for name, value in event.items() if value is not None}


def resolve(**changed: Any) -> dict[str, Any]:
    return {"routing_key": KEY, "event_action": "resolve", "dedup_key": "k", **changed}


def enqueue(pd: pagerduty.PagerDuty) -> str:
    return f"{pd.url}/v2/enqueue"


PAGERDUTY_REFUSALS: dict[str, tuple[object, int, str]] = {
    "no JSON": (b"{", 400, "not valid JSON"),
    "no object": ([], 400, "must be an object"),
    "no key": (trigger(routing_key=None), 400, "'routing_key' is missing"),
    "key of 31 characters": (trigger(routing_key="a" * 31), 400, "should be 32 characters"),
    "key with a dash": (trigger(routing_key="-" * 32), 400, "non-alphanumeric"),
    "key of nobody": (trigger(routing_key="c" * 32), 400, "Invalid routing key"),
    "no action": (trigger(event_action=None), 400, "'event_action'"),
    "unknown action": (trigger(event_action="close"), 400, "'event_action'"),
    "dedup key of 256": (trigger(dedup_key="k" * 256), 400, "255"),
    "dedup key no string": (trigger(dedup_key=5), 400, "'dedup_key' must be a string"),
    "resolve without dedup key": (resolve(dedup_key=""), 400, "'dedup_key' is missing"),
    "acknowledge without dedup key": (
        resolve(dedup_key="", event_action="acknowledge"),
        400,
        "'dedup_key' is missing",
    ),
    "no payload": ({"routing_key": KEY, "event_action": "trigger"}, 400, "'payload' is missing"),
    "no summary": (trigger(payload={"summary": ""}), 400, "'payload.summary' is missing"),
    "summary of 1,025": (trigger(payload={"summary": "x" * 1025}), 400, "1024"),
    "no source": (trigger(payload={"source": ""}), 400, "'payload.source' is missing"),
    "no severity": (trigger(payload={"severity": None}), 400, "'payload.severity' is missing"),
    "severity P1": (trigger(payload={"severity": "P1"}), 400, "'payload.severity' is invalid"),
    "details no object": (trigger(payload={"custom_details": "x"}), 400, "'payload.custom_details'"),
    "links in the payload": (trigger(payload={"links": []}), 400, "'links' belongs to the top level"),
    "images in the payload": (trigger(payload={"images": []}), 400, "'images' belongs to the top level"),
    "links no list": (trigger(links={}), 400, "'links' must be a list"),
    "link without href": (trigger(links=[{"text": "x"}]), 400, "'links' needs href"),
    "link to a script": (trigger(links=[{"href": "javascript:alert(1)"}]), 400, "'links' needs href"),
    "image by http": (trigger(images=[{"src": "http://x/y.png"}]), 400, "'images' needs src"),
    "over 512 KB": (trigger(payload={"custom_details": {"x": "x" * 512_000}}), 413, "512 KB"),
}


@pytest.mark.parametrize("violation", PAGERDUTY_REFUSALS)
async def test_pagerduty_refuses(violation: str, pd: pagerduty.PagerDuty, post: Post) -> None:
    body, status, text = PAGERDUTY_REFUSALS[violation]
    answer = await post(enqueue(pd), body)
    assert answer[0] == status
    assert text in answer[1]
    assert pd.events == []
    assert pd.requests[0].status == status


async def test_pagerduty_refuses_a_form(pd: pagerduty.PagerDuty) -> None:
    async with aiohttp.ClientSession() as session, session.post(enqueue(pd), data={"a": "b"}) as answer:
        assert answer.status == 400


async def test_pagerduty_accepts_an_event_at_every_limit(pd: pagerduty.PagerDuty, post: Post) -> None:
    event = trigger(
        dedup_key="k" * 255, payload={"summary": "x" * 1024}, links=[{"href": "https://x", "text": "t"}]
    )
    status, body = await post(enqueue(pd), event)
    assert status == 202
    assert json.loads(body) == {"status": "success", "message": "Event processed", "dedup_key": "k" * 255}


async def test_pagerduty_makes_up_a_dedup_key_for_a_trigger_without_one(
    pd: pagerduty.PagerDuty, post: Post
) -> None:
    _, body = await post(enqueue(pd), trigger(dedup_key=None))
    assert json.loads(body)["dedup_key"] == pd.incidents[0].dedup_key


@pytest.mark.parametrize("severity", ["critical", "error", "warning", "info"])
async def test_pagerduty_accepts_each_severity(severity: str, pd: pagerduty.PagerDuty, post: Post) -> None:
    assert (await post(enqueue(pd), trigger(payload={"severity": severity})))[0] == 202


async def test_pagerduty_throttles_each_key_by_itself(post: Post) -> None:
    async with pagerduty.serve(keys={KEY: "one", OTHER_KEY: "two"}, rate_per_minute=2) as pd:
        statuses = [(await post(enqueue(pd), trigger()))[0] for _ in range(3)]
        other = (await post(enqueue(pd), trigger(routing_key=OTHER_KEY)))[0]
    assert (statuses, other) == ([202, 202, 429], 202)


async def test_pagerduty_forgets_what_is_older_than_a_minute(pd: pagerduty.PagerDuty) -> None:
    pd.rate_per_minute = 1
    first = _arrival(trigger(), at_seconds=1000.0)
    assert pd.judge(first).status == 202
    pd.record(first)
    assert pd.judge(_arrival(trigger(), at_seconds=1059.0)).status == 429
    assert pd.judge(_arrival(trigger(), at_seconds=1060.0)).status == 202


INCIDENT_STORIES: dict[str, tuple[list[dict[str, Any]], list[str], list[str]]] = {
    "a trigger opens": ([trigger()], ["opened"], ["triggered"]),
    "a second trigger is appended": ([trigger(), trigger()], ["opened", "appended"], ["triggered"]),
    "a resolve closes": ([trigger(), resolve()], ["opened", "resolved"], ["resolved"]),
    "an acknowledge leaves it open": (
        [trigger(), resolve(event_action="acknowledge")],
        ["opened", "acknowledged"],
        ["acknowledged"],
    ),
    "a resolve of the unknown is dropped": ([resolve()], ["dropped"], []),
    "a resolve by another key is dropped": (
        [trigger(), resolve(routing_key=OTHER_KEY)],
        ["opened", "dropped"],
        ["triggered"],
    ),
    "a resolve of the resolved is dropped": (
        [trigger(), resolve(), resolve()],
        ["opened", "resolved", "dropped"],
        ["resolved"],
    ),
    "a trigger after the resolve opens anew": (
        [trigger(), resolve(), trigger()],
        ["opened", "resolved", "opened"],
        ["resolved", "triggered"],
    ),
    "another dedup key is another incident": (
        [trigger(), trigger(dedup_key="other")],
        ["opened", "opened"],
        ["triggered", "triggered"],
    ),
}


@pytest.mark.parametrize("story", INCIDENT_STORIES)
async def test_pagerduty_keeps_incidents_as_the_real_one(
    story: str, pd: pagerduty.PagerDuty, post: Post
) -> None:
    events, outcomes, statuses = INCIDENT_STORIES[story]
    answers = [(await post(enqueue(pd), event))[0] for event in events]
    assert answers == [202] * len(events)
    assert [event.outcome for event in pd.events] == outcomes
    assert [incident.status for incident in pd.incidents] == statuses


async def test_pagerduty_counts_what_was_appended(pd: pagerduty.PagerDuty, post: Post) -> None:
    for _ in range(3):
        await post(enqueue(pd), trigger())
    assert pd.incidents[0].appended == 2


async def test_a_person_can_resolve_an_incident(pd: pagerduty.PagerDuty, post: Post) -> None:
    await post(enqueue(pd), trigger())
    pd.resolve_by_hand("k")
    await post(enqueue(pd), trigger())
    assert [incident.status for incident in pd.incidents] == ["resolved", "triggered"]


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def words(text: str, kind: str = "plain_text") -> dict[str, str]:
    return {"type": kind, "text": text}


def button(**changed: Any) -> dict[str, Any]:
    return {"type": "button", "text": words("Runbook"), **changed}


def blocks(*all_blocks: object) -> dict[str, Any]:
    return {"text": "fallback", "blocks": list(all_blocks)}


def actions(*elements: object) -> dict[str, Any]:
    return blocks({"type": "actions", "elements": list(elements)})


SLACK_REFUSALS: dict[str, tuple[object, str]] = {
    "no JSON": (b"payload={}", "invalid_payload"),
    "no object": ("text", "invalid_payload"),
    "text no string": ({"text": {"a": 1}}, "invalid_payload"),
    "nothing in it": ({}, "no_text"),
    "empty text": ({"text": ""}, "no_text"),
    "text of 40,001": ({"text": "x" * 40_001}, "msg_too_long"),
    "51 blocks": (blocks(*[{"type": "divider"}] * 51), "invalid_blocks"),
    "blocks no list": ({"blocks": {"type": "divider"}}, "invalid_blocks"),
    "unknown block": (blocks({"type": "marquee"}), "invalid_blocks"),
    "section of 3,001": (blocks(section("x" * 3_001)), "invalid_blocks"),
    "section without text": (blocks({"type": "section"}), "invalid_blocks"),
    "section with empty text": (blocks(section("")), "invalid_blocks"),
    "section with bare text": (blocks({"type": "section", "text": "x"}), "invalid_blocks"),
    "header of 151": (blocks({"type": "header", "text": words("x" * 151)}), "invalid_blocks"),
    "header in mrkdwn": (blocks({"type": "header", "text": words("x", "mrkdwn")}), "invalid_blocks"),
    "11 fields": (blocks({"type": "section", "fields": [words("x")] * 11}), "invalid_blocks"),
    "field of 2,001": (blocks({"type": "section", "fields": [words("x" * 2_001)]}), "invalid_blocks"),
    "11 in a context": (blocks({"type": "context", "elements": [words("x")] * 11}), "invalid_blocks"),
    "empty context": (blocks({"type": "context", "elements": []}), "invalid_blocks"),
    "26 buttons": (actions(*[button()] * 26), "invalid_blocks"),
    "button text of 76": (actions(button(text=words("x" * 76))), "invalid_blocks"),
    "button text in mrkdwn": (actions(button(text=words("x", "mrkdwn"))), "invalid_blocks"),
    "button url of 3,001": (actions(button(url="https://x/".ljust(3_001, "x"))), "invalid_blocks"),
    "button to a script": (actions(button(url="javascript:alert(1)")), "invalid_blocks"),
    "button value of 2,001": (actions(button(value="x" * 2_001)), "invalid_blocks"),
    "action_id of 256": (actions(button(action_id="x" * 256)), "invalid_blocks"),
    "action_id twice": (actions(button(action_id="x"), button(action_id="x")), "invalid_blocks"),
    "button style": (actions(button(style="loud")), "invalid_blocks"),
    "block_id of 256": (blocks({"type": "divider", "block_id": "x" * 256}), "invalid_blocks"),
    "block_id twice": (blocks(*[{"type": "divider", "block_id": "x"}] * 2), "invalid_blocks"),
    "image without a text": (blocks({"type": "image", "image_url": "https://x"}), "invalid_blocks"),
    "bad block in an attachment": (
        {"attachments": [{"color": "#f00", "blocks": [section("x" * 3_001)]}]},
        "invalid_blocks",
    ),
    "attachments no list": ({"attachments": {"text": "x"}}, "invalid_attachments"),
    "101 attachments": ({"attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
    "13,201 characters": (blocks(*[section("x" * 2_640)] * 5, section("x")), "msg_blocks_too_long"),
    "13,201 in attachments": (
        {"attachments": [{"blocks": [section("x" * 2_640)] * 5}, {"blocks": [section("x")]}]},
        "msg_blocks_too_long",
    ),
}


@pytest.mark.parametrize("violation", SLACK_REFUSALS)
async def test_slack_refuses(violation: str, sl: slack.Slack, post: Post) -> None:
    body, word = SLACK_REFUSALS[violation]
    assert await post(sl.webhook(OPS), body) == (400, word)
    assert sl.messages == []
    assert sl.requests[0].reasons


SLACK_ACCEPTS: dict[str, object] = {
    "text of 40,000": {"text": "x" * 40_000},
    "blocks alone": {"blocks": [section("x" * 3_000)]},
    "an attachment alone": {"attachments": [{"color": "#c00", "blocks": [section("x")]}]},
    "50 blocks": blocks(*[{"type": "divider"}] * 50),
    "header of 150": blocks({"type": "header", "text": words("x" * 150)}),
    "10 fields": blocks({"type": "section", "fields": [words("x")] * 10}),
    "25 buttons": actions(*[button(url="https://x", value="x" * 2_000)] * 25),
    "a context": blocks({"type": "context", "elements": [words("x")] * 10}),
    "13,200 characters": blocks(*[section("x" * 2_640)] * 5),
}


@pytest.mark.parametrize("message", SLACK_ACCEPTS)
async def test_slack_accepts(message: str, sl: slack.Slack, post: Post) -> None:
    assert await post(sl.webhook(OPS), SLACK_ACCEPTS[message]) == (200, "ok")
    assert [one.channel for one in sl.messages] == [OPS]


@pytest.mark.parametrize(("word", "status"), slack.REFUSALS.items())
async def test_slack_refuses_for_the_channels_state_until_it_is_mended(
    word: str, status: int, sl: slack.Slack, post: Post
) -> None:
    sl.refuse(OPS, word)
    assert await post(sl.webhook(OPS), {"text": "x"}) == (status, word)
    assert (await post(sl.webhook(INCIDENTS), {"text": "x"}))[0] == 200
    sl.restore(OPS)
    assert (await post(sl.webhook(OPS), {"text": "x"}))[0] == 200


async def test_slack_knows_no_other_secret(sl: slack.Slack, post: Post) -> None:
    assert await post(f"{sl.url}/services/T000/B000/guessed", {"text": "x"}) == (403, "invalid_token")


async def test_slack_throttles_each_channel_by_itself(post: Post) -> None:
    # So slow a refill that a busy machine cannot let it happen during the test.
    async with slack.serve(channels={"a": OPS, "b": INCIDENTS}, burst=2, per_second=0.001) as sl:
        statuses = [(await post(sl.webhook(OPS), {"text": "x"}))[0] for _ in range(3)]
        other = (await post(sl.webhook(INCIDENTS), {"text": "x"}))[0]
    assert (statuses, other) == ([200, 200, 429], 200)


async def test_slack_says_in_whole_seconds_when_to_come_back() -> None:
    sl = slack.Slack(channels={"s": OPS}, burst=2)
    for _ in range(2):
        sl.record(_arrival({"text": "x"}, path=f"{slack.PATH_PREFIX}s", at_seconds=100.0))

    def asked(at_seconds: float) -> server.Verdict:
        return sl.judge(_arrival({"text": "x"}, path=f"{slack.PATH_PREFIX}s", at_seconds=at_seconds))

    assert (asked(100.2).status, asked(100.2).retry_after_seconds) == (429, 1)
    assert asked(101.0).status == 200


HOSTILE = {
    "<!channel>": ["broadcast"],
    "<!here|here>": ["broadcast"],
    "<!everyone>": ["broadcast"],
    "<@U123>": ["user"],
    "<!subteam^S1|@ops>": ["group"],
    "<https://evil.example|the runbook>": ["link"],
    "<#C1>": ["channel"],
    "&lt;!channel&gt; &lt;@U123&gt;": [],
    "1 < 2 > 1": [],
    "a <b> c": [],
}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["text", "section", "field", "attachment"])
async def test_slack_reports_what_a_text_would_become(
    text: str, place: str, sl: slack.Slack, post: Post
) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "text": {"text": text},
        "section": {"blocks": [section(text)]},
        "field": {"blocks": [{"type": "section", "fields": [words(text, "mrkdwn")]}]},
        "attachment": {"attachments": [{"color": "good", "blocks": [section(text)]}]},
    }
    await post(sl.webhook(OPS), bodies[place])
    assert [control.kind for control in sl.messages[0].controls] == HOSTILE[text]


async def test_only_what_notifies_somebody_is_a_mention(sl: slack.Slack, post: Post) -> None:
    await post(sl.webhook(OPS), {"text": "<!channel> <@U1> <#C1> <https://x|y>"})
    assert [one.label for one in sl.messages[0].mentions] == ["@channel", "@U1"]


async def test_plain_text_makes_no_mention(sl: slack.Slack, post: Post) -> None:
    await post(sl.webhook(OPS), {"blocks": [{"type": "header", "text": words("<!channel>")}]})
    assert sl.messages[0].controls == []


async def test_links_are_those_in_the_text_and_on_buttons(sl: slack.Slack, post: Post) -> None:
    body = actions(button(url="https://b/?x=1&y=2"))
    body["text"] = "<https://a/?x=1&amp;y=2|a>"
    await post(sl.webhook(OPS), body)
    assert sl.messages[0].links == ["https://a/?x=1&y=2", "https://b/?x=1&y=2"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*bold* _it_ ~no~ `c*o*de`", "<b>bold</b> <i>it</i> <s>no</s> <code>c*o*de</code>"),
        ("a_b_c 2*3*4", "a_b_c 2*3*4"),
        ("<https://x/_a_/?b=1&amp;c=2|*t*>", '<a href="https://x/_a_/?b=1&amp;c=2">*t*</a>'),
        ("&lt;script&gt;", "&lt;script&gt;"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ('<https://x" onclick="y|z>', '<a href="https://x&quot; onclick=&quot;y">z</a>'),
        ("<!channel>", '<span class="mention">@channel</span>'),
    ],
)
def test_mrkdwn_is_shown_as_slack_shows_it(text: str, shown: str) -> None:
    assert mrkdwn.to_html(text) == shown


@pytest.fixture(params=["pagerduty", "slack"])
def far_end(
    request: pytest.FixtureRequest, pd: pagerduty.PagerDuty, sl: slack.Slack
) -> tuple[server.Standin, str, object]:
    if request.param == "pagerduty":
        return pd, enqueue(pd), trigger()
    return sl, sl.webhook(OPS), {"text": "x"}


FarEnd = tuple[server.Standin, str, object]


def _taken(standin: server.Standin) -> int:
    if isinstance(standin, pagerduty.PagerDuty):
        return len(standin.events)
    assert isinstance(standin, slack.Slack)
    return len(standin.messages)


ANSWERS = {
    "429": (faults.too_many_requests(retry_after_seconds=7), 429),
    "500": (faults.server_error(500), 500),
    "503": (faults.server_error(503), 503),
    "garbage": (faults.garbage(), 202),
    "error in a 200": (faults.error_in_200("fatal_error"), 200),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_scripted_answer_comes_once_and_nothing_is_taken(
    name: str, far_end: FarEnd, post: Post
) -> None:
    standin, url, body = far_end
    fault, status = ANSWERS[name]
    standin.script(fault)
    assert await post(url, body) == (status, fault.body)
    assert _taken(standin) == 0
    assert (await post(url, body))[0] in (200, 202)
    assert _taken(standin) == 1


async def test_a_scripted_429_carries_its_retry_after(far_end: FarEnd) -> None:
    standin, url, body = far_end
    standin.script(faults.too_many_requests(retry_after_seconds=7))
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert answer.headers["Retry-After"] == "7"


async def test_an_error_after_recording_has_taken_the_message(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    standin.script(faults.server_error(500, recorded=True))
    assert (await post(url, body))[0] == 500
    assert _taken(standin) == 1


async def test_faults_come_in_their_order_and_last_as_long_as_said(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    standin.script(faults.server_error(500), times=2)
    standin.script(faults.server_error(503), times=None)
    assert [(await post(url, body))[0] for _ in range(4)] == [500, 500, 503, 503]
    standin.clear_faults()
    assert (await post(url, body))[0] in (200, 202)


async def test_a_lost_receipt_was_taken_and_never_answered(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    standin.script(faults.lost_receipt())
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await post(url, body)
    assert (_taken(standin), standin.requests[0].status) == (1, None)


async def test_a_reset_is_a_reset(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    standin.script(faults.Reset())
    with pytest.raises(aiohttp.ClientOSError, match="reset by peer"):
        await post(url, body)
    assert _taken(standin) == 0


async def test_a_request_that_hangs_gets_no_answer_until_the_faults_are_cleared(
    far_end: FarEnd, post: Post
) -> None:
    standin, url, body = far_end
    standin.script(faults.Hang())
    hanging = asyncio.create_task(post(url, body))
    await standin.wait_for(lambda one: one.requests, timeout_seconds=5)
    assert (await post(url, body))[0] in (200, 202)
    assert not hanging.done()
    standin.clear_faults()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await hanging


async def test_a_stand_in_stops_although_a_request_hangs(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    standin.script(faults.Hang())
    hanging = asyncio.create_task(post(url, body))
    await standin.wait_for(lambda one: one.requests, timeout_seconds=5)
    async with asyncio.timeout(5):
        await standin.stop()
    with pytest.raises(aiohttp.ClientError):
        await hanging


async def test_a_dripping_answer_begins_and_does_not_end(far_end: FarEnd) -> None:
    standin, url, body = far_end
    standin.script(faults.Drip(interval_seconds=0.01))
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        first = [await answer.content.readexactly(1) for _ in range(3)]
        assert not answer.content.is_eof()
    assert (answer.status, first) == (200, [b"x"] * 3)


async def test_a_fault_can_hold_for_one_channel_only(sl: slack.Slack, post: Post) -> None:
    sl.script(faults.server_error(), times=None, where=sl.to(OPS))
    assert (await post(sl.webhook(INCIDENTS), {"text": "x"}))[0] == 200
    assert (await post(sl.webhook(OPS), {"text": "x"}))[0] == 500


async def test_a_stopped_stand_in_refuses_connections_and_comes_back_at_its_address(
    far_end: FarEnd, post: Post
) -> None:
    standin, url, body = far_end
    await standin.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(url, body)
    await standin.start(port=standin.port)
    assert (await post(url, body))[0] in (200, 202)


async def test_waiting_ends_when_it_comes_true_and_returns_what_was_found(
    far_end: FarEnd, post: Post
) -> None:
    standin, url, body = far_end
    waiting = asyncio.create_task(standin.wait_for(lambda one: one.requests, timeout_seconds=5))
    await post(url, body)
    assert await waiting == standin.requests


async def test_waiting_in_vain_tells_what_was_seen(far_end: FarEnd, post: Post) -> None:
    standin, url, body = far_end
    await post(url, body)
    with pytest.raises(TimeoutError, match="answered 1 requests"):
        await standin.wait_for(lambda _: False, timeout_seconds=0.01)


async def test_the_pages_show_what_people_would_see_and_nothing_runs_in_them(
    pd: pagerduty.PagerDuty, sl: slack.Slack, post: Post
) -> None:
    hostile = "<script>alert(1)</script>"
    await post(
        enqueue(pd),
        trigger(
            payload={"summary": hostile, "custom_details": {hostile: hostile}},
            links=[{"href": "https://x/runbook", "text": hostile}],
        ),
    )
    body = actions(button(url="https://x/runbook"))
    body["attachments"] = [{"color": '#f00"><script>', "blocks": [section(hostile)]}]
    await post(sl.webhook(OPS), body)
    async with aiohttp.ClientSession() as session:
        for standin in (pd, sl):
            async with session.get(f"{standin.url}/") as answer:
                page = await answer.text()
            assert "https://x/runbook" in page
            assert "&lt;script&gt;alert(1)" in page
            assert "<script" not in page


async def test_both_render_as_text(pd: pagerduty.PagerDuty, sl: slack.Slack, post: Post) -> None:
    await post(enqueue(pd), trigger(links=[{"href": "https://x", "text": "Runbook"}]))
    await post(enqueue(pd), resolve())
    await post(sl.webhook(OPS), {"attachments": [{"blocks": [section("*down* <https://x|here>")]}]})
    assert "#1 RESOLVED [critical] vpn-core is down" in pd.render_plain()
    assert "Runbook: https://x" in pd.render_plain()
    assert pagerduty.describe(pd.events[0]) == "PhantomMesh: trigger [critical] vpn-core is down (opened)"
    assert slack.describe(sl.messages[0]).splitlines()[1].strip() == "| *down* here"


def _arrival(body: object, *, at_seconds: float, path: str = "/v2/enqueue") -> faults.Arrival:
    return faults.Arrival(
        path=path,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        at_seconds=at_seconds,
        at_unix_seconds=time.time(),
    )
