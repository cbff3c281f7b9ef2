"""A stand-in for Slack's incoming webhooks that is as strict as the real ones.

Source of the answers: Slack's "Sending messages using incoming webhooks", section "Handling errors": plain text, `ok`
or one error word. The limits are in tests/standins/blocks.py. The 429's JSON body is as users report it.
"""

import json
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.standins import blocks, faults, messages, server, slack_page

PATH_PREFIX = "/services/T000/B000/"

# What a webhook can answer because of the state of its workspace or channel, not because of the message.
REFUSALS: Mapping[str, int] = {
    "invalid_token": 403,
    "action_prohibited": 403,
    "no_service": 404,
    "no_team": 404,
    "channel_not_found": 404,
    "channel_is_archived": 410,
    "rollup_error": 500,
}


class Slack(server.Standin):
    """See the module. `channels` names the channel behind each webhook's secret.

    A channel takes one message a second, after a burst of `burst`; `burst` None means no limit.
    """

    post_path = PATH_PREFIX + "{secret}"

    def __init__(
        self, *, channels: Mapping[str, str], burst: int | None = 4, per_second: float = 1.0
    ) -> None:
        super().__init__()
        self.channels = dict(channels)
        self.burst = burst
        self.per_second = per_second
        self.messages: list[messages.Message] = []
        self._refused: dict[str, str] = {}
        # Seconds of monotonic time at which a channel's next message would be due, were messages evenly spread.
        self._due_seconds: dict[str, float] = {}

    def webhook(self, channel: str) -> str:
        """The webhook's URL of a channel, as an administrator would copy it."""
        secret = next(secret for secret, name in self.channels.items() if name == channel)
        return f"{self.url}{PATH_PREFIX}{secret}"

    def posted(self, channel: str) -> list[messages.Message]:
        return [message for message in self.messages if message.channel == channel]

    def refuse(self, channel: str, word: str) -> None:
        """From now on answer every message to this channel with one of REFUSALS, as after an archiving."""
        self._refused[channel] = word

    def restore(self, channel: str) -> None:
        self._refused.pop(channel, None)

    def to(self, channel: str) -> Callable[[faults.Arrival], bool]:
        """For `script(..., where=slack.to("ops"))`: only the messages to this channel."""
        return lambda arrival: self.channels.get(_secret(arrival)) == channel

    def judge(self, arrival: faults.Arrival) -> server.Verdict:
        channel = self.channels.get(_secret(arrival))
        word = "invalid_token" if channel is None else self._refused.get(channel)
        if channel is None or word is not None:
            assert word is not None, "an unknown channel has its word"
            return _answer(word, status=REFUSALS[word])
        wait_seconds = self._wait_seconds(channel, arrival.at_seconds)
        if wait_seconds > 0:
            seconds = math.ceil(wait_seconds)
            return server.Verdict(
                status=429,
                body=json.dumps({"ok": False, "error": "rate_limited", "retry_after": seconds}),
                retry_after_seconds=seconds,
                reasons=(f"more than {self.per_second:g} messages a second in {channel}",),
            )
        word, reasons = message_faults(arrival)
        return (
            _answer("ok", status=200) if word is None else _answer(word, status=400, reasons=tuple(reasons))
        )

    def record(self, arrival: faults.Arrival) -> server.Verdict:
        channel = self.channels[_secret(arrival)]
        due = self._due_seconds.get(channel, arrival.at_seconds)
        self._due_seconds[channel] = max(due, arrival.at_seconds) + 1 / self.per_second
        self.messages.append(
            messages.Message(channel=channel, body=json.loads(arrival.body), arrival=arrival)
        )
        return _answer("ok", status=200)

    def page(self) -> str:
        return slack_page.html(list(self.channels.values()), self.messages)

    def render_plain(self) -> str:
        return "\n".join(describe(message) for message in self.messages) or "Slack: no messages"

    def _wait_seconds(self, channel: str, now_seconds: float) -> float:
        if self.burst is None:
            return 0.0
        ahead = self._due_seconds.get(channel, now_seconds) - now_seconds
        # A little slack of our own: a sender that waits exactly a second must not fail by a clock's rounding.
        return ahead - (self.burst - 1) / self.per_second - 0.05


@asynccontextmanager
async def serve(
    *, channels: Mapping[str, str], burst: int | None = 4, per_second: float = 1.0, port: int = 0
) -> AsyncIterator[Slack]:
    """A listening stand-in."""
    slack = Slack(channels=channels, burst=burst, per_second=per_second)
    await slack.start(port=port)
    try:
        yield slack
    finally:
        await slack.close()


def message_faults(arrival: faults.Arrival) -> tuple[str | None, list[str]]:
    """Slack's error word for a message that it would refuse, and the reasons that Slack keeps to itself."""
    if arrival.media_type != "application/json":
        return "invalid_payload", [f"Content-Type is {arrival.media_type!r}"]
    try:
        body = json.loads(arrival.body)
    except ValueError as error:
        return "invalid_payload", [str(error)]
    if not isinstance(body, dict):
        return "invalid_payload", ["not an object"]
    word, reasons = _shape_faults(body)
    return (word, reasons) if word is not None else _limit_faults(body)


def describe(message: messages.Message) -> str:
    """The message as people read it, without its colours."""
    return f"{message.channel} {slack_page.plain(message)}"


def _shape_faults(body: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    attachments = body.get("attachments") or []
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        return "invalid_attachments", ["attachments: must be a list of objects"]
    if not isinstance(body.get("text") or "", str):
        return "invalid_payload", ["text: must be a string"]
    if not (body.get("text") or body.get("blocks") or attachments):
        return "no_text", ["text, blocks or attachments are needed"]
    return None, []


def _limit_faults(body: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    attachments = body.get("attachments") or []
    if len(body.get("text") or "") > blocks.MESSAGE_TEXT:
        return "msg_too_long", [f"text: longer than {blocks.MESSAGE_TEXT} characters"]
    if len(attachments) > blocks.ATTACHMENTS:
        return "too_many_attachments", [f"attachments: more than {blocks.ATTACHMENTS}"]
    found = blocks.faults(body["blocks"]) if body.get("blocks") is not None else []
    for index, attachment in enumerate(attachments):
        if attachment.get("blocks") is not None:
            found.extend(blocks.faults(attachment["blocks"], at=f"attachments/{index}/blocks"))
    if found:
        return "invalid_blocks", found
    total = blocks.characters(messages.all_blocks(body))
    if total > blocks.ALL_BLOCKS_TEXT:
        return "msg_blocks_too_long", [f"{total} characters in all blocks"]
    return None, []


def _secret(arrival: faults.Arrival) -> str:
    return arrival.path.removeprefix(PATH_PREFIX)


def _answer(word: str, *, status: int, reasons: tuple[str, ...] = ()) -> server.Verdict:
    return server.Verdict(status=status, body=word, content_type="text/plain", reasons=reasons)
