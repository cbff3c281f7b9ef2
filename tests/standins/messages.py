"""What Slack keeps: a message in a channel, and what it does to the people who read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.standins import blocks, faults, mrkdwn


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message that stands in a channel."""

    channel: str
    body: Mapping[str, Any]
    arrival: faults.Arrival

    @property
    def text(self) -> str:
        return str(self.body.get("text") or "")

    @property
    def attachments(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("attachments") or [])

    @property
    def colors(self) -> list[str]:
        return [str(one["color"]) for one in self.attachments if "color" in one]

    @property
    def blocks(self) -> list[Mapping[str, Any]]:
        """All blocks, those inside attachments too, in the order in which people read them."""
        return all_blocks(self.body)

    @property
    def controls(self) -> list[mrkdwn.Control]:
        """Every mention and link in the text of the message, buttons left out."""
        return [control for text in _mrkdwn_texts(self.body) for control in mrkdwn.controls(text)]

    @property
    def mentions(self) -> list[mrkdwn.Control]:
        """What notifies somebody: a hostile label must never be among these."""
        return [control for control in self.controls if control.notifies]

    @property
    def links(self) -> list[str]:
        """Every address that a person could follow: links in the text, and buttons."""
        links = [control.target for control in self.controls if control.kind == "link"]
        return [*links, *(str(button["url"]) for button in _buttons(self.blocks) if "url" in button)]


def all_blocks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = list(body.get("blocks") or [])
    for attachment in body.get("attachments") or []:
        found.extend(attachment.get("blocks") or [])
    return found


def _mrkdwn_texts(body: Mapping[str, Any]) -> list[str]:
    found = [str(body.get("text") or "")]
    for attachment in body.get("attachments") or []:
        found.extend(str(attachment.get(name) or "") for name in ("pretext", "text"))
        found.extend(str(field.get("value") or "") for field in attachment.get("fields") or [])
    found.extend(text for text, is_mrkdwn in blocks.texts(all_blocks(body)) if is_mrkdwn)
    return found


def _buttons(all_blocks: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    elements = [
        element
        for block in all_blocks
        for element in [*(block.get("elements") or []), block.get("accessory") or {}]
    ]
    return [element for element in elements if element.get("type") == "button"]
