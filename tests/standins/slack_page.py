"""Slack as people see it: the channels, one below the other, each message with its colour bar."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.standins import messages, mrkdwn, page

_SENDER = "PhantomMesh Alerts"

_STYLE = """
body { display: grid; grid-template-columns: 275px 1fr; min-height: 100vh; }
aside { background: #3f0e40; color: #e8dfe8; padding: 16px; }
aside a { color: inherit; display: flex; justify-content: space-between; padding: 3px 8px; border-radius: 6px; }
aside h1 { color: #fff; margin-bottom: 12px; }
aside .soft { color: #c9b8c9; margin-top: 16px; }
main { padding: 0 24px 48px; min-width: 0; }
section > h2 { font-size: 17px; border-bottom: 1px solid var(--line); padding: 16px 0 10px; margin: 0 0 10px; }
.message { display: grid; grid-template-columns: 36px minmax(0, 1fr); gap: 10px; padding: 8px 0; max-width: 860px; }
.face { width: 36px; height: 36px; border-radius: 6px; background: #4a154b; color: #fff; display: grid;
  place-items: center; font-weight: 700; }
.attachment { border-left: 4px solid var(--line); border-radius: 3px; padding: 2px 0 2px 12px; margin: 4px 0; }
.attachment > *, .message > div > * { margin-bottom: 6px; overflow-wrap: anywhere; }
h3 { font-size: 17px; margin: 2px 0; }
.fields { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 6px 18px; }
.buttons { display: flex; flex-wrap: wrap; gap: 8px; }
.button { border: 1px solid var(--line); border-radius: 4px; padding: 3px 10px; color: var(--ink); font-weight: 600;
  font-size: 13px; }
.mention { background: #f2c74466; border-radius: 3px; padding: 0 2px; }
hr { border: 0; border-top: 1px solid var(--line); margin: 8px 0; }
@media (max-width: 640px) { body { display: block; } main { padding: 0 14px 32px; } }
"""


def html(channels: Sequence[str], everything: Sequence[messages.Message]) -> str:
    posted = {channel: [one for one in everything if one.channel == channel] for channel in channels}
    menu = "".join(
        f'<a href="#{page.escape(channel)}"><span># {page.escape(_name(channel))}</span>'
        f"<span>{len(posted[channel])}</span></a>"
        for channel in channels
    )
    body = (
        f'<aside><h1>Slack</h1>{menu}<p class="soft">stand-in on this machine</p></aside><main>'
        + "".join(_channel(channel, posted[channel]) for channel in channels)
        + "</main>"
    )
    return page.frame(title=f"Slack ({len(everything)})", style=_STYLE, body=body)


def plain(message: messages.Message) -> str:
    """The message in lines of text, the first with its time."""
    lines = [f"at {page.clock(message.arrival.at_unix_seconds)}"]
    # With blocks, people see the text only in the notification, not in the channel.
    if message.text and not message.body.get("blocks"):
        lines.append(mrkdwn.plain(message.text))
    for one in message.body.get("blocks") or []:
        lines.extend(_plain_block(one))
    for attachment in message.attachments:
        shown = [line for one in attachment.get("blocks") or [] for line in _plain_block(one)]
        shown = shown or [
            mrkdwn.plain(str(attachment[name])) for name in ("title", "text") if attachment.get(name)
        ]
        lines.extend(f"| {line}" for block in shown for line in block.splitlines())
    return "\n  ".join(line for block in lines for line in block.splitlines())


def _name(channel: str) -> str:
    return channel.removeprefix("#")


def _channel(channel: str, posted: Sequence[messages.Message]) -> str:
    shown = "".join(_message(one) for one in posted) or '<p class="soft">No messages yet.</p>'
    name = page.escape(channel)
    return f'<section id="{name}"><h2># {page.escape(_name(channel))}</h2>{shown}</section>'


def _message(message: messages.Message) -> str:
    parts = []
    if message.text and not message.body.get("blocks"):
        parts.append(f"<p>{mrkdwn.to_html(message.text)}</p>")
    parts.extend(_block(one) for one in message.body.get("blocks") or [])
    parts.extend(_attachment(one) for one in message.attachments)
    return (
        '<div class="message"><span class="face" aria-hidden="true">P</span><div>'
        f'<p><b>{_SENDER}</b> <span class="soft">{page.clock(message.arrival.at_unix_seconds)}</span></p>'
        f"{''.join(parts)}</div></div>"
    )


def _attachment(attachment: Mapping[str, Any]) -> str:
    inside = "".join(_block(one) for one in attachment.get("blocks") or [])
    if not inside:
        title, text = (str(attachment.get(name) or "") for name in ("title", "text"))
        inside = f"<p><b>{page.escape(title)}</b></p><p>{mrkdwn.to_html(text)}</p>"
    color = str(attachment.get("color", ""))
    safe = color if color.startswith("#") and color[1:].isalnum() else _NAMED_COLORS.get(color, "var(--line)")
    return f'<div class="attachment" style="border-left-color: {safe}">{inside}</div>'


_NAMED_COLORS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}


def _block(block: Mapping[str, Any]) -> str:
    match block["type"]:
        case "header":
            return f"<h3>{_text(block['text'])}</h3>"
        case "divider":
            return "<hr>"
        case "context":
            inside = " · ".join(_text(one) for one in block["elements"] if "text" in one)
            return f'<p class="soft">{inside}</p>'
        case "actions":
            return f'<div class="buttons">{"".join(_button(one) for one in block["elements"])}</div>'
        case "image":
            return f'<p class="soft">[{page.escape(block["alt_text"])}]</p>'
    parts = [f"<div>{_text(block['text'])}</div>"] if block.get("text") else []
    if block.get("fields"):
        parts.append(
            f'<div class="fields">{"".join(f"<div>{_text(one)}</div>" for one in block["fields"])}</div>'
        )
    if block.get("accessory", {}).get("type") == "button":
        parts.append(f'<div class="buttons">{_button(block["accessory"])}</div>')
    return "".join(parts)


def _button(element: Mapping[str, Any]) -> str:
    label = page.escape(mrkdwn.unescape(element["text"]["text"]))
    if "url" in element:
        return f'<a class="button" href="{page.escape(element["url"])}">{label}</a>'
    return f'<span class="button">{label}</span>'


def _text(text: Mapping[str, Any]) -> str:
    if text["type"] == "mrkdwn":
        return mrkdwn.to_html(text["text"])
    return page.escape(mrkdwn.unescape(text["text"]))


def _plain_text(text: Mapping[str, Any]) -> str:
    return mrkdwn.plain(text["text"]) if text["type"] == "mrkdwn" else mrkdwn.unescape(text["text"])


def _plain_block(block: Mapping[str, Any]) -> list[str]:
    match block["type"]:
        case "header":
            return [_plain_text(block["text"])]
        case "divider":
            return ["---"]
        case "context":
            return [" · ".join(_plain_text(one) for one in block["elements"] if "text" in one)]
        case "actions":
            return [" ".join(f"[{one['text']['text']}]" for one in block["elements"])]
        case "image":
            return [f"[{block['alt_text']}]"]
    shown = [_plain_text(block["text"])] if block.get("text") else []
    shown.extend(_plain_text(one) for one in block.get("fields") or [])
    if block.get("accessory", {}).get("type") == "button":
        shown.append(f"[{block['accessory']['text']['text']}]")
    return shown
