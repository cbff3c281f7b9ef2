"""How text, times and counts read, the same everywhere. Untrusted text goes through here first."""

import unicodedata
from collections.abc import Callable
from datetime import datetime, timedelta

from routing import model

ELLIPSIS = "…"
_STRANGE = "\N{REPLACEMENT CHARACTER}"


def clean(text: str) -> str:
    """The text without anything invisible: each such character becomes U+FFFD, so that it shows.

    Control characters, marks that turn the reading direction, zero-width ones and lone surrogates can make
    a text look like another one. Line ends stay; any other white space becomes a blank.
    """
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
    """At most `limit` characters; what is cut ends in an ellipsis and never between a letter and its accent."""
    if len(text) <= limit:
        return text
    end = limit - len(ELLIPSIS)
    while end > 0 and unicodedata.combining(text[end]):
        end -= 1
    return text[:end].rstrip() + ELLIPSIS


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
