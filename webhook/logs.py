"""Logs on standard error: for people, or one JSON object a line. Untrusted text cannot forge a line."""

import json
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, TextIO
from urllib.parse import urlsplit

from aiohttp import http_exceptions

from routing import events, model
from webhook import novelty

Style = Literal["text", "json"]
"""How lines are written: for people, or for a machine."""

_Plain = str | int | float | bool | None

_REDACTED = "[redacted]"
_SHORTEST_SECRET = 6
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Controls, and what reorders or hides text: C0, C1, line and paragraph separators, bidirectional and zero-width marks.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
_BARE = re.compile(r"[\w.:/+%@-]+")
_STORE_QUIET_SECONDS = 60.0

_log = logging.getLogger("routing.delivery")


class Secrets:
    """Values that must not be seen in a log, should any code ever put one there."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._pattern: re.Pattern[str] | None = None
        self.replace(values)

    def replace(self, values: Iterable[str]) -> None:
        """Hide these from now on, and of an address its last part too: there a Slack webhook has its secret."""
        hidden = {part for value in values for part in _parts(value) if len(part) >= _SHORTEST_SECRET}
        longest_first = sorted(hidden, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if hidden else None

    def hide(self, text: str) -> str:
        """The text without them."""
        return self._pattern.sub(_REDACTED, text) if self._pattern else text


def _parts(secret: str) -> tuple[str, ...]:
    if "://" not in secret:
        return (secret,)
    address = urlsplit(secret)
    return (secret, address.path.rstrip("/").rpartition("/")[2], address.password or "")


class _Formatter(logging.Formatter):
    """Makes a record's fields plain text without secrets; how they are written is for the subclasses."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def fields(self, record: logging.LogRecord) -> dict[str, _Plain]:
        """The fields that every record has, in reading order."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._plain(record.getMessage()),
        }

    def extras(self, record: logging.LogRecord) -> dict[str, _Plain]:
        """What the caller gave along."""
        given = {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}
        return {name: self._plain(value) for name, value in given.items()}

    def trace(self, record: logging.LogRecord) -> str:
        """The exception and the stack, "" where there is none."""
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        if record.stack_info:
            parts.append(self.formatStack(record.stack_info))
        return self._secrets.hide("\n".join(parts))

    def _plain(self, value: object) -> _Plain:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):  # JSON has no word for the others
            return value
        return self._secrets.hide(str(value))


class TextFormatter(_Formatter):
    """One readable line a record. The lines of an exception are indented, so none can pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fixed = self.fields(record)
        extras = "".join(f" {name}={_word(value)}" for name, value in self.extras(record).items())
        line = f"{fixed['time']} {fixed['level']} {fixed['logger']}: {fixed['message']}"
        lines = [line + extras, *(f"    {line}" for line in self.trace(record).splitlines())]
        return "\n".join(_UNPRINTABLE.sub(_escape, line) for line in lines)


class JsonFormatter(_Formatter):
    """One JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        trace = self.trace(record)
        fixed = self.fields(record) | ({"exception": trace} if trace else {})
        return json.dumps({**fixed, **{k: v for k, v in self.extras(record).items() if k not in fixed}})


def _word(value: _Plain) -> str:
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def setup(*, style: Style, secrets: Secrets, level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs to one stream (standard error), in one style. What was set up before is replaced."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter({"text": TextFormatter, "json": JsonFormatter}[style](secrets))
    root = logging.getLogger()
    for former in root.handlers[:]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("aiohttp.server").addFilter(_calm_about_strangers)


def log_crashes() -> None:
    """Let an exception that ends the process or a thread, and every warning, be told like all else: without secrets."""

    def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            logging.getLogger("webhook").critical("crashed", exc_info=(kind, error, trace))

    def thread_crashed(what: threading.ExceptHookArgs) -> None:
        if what.exc_value is not None:
            crashed(what.exc_type, what.exc_value, what.exc_traceback)

    sys.excepthook = crashed
    threading.excepthook = thread_crashed
    logging.captureWarnings(capture=True)


def _calm_about_strangers(record: logging.LogRecord) -> bool:
    """Let aiohttp tell of what is no HTTP (a port scan, TLS to a plain port) in one line, not as our fault."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, http_exceptions.BadHttpMessage):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "answered 400 to what is no HTTP request", ()
        record.exc_info = record.exc_text = None
        record.error = error.message
    return True


class Narrator:
    """Tells of deliveries, as loudly as they are surprising: a failure that repeats is told once."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: dict[str, novelty.Novelty] = {}
        self._store_told_at: float | None = None

    def listen(self, event: events.Event) -> None:
        """Hear of something that happened while delivering (`routing.events.Listener`)."""
        level, message = self._weigh(event)
        _log.log(level, message, extra=_extras(event))

    def _weigh(self, event: events.Event) -> tuple[int, str]:
        level, message = _TOLD[type(event)]
        match event:
            case events.Retried() | events.SummaryFailed():
                destination, error = event.destination, event.error
                met = self._failures.setdefault(destination, novelty.Novelty())
                level = level if met.is_new(error) else logging.DEBUG
            case events.LaneRecovered(destination=destination):
                self._failures.pop(destination, None)
            case events.StoreTrouble():
                level = level if self._store_is_news() else logging.DEBUG
        return level, message

    def _store_is_news(self) -> bool:
        now = self._monotonic()
        if self._store_told_at is not None and now - self._store_told_at < _STORE_QUIET_SECONDS:
            return False
        self._store_told_at = now
        return True


_TOLD: Mapping[type[events.Event], tuple[int, str]] = {
    events.Sent: (logging.INFO, "told"),
    events.Noted: (logging.WARNING, "told, and someone has to see to it"),
    events.Retried: (logging.WARNING, "could not tell, trying again"),
    events.Refused: (logging.WARNING, "refused, trying again in the plain form"),
    events.Dead: (logging.ERROR, "refused for good: a dead letter"),
    events.Summarised: (logging.INFO, "told many incidents in one message"),
    events.SummaryFailed: (logging.WARNING, "could not tell many incidents in one message, trying again"),
    events.LaneSuspended: (logging.ERROR, "the destination is broken, only probes go there"),
    events.LaneRecovered: (logging.INFO, "the destination works again"),
    events.StoreTrouble: (logging.ERROR, "the store cannot be used, trying again"),
}


def _extras(event: events.Event) -> dict[str, object]:
    return {
        field.name: round(value, 3) if isinstance(value, float) else value
        for field in fields(event)
        if (value := _shown(getattr(event, field.name))) is not None
    }


def _shown(value: object) -> object:
    return value.name if isinstance(value, model.Priority) else value
