"""How text, times and counts read, the same everywhere. Untrusted text goes through here first."""

import re
import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta

from routing import model

ELLIPSIS = "…"
_LONGEST_SIGN = 32
_FLAG_LETTERS = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_ACCENTS = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_HEAP_OF_ACCENTS = re.compile(f"({_ACCENTS}{{4}}){_ACCENTS}+")
_STRANGE = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """The text without anything invisible: each such character becomes U+FFFD, so that it shows.

    Control characters, marks that turn the reading direction, zero-width ones and lone surrogates can make
    a text look like another one. Line ends stay; any other white space becomes a blank. More than four accents on
    one letter would be drawn over the lines around it: U+FFFD stands for the rest of them.
    """
    if not text.isascii():
        text = _HEAP_OF_ACCENTS.sub(rf"\1{_STRANGE}", text)
    if text.isprintable():
        return text
    return "".join(_visible(character) for character in text.replace("\r\n", "\n"))


def _visible(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return " " if character.isspace() else _STRANGE


def line(text: str) -> str:
    """The cleaned text on one line, blanks run together."""
    return " ".join(clean(text).split())


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; what is cut ends in an ellipsis and never inside what people see as one sign.

    That is a letter with its accents, an emoji with its skin tone or variant, the two letters of a flag.
    """
    if len(text) <= limit:
        return text
    end = limit - len(ELLIPSIS)
    whole = next(
        (index for index in range(end, max(-1, end - _LONGEST_SIGN), -1) if _begins(text, index)), end
    )
    return text[:whole].rstrip() + ELLIPSIS


def _begins(text: str, index: int) -> bool:
    """Whether a new sign begins there, in cleaned text."""
    character = text[index]
    if character in _FLAG_LETTERS:
        before = text[max(0, index - _LONGEST_SIGN) : index]
        return (len(before) - len(before.rstrip(_FLAG_LETTERS))) % 2 == 0
    return not (unicodedata.category(character).startswith("M") or character in _SKIN_TONES)


def short(text: str, limit: int) -> str:
    """One clean line of at most `limit` characters, at a cost that does not grow with the text."""
    return _bounded(line, text, limit)


def block(text: str, limit: int) -> str:
    """Like `short`, with its line ends kept."""
    return _bounded(lambda window: clean(window).strip(), text, limit)


def _bounded(tidy: Callable[[str], str], text: str, limit: int) -> str:
    # White space may shrink to nothing, so the window is wider than the limit.
    window = text[: 4 * limit + 4]
    tidied = tidy(window)
    return cut(tidied, limit) if len(window) == len(text) else cut(tidied.ljust(limit + 1), limit)


def plural(count: int, noun: str) -> str:
    """`1 alert`, `2 alerts`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def instant(at: datetime, *, beside: datetime | None = None) -> str:
    """`12:03:05 UTC`, with the date in front unless it is the day of `beside`."""
    clock = f"{at:%H:%M:%S} UTC"
    if beside is not None and at.date() == beside.date():
        return clock
    return f"{at:%Y-%m-%d} {clock}"


def duration(span: timedelta) -> str:
    """The two largest units: `45 s`, `4 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    seconds = max(0, round(span.total_seconds()))
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    counts = ((days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    first = next((index for index, (count, _) in enumerate(counts) if count), len(counts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in counts[first : first + 2] if count or unit == "s")


def period(alert: model.Alert, *, beside: datetime) -> str:
    """`since 12:03:05 UTC`, or from when to when and for how long."""
    begin = instant(alert.starts_at, beside=beside)
    if alert.ends_at is None:
        return f"since {begin}"
    end = instant(alert.ends_at, beside=alert.starts_at)
    return f"{begin} to {end}, for {duration(alert.ends_at - alert.starts_at)}"


def label_list(labels: model.Labels, *, leave_out: frozenset[str] = frozenset(), limit: int) -> str:
    """`cluster=eu, pod=x`, by name, on one line of at most `limit` characters."""
    parts: list[str] = []
    length = 0
    for name in sorted(labels.keys() - leave_out):
        part = f"{short(name, 100)}={short(labels[name], 200)}"
        parts.append(part)
        length += len(part) + 2
        if length > limit + 2:
            break
    return cut(", ".join(parts), limit)
