"""Slack, through an incoming webhook: what a channel is shown, and what the webhook's answers mean.

An incoming webhook answers `ok` or one word, and no reference: a message can be neither edited nor threaded. So an
update and a resolve are messages of their own. Limits are from Slack's Block Kit reference, but for the characters
over all blocks, which is measured (about 13,200).
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

import aiohttp
from slack_sdk.webhook import async_client

from routing import budget, message, model, summary, wording
from routing.destinations import answers, contract, names

SECTION_CHARACTERS = 3_000
HEADER_CHARACTERS = 150
ALL_BLOCKS_CHARACTERS = 12_000

LIMIT = budget.Limit(burst=1.05, per_second=1 / 1.1, reserved=0.05, at_start=0)
"""One message a second for a channel, and a little less, because the way there is not always as long."""

_TIMEOUT = aiohttp.ClientTimeout(total=4.8, connect=2.0, sock_connect=2.0, sock_read=4.0)
_ANSWER_BYTES = 64 * 1024
_OK = 200
_TOO_MANY = 429
_SERVER_FAULTS = 500

_BROKEN_WORDS = frozenset(
    {
        "account_inactive",
        "action_prohibited",
        "channel_is_archived",
        "channel_not_found",
        "invalid_auth",
        "invalid_token",
        "is_archived",
        "no_active_hooks",
        "no_service",
        "no_service_id",
        "no_team",
        "not_authed",
        "not_in_channel",
        "posting_to_general_channel_denied",
        "team_disabled",
        "team_not_found",
        "token_expired",
        "token_revoked",
        "user_not_found",
    }
)
_REFUSED_WORDS = frozenset(
    {
        "invalid_attachments",
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_payload",
        "missing_text_or_fallback_or_attachments",
        "msg_blocks_too_long",
        "msg_too_long",
        "no_text",
        "too_many_attachments",
    }
)
_PASSING_WORDS = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "rollup_error",
        "service_unavailable",
    }
)

_RED, _AMBER, _BLUE, _GREEN = "#E01E5A", "#ECB22E", "#1D9BD1", "#2EB67D"
_COLOURS: Mapping[model.Priority, str] = {
    model.Priority.P1: _RED,
    model.Priority.P2: _AMBER,
    model.Priority.P3: _BLUE,
}

_ALERTS = 5
_ALERTS_BESIDE_SUMMONS = 3
_SUMMARY_CHARACTERS = 200
_DESCRIPTION_CHARACTERS = 450
_LABELS_CHARACTERS = 200
_COMMAND_CHARACTERS = 1_500
_STEPS, _STEP_CHARACTERS = 5, 200
_NOTE_CHARACTERS = 200
_LINKS_CHARACTERS = 2_900
_WHYS, _WHY_CHARACTERS = 2, 500
_CONTACTS, _CONTACT_CHARACTERS = 10, 150
_HEADLINE_CHARACTERS = 500
_SAID_CHARACTERS = 200
_IN_THE_TITLE = frozenset({"alertname", "service", "severity", "priority", "team", "cluster", "namespace"})

# slack-sdk logs the webhook's address and the message at DEBUG. This logger belongs to nobody and says nothing.
_SILENT = logging.Logger("slack_sdk", level=logging.CRITICAL)  # noqa: LOG001 - on purpose outside the tree of loggers


class Slack:
    """One Slack channel.

    Args:
        name: of the destination in routing.yml.
        webhook_url: an incoming webhook; a secret, which no error and no log line holds.
        channel: what people call it, for error texts.
    """

    traits = contract.Traits(shows_partial_resolves=True, reassert_seconds=None)

    def __init__(self, *, name: str, webhook_url: str, channel: str) -> None:
        self.far_end = budget.FarEnd(identity=contract.identity(webhook_url), limit=LIMIT)
        self.credentials = contract.fingerprint(webhook_url)
        self._name = name
        self._channel = channel
        self._webhook_url = webhook_url
        self._session: aiohttp.ClientSession | None = None

    async def send(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        """Post one message, once."""
        await self._post(plainly(told) if plain else render(told))
        return contract.Receipt()

    async def summarise(self, told: summary.Summary, *, plain: bool) -> None:
        """Post one message about many incidents, once."""
        title = escaped(told.title, _HEADLINE_CHARACTERS)
        await self._post({"text": title} if plain else render_summary(told))

    async def _post(self, body: Mapping[str, Any]) -> None:
        try:
            if self._session is None:
                self._session = _session(_stay)
            response = await self._client(self._session).send_dict(dict(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise faulted(error) from None
        failure = judge(
            response.status_code,
            self._without_secret(response.body),
            retry_after=response.headers.get("Retry-After", ""),
            channel=self._channel,
        )
        if failure is not None:
            raise failure

    async def rehearse(self, told: message.Message, *, plain: bool) -> contract.Request:
        """The request that `send` would make."""
        async with _session(_rehearse) as session:
            try:
                await self._client(session).send_dict(plainly(told) if plain else render(told))
            except _Rehearsed as rehearsed:
                secret = self._webhook_url.rstrip("/").rpartition("/")[2]
                return replace(rehearsed.request, url=rehearsed.request.url.replace(secret, "(webhook)"))
        raise AssertionError("the session raises what it would send")

    async def close(self) -> None:
        """Free the connections."""
        if self._session is not None:
            await self._session.close()

    def _client(self, session: aiohttp.ClientSession) -> async_client.AsyncWebhookClient:
        client = async_client.AsyncWebhookClient(
            self._webhook_url, session=session, retry_handlers=[], logger=_SILENT
        )
        # It takes a proxy from the environment and does not know NO_PROXY. The session knows both.
        client.proxy = None
        return client

    def _without_secret(self, body: str) -> str:
        secret = self._webhook_url.rstrip("/").rpartition("/")[2]
        return body.replace(self._webhook_url, "(webhook)").replace(secret, "(webhook)") if secret else body


def _session(middleware: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # A kept connection may be closed by the far end just as a message goes out, and then nobody knows.
        connector=aiohttp.TCPConnector(force_close=True, resolver=names.Resolver()),
        timeout=_TIMEOUT,
        response_class=_BoundedResponse,
        # A few bytes that unpack to gigabytes would be unpacked before anything here could stop it.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        middlewares=(middleware,),
        trust_env=True,
    )


class _BoundedResponse(aiohttp.ClientResponse):
    """Reads no more of an answer than is worth reading."""

    async def text(self, encoding: str | None = None, errors: str = "replace") -> str:
        body = b""
        while len(body) < _ANSWER_BYTES and (piece := await self.content.read(_ANSWER_BYTES)):
            body += piece
        return body.decode(encoding or "utf-8", errors)


class _Redirected(aiohttp.ClientError):
    """A redirect was answered; it is not followed."""


class _Rehearsed(Exception):
    """A request stands ready. Raised past slack-sdk in place of sending it."""

    def __init__(self, request: contract.Request) -> None:
        super().__init__("rehearsed")
        self.request = request


async def _rehearse(request: aiohttp.ClientRequest, _handler: aiohttp.ClientHandlerType) -> NoReturn:
    body = (
        await request.body.as_bytes() if isinstance(request.body, aiohttp.payload.Payload) else request.body
    )
    raise _Rehearsed(
        contract.Request(
            method=request.method,
            url=str(request.url),
            headers=dict(request.headers),
            body=body.decode(errors="replace"),
        )
    )


async def _stay(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Stop a redirect: slack-sdk leaves no other place for that."""
    response = await handler(request)
    if 300 <= response.status < 400:  # noqa: PLR2004 - a class of statuses
        response.close()
        raise _Redirected
    return response


# --- what answers mean ---


def judge(status: int, body: str, *, retry_after: str = "", channel: str) -> contract.Failure | None:
    """What an answer means; None for a receipt.

    A 429 and a 5xx are judged by status. Else a known word decides, also inside a 200, and then the status.
    """
    word, is_receipt = _read(body)
    if status == _OK and is_receipt:
        return None
    text = f"Slack answered {status} for {channel}"
    text += f": {word}" if word else ""
    if status == _TOO_MANY or status >= _SERVER_FAULTS:
        return answers.failure(status, text, retry_after=retry_after)
    if word in _BROKEN_WORDS:
        return contract.Broken(text)
    if word in _REFUSED_WORDS:
        return contract.Refused(text)
    if word in _PASSING_WORDS:
        return contract.Passing(text, retry_after_seconds=answers.retry_after_seconds(retry_after))
    failure = answers.failure(status, text, retry_after=retry_after)
    if status == _OK and _says_no(body):
        # A word that is not known here. It was not shown, whatever it means.
        failure.outcome_known = True
    return failure


def _says_no(body: str) -> bool:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("ok") is False


def faulted(cause: BaseException) -> contract.Failure:
    """What it means that no answer came. The cause's own text may hold the webhook's address and is left out."""
    kind = type(cause).__name__
    if isinstance(cause, _Redirected):
        return contract.Broken("Slack's address redirects to another one, which is not followed")
    if isinstance(cause, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return contract.Broken(f"Slack's webhook is no address that can be asked ({kind})")
    if isinstance(cause, aiohttp.ClientConnectorCertificateError):
        kind += ", its certificate is not to be trusted"
    never_connected = isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    return contract.Passing(f"Slack could not be reached ({kind})", outcome_known=never_connected)


def _read(body: str) -> tuple[str, bool]:
    """The word in an answer, and whether it is a receipt. Webhooks answer text, some of their relatives JSON."""
    word = body.strip()
    if word.startswith("{"):
        try:
            found = json.loads(word)
        except (ValueError, RecursionError):
            found = {}
        if isinstance(found, dict):
            return wording.short(str(found.get("error", "")), _SAID_CHARACTERS), found.get("ok") is True
    return wording.short(word, _SAID_CHARACTERS), word == "ok"


# --- the message ---


def escaped(text: str, limit: int) -> str:
    """The text with Slack's three control characters escaped, and then cut to the limit between entities.

    Nothing else is special: without `<`, no label can make a mention or a link.
    """
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(whole) <= limit:
        return whole
    kept = wording.cut(whole, limit).removesuffix(wording.ELLIPSIS)
    return _SPLIT_ENTITY.sub("", kept) + wording.ELLIPSIS


_SPLIT_ENTITY = re.compile(r"&(?:a|am|amp|l|lt|g|gt)?\Z")


def headline(told: message.Message) -> str:
    """One escaped line: what a phone shows, and the plain form."""
    first = told.shown_alerts[0].annotations.get("summary", "") if told.shown_alerts else ""
    parts = (told.title, wording.short(first, _HEADLINE_CHARACTERS))
    return escaped(": ".join(part for part in parts if part), _HEADLINE_CHARACTERS)


def plainly(told: message.Message) -> dict[str, Any]:
    """The body of the webhook's request in its plainest form."""
    return {"text": "\n".join(part for part in (_summons(told.summons), headline(told)) if part)}


def render(told: message.Message) -> dict[str, Any]:
    """The body of the webhook's request. Within every limit, whatever the alerts hold."""
    closes = told.step.act is model.Act.CLOSE
    sections = _closing(told) if closes else _open(told)
    summons = _summons(told.summons)
    return {
        "text": headline(told),
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": escaped(told.title, HEADER_CHARACTERS)},
            },
            *([_section(summons)] if summons else []),
        ],
        "attachments": [
            {
                "color": _GREEN if closes else _COLOURS[told.step.shows.priority],
                "blocks": [_section(text) for text in sections if text],
            }
        ],
    }


def render_summary(told: summary.Summary) -> dict[str, Any]:
    """The body of the request for a summary. Within every limit, whatever the alerts hold."""
    sections = [
        "\n".join(_told(fact, _SUMMARY_CHARACTERS) for fact in told.facts),
        *(_summary_line(line) for line in told.worst),
        f"<{escaped(told.page, _LINKS_CHARACTERS)}|All of it is on the page>" if told.page else "",
    ]
    title = escaped(told.title, HEADER_CHARACTERS)
    return {
        "text": escaped(told.title, _HEADLINE_CHARACTERS),
        "blocks": [{"type": "header", "text": {"type": "plain_text", "text": title}}],
        "attachments": [
            {
                "color": _COLOURS[told.priority] if told.open else _GREEN,
                "blocks": [_section(text) for text in sections if text],
            }
        ],
    }


def _summary_line(line: summary.Line) -> str:
    title = _told(line.title, _SUMMARY_CHARACTERS)
    link = escaped(line.page, _LINKS_CHARACTERS)
    named = f"<{link}|{title}>" if 0 < len(link) < _LINKS_CHARACTERS - 2 * _SUMMARY_CHARACTERS else title
    return f"*{named}*\n{_told(line.text, _SUMMARY_CHARACTERS)}" if line.text else f"*{named}*"


def _section(text: str) -> dict[str, Any]:
    # Verbatim: Slack makes no links or names of its own out of words in the text.
    return {"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": True}}


def _summons(summons: message.Summons | None) -> str:
    """The one text that calls a whole channel: a page has gone astray, and people must carry it on."""
    if summons is None:
        return ""
    lines = ["<!channel> " + " ".join(_told(why, _WHY_CHARACTERS) for why in summons.why[:_WHYS])]
    if summons.contacts:
        lines.append("Make sure that someone has it. Call, in this order:")
    for number, contact in enumerate(summons.contacts[:_CONTACTS], start=1):
        reach = f": {contact.reach}" if contact.reach else " (routing.yml does not say how)"
        lines.append(f"{number}. {_told(contact.who + reach, _CONTACT_CHARACTERS)}")
    return "\n".join(lines)


def _open(told: message.Message) -> list[str]:
    in_full = told.step.act is model.Act.OPEN or told.step.reason is model.Reason.RAISED
    ordered = told.shown_alerts
    if told.step.act is model.Act.UPDATE:
        ordered = tuple(sorted(ordered, key=lambda alert: _news(alert, told.step) == ""))
    alerts = ordered[: _ALERTS_BESIDE_SUMMONS if told.summons else _ALERTS]
    return [
        _notes(told),
        *(_alert(alert, told) for alert in alerts),
        _more(len(told.shown_alerts) - len(alerts)),
        _command(told) if in_full or told.step.joined else "",
        _steps(told) if in_full else "",
        _links(told.links),
    ]


def _closing(told: message.Message) -> list[str]:
    """Short: nobody has to do anything any more."""
    first = [_period(told.shown_alerts[0], told)] if told.shown_alerts else []
    lines = [*first, _more(len(told.shown_alerts) - 1), _notes(told)]
    said = "\n".join(part for part in lines if part)
    links = message.Links(incident=told.links.incident, graph=told.links.graph)
    return [said or "Nothing of it fires any more.", _links(links)]


def _period(alert: model.Alert, told: message.Message) -> str:
    when = wording.period(alert, beside=told.incident.changed_at)
    return f"Fired {when}."


def _notes(told: message.Message) -> str:
    return "\n".join(escaped(wording.line(note), _NOTE_CHARACTERS) for note in told.notes)


def _news(alert: model.Alert, step: model.Step) -> str:
    if step.act is model.Act.UPDATE and alert.fingerprint in step.joined:
        return "New: "
    return "Resolved: " if not alert.fires else ""


def _alert(alert: model.Alert, told: message.Message) -> str:
    summary = alert.annotations.get("summary", "") or alert.labels.get("alertname", "")
    description = alert.annotations.get("description", "")
    labels = wording.label_list(alert.labels, leave_out=_IN_THE_TITLE, limit=_LABELS_CHARACTERS)
    when = wording.period(alert, beside=told.incident.changed_at)
    lines = [
        f"*{_news(alert, told.step)}{_told(summary, _SUMMARY_CHARACTERS) or 'Alert without a summary'}*",
        _told(description, _DESCRIPTION_CHARACTERS),
        " · ".join(
            part for part in (when[:1].upper() + when[1:], escaped(labels, _LABELS_CHARACTERS)) if part
        ),
    ]
    return "\n".join(line for line in lines if line)


def _told(text: str, limit: int) -> str:
    return escaped(wording.short(text, limit), limit)


def _more(count: int) -> str:
    return f"…and {wording.plural(count, 'more alert')}." if count > 0 else ""


def _command(told: message.Message) -> str:
    if told.advice is None or not told.advice.first_command:
        return ""
    # Three backticks would end the block. Their look-alikes, in a quoted value, do no harm.
    command = wording.block(told.advice.first_command, _COMMAND_CHARACTERS).replace("```", "\u02cb" * 3)
    return f"*First command*\n```{escaped(command, _COMMAND_CHARACTERS)}```"


def _steps(told: message.Message) -> str:
    steps = told.advice.first_steps[:_STEPS] if told.advice else ()
    lines = [f"{number}. {_told(step, _STEP_CHARACTERS)}" for number, step in enumerate(steps, start=1)]
    return "\n".join(["*First three minutes*", *lines]) if lines else ""


def _links(links: message.Links) -> str:
    """Links by name on one line, the most useful first; one that does not fit is left out."""
    named = (
        (links.runbook, "Runbook"),
        (links.incident, "Incident"),
        (links.graph, "Graph"),
        (links.dashboard, "Dashboard"),
        (links.logs, "Logs"),
        (links.silence, "Silence"),
    )
    line = ""
    for address, name in named:
        link = f"<{escaped(address, _LINKS_CHARACTERS)}|{name}>"
        longer = f"{line} · {link}" if line else link
        if address and len(longer) <= _LINKS_CHARACTERS:
            line = longer
    return line
