"""Slack's mrkdwn as Slack reads it: which mentions and links a text makes, and how it looks.

Source: Slack's "Formatting text for app surfaces". Only `&lt;`, `&gt;` and `&amp;` are entities; everything between
`<` and `>` is a control sequence.
"""

import html
import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["link", "user", "channel", "group", "broadcast", "date"]

_CONTROL = re.compile(r"<([^<>\n]+)>")
_STYLES = (
    (re.compile(r"```(.+?)```", re.DOTALL), r"<pre>\1</pre>"),
    (re.compile(r"`([^`\n]+)`"), r"<code>\1</code>"),
    (re.compile(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])"), r"<b>\1</b>"),
    (re.compile(r"(?<![\w_])_([^_\n]+)_(?![\w_])"), r"<i>\1</i>"),
    (re.compile(r"(?<![\w~])~([^~\n]+)~(?![\w~])"), r"<s>\1</s>"),
)
_CODE = re.compile(r"(```.+?```|`[^`\n]+`)", re.DOTALL)
_SIGILS: dict[Kind, str] = {"user": "@", "group": "@", "broadcast": "@", "channel": "#"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control sequence. Everything but a link or a date notifies somebody."""

    kind: Kind
    target: str
    label: str

    @property
    def notifies(self) -> bool:
        return self.kind in ("user", "group", "broadcast")


def controls(text: str) -> list[Control]:
    """What Slack would turn into a mention or a link in this text."""
    return [found for match in _CONTROL.finditer(text) if (found := _control(match[1])) is not None]


def plain(text: str) -> str:
    """The text as people read it: a link by its label, a mention by its @name, entities decoded."""

    def shown(match: re.Match[str]) -> str:
        control = _control(match[1])
        return match[0] if control is None else control.label

    return unescape(_CONTROL.sub(shown, text))


def to_html(text: str) -> str:
    """The text as Slack would show it, with everything else escaped."""
    # Control sequences wait behind a number while the styles are laid on: a URL's underscores are no emphasis.
    waiting: list[str] = []

    def put_aside(match: re.Match[str]) -> str:
        control = _control(match[1])
        if control is None:
            return match[0]
        waiting.append(_control_html(control))
        return f"\0{len(waiting) - 1}\0"

    styled = _styled(html.escape(unescape(_CONTROL.sub(put_aside, text.replace("\0", "")))))
    return re.sub("\0([0-9]+)\0", lambda match: waiting[int(match[1])], styled)


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


_PREFIXES: tuple[tuple[str, Kind, str], ...] = (
    # What it starts with, what it is, and what the target is left without.
    ("http://", "link", ""),
    ("https://", "link", ""),
    ("mailto:", "link", ""),
    ("@", "user", "@"),
    ("#", "channel", "#"),
    ("!date^", "date", "!"),
    ("!subteam^", "group", "!subteam^"),
    ("!channel", "broadcast", "!"),
    ("!here", "broadcast", "!"),
    ("!everyone", "broadcast", "!"),
)


def _control(inside: str) -> Control | None:
    target, _, label = inside.partition("|")
    for prefix, kind, drop in _PREFIXES:
        if target.startswith(prefix):
            bare = unescape(target.removeprefix(drop))
            return Control(kind=kind, target=bare, label=unescape(label) or _SIGILS.get(kind, "") + bare)
    return None


def _control_html(control: Control) -> str:
    label = html.escape(control.label)
    if control.kind == "link":
        return f'<a href="{html.escape(control.target)}">{label}</a>'
    return f'<span class="mention">{label}</span>' if control.notifies else label


def _styled(safe: str) -> str:
    # Code first, and nothing inside code: an asterisk in a command is no emphasis.
    pieces = _CODE.split(safe)
    for index, piece in enumerate(pieces):
        is_code = index % 2 == 1
        shown = piece
        for pattern, replacement in _STYLES[:2] if is_code else _STYLES[2:]:
            shown = pattern.sub(replacement, shown)
        pieces[index] = shown if is_code else shown.replace("\n", "<br>")
    return "".join(pieces)
