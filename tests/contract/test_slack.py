"""Slack: what a channel sees, that no label can mention anyone, and each of the webhook's answers."""

import dataclasses
import inspect
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from routing import message, model
from routing.destinations import contract, slack
from tests.standins import blocks, faults, messages, mrkdwn
from tests.standins import slack as standin_module
from tests.unit import build, told

SECRET = "s3cretWebhookTail"
CHANNEL = "#incidents"


@pytest.fixture
async def standin() -> AsyncIterator[standin_module.Slack]:
    async with standin_module.serve(channels={SECRET: CHANNEL}, burst=None) as listening:
        yield listening


@pytest.fixture
async def channel(standin: standin_module.Slack) -> AsyncIterator[slack.Slack]:
    destination = slack.Slack(name="incidents", webhook_url=standin.webhook(CHANNEL), channel=CHANNEL)
    yield destination
    await destination.close()


def arrival(body: dict[str, Any]) -> faults.Arrival:
    """The request as it would come in."""
    return faults.Arrival(
        path="/services/T000/B000/" + SECRET,
        headers={"Content-Type": "application/json"},
        body=json.dumps(body).encode(),
        at_seconds=0,
        at_unix_seconds=0,
    )


def posted(shown: message.Message) -> messages.Message:
    """What Slack keeps of it."""
    body = slack.render(shown)
    word, reasons = standin_module.message_faults(arrival(body))
    assert word is None, reasons
    return messages.Message(channel=CHANNEL, body=json.loads(json.dumps(body)), arrival=arrival(body))


def read(shown: message.Message) -> str:
    """What people read in the channel, links by their names."""
    return "\n".join(mrkdwn.plain(text) for text, _ in blocks.texts(posted(shown).blocks))


def update(reason: model.Reason, *alerts: model.Alert, **changes: object) -> message.Message:
    about = told.incident(*alerts)
    return told.compose(about, told.step(about, model.Act.UPDATE, reason, **changes))


# A page that has gone astray.

CONTACTS = (message.Contact(who="On-call <!here>", reach="+49 30 1234"), message.Contact(who="CTO"))


def summoning(why: str = "PagerDuty has not taken this page for 50 s: 503.") -> message.Message:
    return dataclasses.replace(told.opening(), summons=message.Summons(why=(why,), contacts=CONTACTS))


def mentions(*texts: str) -> list[str]:
    return [one.target for text in texts for one in mrkdwn.controls(text) if one.notifies]


def test_a_page_that_has_gone_astray_calls_the_channel_once_and_says_why_and_whom_to_call() -> None:
    told_ = posted(summoning())
    assert mentions(*(text for text, _ in blocks.texts(told_.blocks))) == ["channel"]
    assert (
        "@channel PagerDuty has not taken this page for 50 s: 503.\n"
        "Make sure that someone has it. Call, in this order:\n"
        "1. On-call <!here>: +49 30 1234\n"
        "2. CTO (routing.yml does not say how)"
    ) in read(summoning())


def test_it_calls_the_channel_in_the_plain_form_too() -> None:
    assert mentions(slack.plainly(summoning())["text"]) == ["channel"]


def test_nothing_else_calls_the_channel() -> None:
    assert mentions(*(text for text, _ in blocks.texts(posted(told.opening()).blocks))) == []
    assert mentions(slack.plainly(told.opening())["text"]) == []


@given(why=told.texts)
@example(why="<!channel> <!here> <@U012ABC>" * 300)
def test_no_error_of_a_far_end_calls_anybody(why: str) -> None:
    told_ = posted(summoning(why))
    assert mentions(*(text for text, _ in blocks.texts(told_.blocks))) == ["channel"]


def test_one_line_of_the_code_writes_the_mention() -> None:
    root = Path(slack.__file__).parents[2]
    lines = [
        line
        for package in ("routing", "webhook")
        for file in (root / package).rglob("*.py")
        for line in file.read_text("utf-8").splitlines()
        if re.search(r"<!(channel|here|everyone)>", line)
    ]
    assert len(lines) == 1


# What a channel sees.


async def test_a_message_and_its_end_are_posted(channel: slack.Slack, standin: standin_module.Slack) -> None:
    await channel.send(told.opening(), plain=False)
    await channel.send(told.closing(), plain=False)
    opened, closed = standin.posted(CHANNEL)
    assert opened.text.startswith("[P1] ServiceDown")
    assert closed.text.startswith("[P1 resolved] ServiceDown")


@pytest.mark.parametrize(("priority", "colour"), [("P1", "#E01E5A"), ("P2", "#ECB22E"), ("P3", "#1D9BD1")])
def test_the_colour_is_the_tier_s(priority: str, colour: str) -> None:
    assert posted(told.opening(build.alert(priority=priority))).colors == [colour]


def test_what_is_over_is_green() -> None:
    assert posted(told.closing()).colors == ["#2EB67D"]


def test_a_firing_incident_in_full() -> None:
    assert read(told.opening()) == (
        "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod)\n"
        "*No replica of vpn-core is ready*\n"
        "3 replicas are wanted and 0 are available.\n"
        "Since 03:00:00 UTC · pod=a\n"
        "*First command*\n"
        "```kubectl get pods -n phantommesh-prod -l app=vpn-core```\n"
        "*First three minutes*\n"
        "1. See the pods.\n"
        "2. Read their log, see Logs.\n"
        "Runbook · Incident · Graph · Dashboard · Logs · Silence"
    )


def test_links_lead_where_the_message_says() -> None:
    shown = told.opening()
    assert posted(shown).links == [
        shown.links.runbook,
        shown.links.incident,
        shown.links.graph,
        shown.links.dashboard,
        shown.links.logs,
        shown.links.silence,
    ]


def test_a_resolve_is_short() -> None:
    assert read(told.closing()) == (
        "[P1 resolved] ServiceDown: vpn-core (eu-1/phantommesh-prod)\n"
        "Fired 03:00:00 UTC to 03:04:10 UTC, for 4 min 10 s.\n"
        "Incident · Graph"
    )


def test_the_resolve_of_several_counts_the_others() -> None:
    assert "…and 1 more alert." in read(told.closing(told.down("a", ends=60), told.down("b", ends=60)))


def test_a_resolve_about_no_known_alert_can_be_read() -> None:
    about = told.incident()
    shown = told.compose(about, told.step(about, model.Act.CLOSE, model.Reason.RESOLVED))
    assert "Nothing of it fires any more." in read(shown)


def test_an_alert_that_joins_is_named_first_and_as_new() -> None:
    first, second = told.down("a"), told.down("b")
    shown = read(update(model.Reason.JOINED, first, second, joined=frozenset({second.fingerprint})))
    assert "1 alert joined: 2 alerts firing." in shown
    assert shown.index("*New: No replica") < shown.index("pod=b") < shown.index("pod=a")
    assert "First command" in shown
    assert "First three minutes" not in shown


def test_a_part_that_resolves_is_named_first_and_as_resolved() -> None:
    gone, fires = told.down("gone", ends=60), told.down("fires")
    shown = read(update(model.Reason.PARTLY_RESOLVED, gone, fires, resolved=frozenset({gone.fingerprint})))
    assert "1 alert resolved: 1 alert firing." in shown
    assert shown.index("*Resolved: No replica") < shown.index("pod=gone") < shown.index("pod=fires")
    assert "First command" not in shown


def test_more_alerts_than_a_message_holds_are_counted() -> None:
    shown = read(told.opening(*(told.down(str(number)) for number in range(12))))
    assert shown.count("*No replica") == 5
    assert "…and 7 more alerts." in shown


def test_the_text_for_a_phone_is_one_line_with_the_cause() -> None:
    assert slack.headline(told.opening()) == (
        "[P1] ServiceDown: vpn-core (eu-1/phantommesh-prod): No replica of vpn-core is ready"
    )


async def test_the_plain_form_is_the_text_alone(channel: slack.Slack, standin: standin_module.Slack) -> None:
    await channel.send(told.opening(), plain=True)
    (message_,) = standin.posted(CHANNEL)
    assert message_.body == {"text": slack.headline(told.opening())}


def test_slack_makes_no_links_and_names_of_its_own() -> None:
    sections = [one for one in posted(told.opening()).blocks if one["type"] == "section"]
    assert sections
    assert all(one["text"]["verbatim"] for one in sections)


# Untrusted text.


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("a & b <c> \"d\" 'e' *f*", 100, "a &amp; b &lt;c&gt; \"d\" 'e' *f*"),
        ("&amp;", 100, "&amp;amp;"),
        ("abcdef", 5, "abcd…"),
        ("abc&", 8, "abc&amp;"),
        ("abc&&", 8, "abc…"),
        ("abc&&", 9, "abc&amp;…"),
        ("abc<<", 7, "abc…"),
        ("abc<<", 8, "abc&lt;…"),
        ("&&", 5, "…"),
    ],
)
def test_three_characters_are_escaped_and_a_cut_splits_none_of_them(
    text: str, limit: int, shown: str
) -> None:
    assert slack.escaped(text, limit) == shown


@given(told.texts, st.integers(1, 400))
@example("&" * 100, 7)
def test_escaped_text_controls_nothing(text: str, limit: int) -> None:
    shown = slack.escaped(text, limit)
    assert len(shown) <= limit
    assert "<" not in shown
    assert ">" not in shown
    assert not re.sub(r"&(amp|lt|gt);", "", shown).count("&")


def test_three_backticks_do_not_end_the_command() -> None:
    page = "# T\n## First three minutes\n1. Do.\n~~~\necho {pod}\n~~~\n"
    about = told.incident(told.down("```"))
    shown = read(told.compose(about, told.step(about), {"ServiceDown": page}))
    assert "```echo '\u02cb\u02cb\u02cb'```" in shown


@settings(deadline=None)
@given(told.hostile_messages())
def test_no_label_can_mention_link_or_break_a_limit(shown: message.Message) -> None:
    seen = posted(shown)
    assert [one.target for one in seen.mentions] == (["channel"] if shown.summons else [])
    assert set(seen.links) <= set(dataclasses.astuple(shown.links))
    assert blocks.characters(seen.blocks) <= slack.ALL_BLOCKS_CHARACTERS
    assert "<" not in slack.headline(shown)
    json.dumps(seen.body, ensure_ascii=False).encode()


@pytest.mark.parametrize("worst", ["&" * 5_000, "x" * 5_000, "\U0001f525" * 5_000])
def test_a_message_that_is_full_everywhere_is_within_every_limit(worst: str) -> None:
    steps = "\n".join(f"{number}. {worst}\n```\n{worst}\n```" for number in range(1, 20))
    labels: dict[str, Any] = {f"l{index}": worst for index in range(20)}
    alerts = [
        structs.replace(
            told.down(str(number), **labels),
            annotations={"summary": worst, "description": worst, "dashboard_url": "https://g/" + "d" * 1_900},
            generator_url="https://p/" + "&" * 1_900,
        )
        for number in range(20)
    ]
    about = told.incident(*alerts, group_labels={"alertname": worst, "service": worst}, truncated_alerts=9)
    page = f"# T\n## First three minutes\n{steps}"
    shown = dataclasses.replace(
        told.compose(about, told.step(about, fired_times=7), {"ServiceDown": page}),
        summons=message.Summons(why=(worst,) * 9, contacts=(message.Contact(who=worst, reach=worst),) * 20),
    )
    characters = blocks.characters(posted(shown).blocks)
    assert 5_000 < characters <= slack.ALL_BLOCKS_CHARACTERS


# What the webhook's answers mean. What holds for every vendor stands in test_destinations.


@pytest.mark.parametrize("body", ["ok", "ok\n", '{"ok": true}'])
def test_ok_is_the_receipt(body: str) -> None:
    assert slack.judge(200, body, channel=CHANNEL) is None


def test_a_plain_no_in_words_that_are_not_known_was_surely_not_shown() -> None:
    failure = slack.judge(200, '{"ok": false, "error": "never_heard_of"}', channel=CHANNEL)
    assert isinstance(failure, contract.Passing)
    assert failure.outcome_known


@pytest.mark.parametrize("body", ["", "OK!", "okay", '{"ok": "true"}', "{", "[1]", "{" * 100_000])
def test_anything_else_with_200_may_have_been_shown_or_not(body: str) -> None:
    failure = slack.judge(200, body, channel=CHANNEL)
    assert isinstance(failure, contract.Passing)
    assert not failure.outcome_known


BROKEN = [
    "account_inactive",
    "action_prohibited",
    "channel_is_archived",
    "channel_not_found",
    "invalid_auth",
    "invalid_token",
    "is_archived",
    "no_active_hooks",
    "no_service",
    "no_team",
    "not_in_channel",
    "token_revoked",
]
REFUSED = [
    "invalid_blocks",
    "invalid_payload",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
]
PASSING = ["fatal_error", "internal_error", "ratelimited", "request_timeout", "service_unavailable"]


@pytest.mark.parametrize("status", [200, 400, 403, 404])
@pytest.mark.parametrize("in_json", [False, True])
@pytest.mark.parametrize(
    ("word", "kind"),
    [
        *((word, contract.Broken) for word in BROKEN),
        *((word, contract.Refused) for word in REFUSED),
        *((word, contract.Passing) for word in PASSING),
    ],
)
def test_a_known_word_decides(word: str, kind: type[contract.Failure], in_json: bool, status: int) -> None:
    body = json.dumps({"ok": False, "error": word}) if in_json else word
    failure = slack.judge(status, body, channel=CHANNEL)
    assert type(failure) is kind
    assert failure.outcome_known
    assert str(failure) == f"Slack answered {status} for #incidents: {word}"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_word_in_a_server_s_own_trouble_does_not_decide(status: int) -> None:
    assert isinstance(slack.judge(status, "invalid_token", channel=CHANNEL), contract.Passing)


@pytest.mark.parametrize("word", sorted(standin_module.REFUSALS))
async def test_the_words_of_a_closed_channel(
    channel: slack.Slack, standin: standin_module.Slack, word: str
) -> None:
    standin.refuse(CHANNEL, word)
    expected = contract.Passing if word == "rollup_error" else contract.Broken
    with pytest.raises(expected):
        await channel.send(told.opening(), plain=False)
    standin.restore(CHANNEL)
    await channel.send(told.opening(), plain=False)


async def test_more_than_one_message_a_second_is_told_when_to_come_back() -> None:
    async with standin_module.serve(channels={SECRET: CHANNEL}, burst=1) as strict:
        destination = slack.Slack(name="incidents", webhook_url=strict.webhook(CHANNEL), channel=CHANNEL)
        await destination.send(told.opening(), plain=False)
        with pytest.raises(contract.Passing) as caught:
            await destination.send(told.opening(), plain=False)
        await destination.close()
    assert caught.value.retry_after_seconds == 1


# What it means that none came.

BROKEN_EXCEPTIONS = {
    "InvalidURL",
    "InvalidUrlClientError",
    "InvalidUrlRedirectClientError",
    "NonHttpUrlClientError",
    "NonHttpUrlRedirectClientError",
}
NEVER_CONNECTED_EXCEPTIONS = {
    "ClientConnectorCertificateError",
    "ClientConnectorDNSError",
    "ClientConnectorError",
    "ClientConnectorSSLError",
    "ClientProxyConnectionError",
    "ClientSSLError",
    "ConnectionTimeoutError",
    "UnixClientConnectorError",
}
UNKNOWN_EXCEPTIONS = {
    "ClientConnectionError",
    "ClientConnectionResetError",
    "ClientError",
    "ClientHttpProxyError",
    "ClientOSError",
    "ClientPayloadError",
    "ClientResponseError",
    "ContentTypeError",
    "RedirectClientError",
    "ServerConnectionError",
    "ServerDisconnectedError",
    "ServerFingerprintMismatch",
    "ServerTimeoutError",
    "SocketTimeoutError",
    "TimeoutError",
    "TooManyRedirects",
    "UploadAbortedError",
    "WSServerHandshakeError",
}


def all_exceptions() -> list[type[BaseException]]:
    """All that aiohttp can raise as its own in a request."""
    every = inspect.getmembers(aiohttp.client_exceptions, inspect.isclass)
    own = [one for _, one in every if issubclass(one, aiohttp.ClientError)]
    return [*own, TimeoutError]


@pytest.mark.parametrize("kind", all_exceptions(), ids=lambda kind: kind.__name__)
def test_every_exception_below_has_its_class(kind: type[BaseException]) -> None:
    failure = slack.faulted(kind.__new__(kind))
    expected = {
        **dict.fromkeys(BROKEN_EXCEPTIONS, (contract.Broken, True)),
        **dict.fromkeys(NEVER_CONNECTED_EXCEPTIONS, (contract.Passing, True)),
        **dict.fromkeys(UNKNOWN_EXCEPTIONS, (contract.Passing, False)),
    }
    assert (type(failure), failure.outcome_known) == expected[kind.__name__]


@pytest.mark.parametrize("address", ["no address", "ftp://127.0.0.1/x", "http://", "http://[::1"])
async def test_an_address_that_is_none_breaks_the_destination(address: str) -> None:
    destination = slack.Slack(name="incidents", webhook_url=address, channel=CHANNEL)
    with pytest.raises(contract.Broken):
        await destination.send(told.opening(), plain=False)
    await destination.close()


@pytest.mark.parametrize("fault", [faults.Hang(), faults.Drip(interval_seconds=0.05)])
async def test_an_answer_that_never_ends_is_a_fault_within_the_deadline(
    channel: slack.Slack,
    standin: standin_module.Slack,
    monkeypatch: pytest.MonkeyPatch,
    fault: faults.Fault,
) -> None:
    monkeypatch.setattr(slack, "_TIMEOUT", aiohttp.ClientTimeout(total=0.5))
    standin.script(fault)
    with pytest.raises(contract.Passing) as caught:
        await channel.send(told.opening(), plain=False)
    assert not caught.value.outcome_known


async def test_an_address_that_is_none_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    destination = slack.Slack(name="incidents", webhook_url=f"http://[::1/{SECRET}", channel=CHANNEL)
    with pytest.raises(contract.Broken) as caught:
        await destination.send(told.opening(), plain=False)
    await destination.close()
    logging.getLogger(__name__).error("what a process would log", exc_info=caught.value)
    assert SECRET not in caplog.text


async def test_the_webhook_s_address_is_in_no_log(
    channel: slack.Slack, standin: standin_module.Slack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await channel.send(told.opening(), plain=False)
    standin.refuse(CHANNEL, "no_service")
    with pytest.raises(contract.Broken):
        await channel.send(told.opening(), plain=False)
    assert SECRET not in caplog.text
