"""What a log line says, and what no log line ever says."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import http_exceptions

from routing import events, model
from webhook import logs

WEBHOOK = "https://hooks.slack.com/services/T0/B0/s3cr3tpart"
ABOUT: dict[str, Any] = {
    "incident_id": "1f" * 16,
    "destination": "slack-ops",
    "priority": model.Priority.P1,
    "act": model.Act.OPEN,
    "reason": model.Reason.FIRED,
}
SENT = events.Sent(**ABOUT, since_change_seconds=0.31234, since_start_seconds=None, possibly_repeated=False)
RETRIED = events.Retried(**ABOUT, error="503", pause_seconds=1.0)
RECOVERED = events.LaneRecovered(destination="slack-ops", was_suspended=False)


class Log:
    """A logger set up as the service's is, and what it wrote."""

    def __init__(self, style: logs.Style) -> None:
        self.stream = io.StringIO()
        self.secrets = logs.Secrets(["t0k3n-value", WEBHOOK])
        logs.setup(style=style, secrets=self.secrets, level=logging.DEBUG, stream=self.stream)
        self.logger = logging.getLogger("tests.logs")

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    @property
    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def text() -> Log:
    return Log("text")


@pytest.fixture
def as_json() -> Log:
    return Log("json")


@pytest.fixture(params=["text", "json"])
def either(request: pytest.FixtureRequest) -> Log:
    return Log(request.param)


def raise_with(message: str, kind: type[Exception] = ValueError) -> None:
    raise kind(message)


def test_text_line_reads_from_left_to_right(text: Log) -> None:
    text.logger.warning(
        "could not tell", extra={"destination": "slack-ops", "error": "no answer", "tries": 3}
    )
    (line,) = text.lines
    stamp, rest = line.split(" ", 1)
    assert stamp.endswith("Z")
    assert rest == 'WARNING tests.logs: could not tell destination=slack-ops error="no answer" tries=3'


def test_json_line_is_one_object_with_its_extras(as_json: Log) -> None:
    as_json.logger.info("told", extra={"destination": "slack-ops", "tries": 3, "error": None})
    (record,) = as_json.records
    del record["time"]
    assert record == {
        "level": "INFO",
        "logger": "tests.logs",
        "message": "told",
        "destination": "slack-ops",
        "tries": 3,
        "error": None,
    }


def test_extra_cannot_stand_for_a_field_that_every_record_has(as_json: Log) -> None:
    as_json.logger.info("told", extra={"level": "DEBUG", "time": "never"})
    (record,) = as_json.records
    assert record["level"] == "INFO"
    assert record["time"] != "never"


def test_set_up_again_writes_each_line_once(text: Log) -> None:
    logs.setup(style="text", secrets=text.secrets, stream=text.stream)
    text.logger.info("told")
    assert len(text.lines) == 1


def test_stranger_who_speaks_no_http_is_told_in_one_calm_line(as_json: Log) -> None:
    try:
        raise_with("Invalid method encountered", http_exceptions.BadHttpMessage)
    except http_exceptions.BadHttpMessage:
        logging.getLogger("aiohttp.server").exception("Error handling request")
    (record,) = as_json.records
    assert record["level"] == "INFO"
    assert record["error"] == "Invalid method encountered"
    assert "exception" not in record


def test_fault_in_the_server_stays_loud(as_json: Log) -> None:
    try:
        raise_with("oops")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Unhandled exception")
    (record,) = as_json.records
    assert record["level"] == "ERROR"
    assert "ValueError: oops" in str(record["exception"])


@pytest.mark.parametrize(
    "forged",
    [
        "a\n2026-01-01T00:00:00Z INFO x: all is well",
        "a\r\x1b[2Jb",
        "a\u2028b",
        "a\x85b",
        "a\u202eb",
        "\ud800",
    ],
)
def test_untrusted_text_stays_on_its_line(either: Log, forged: str) -> None:
    either.logger.info("heard %s", forged, extra={"label": forged})
    (line,) = either.lines
    assert line.isprintable()


def test_trace_of_an_exception_cannot_pass_for_a_record(text: Log) -> None:
    try:
        raise_with("oops\n2026-01-01T00:00:00Z INFO x: all is well\x1b[2J")
    except ValueError:
        text.logger.exception("failed")
    first, *others = text.lines
    assert first.endswith("ERROR tests.logs: failed")
    assert any("ValueError: oops" in line for line in others)
    assert all(line.startswith("    ") for line in others)
    assert "\x1b" not in text.stream.getvalue()


@pytest.mark.parametrize(
    "leak", ["t0k3n-value", f"POST {WEBHOOK} failed", "/services/T0/B0/s3cr3tpart: no_team", "s3cr3tpart"]
)
def test_secret_shows_nowhere_in_a_record(either: Log, leak: str) -> None:
    try:
        raise_with(leak)
    except ValueError as error:
        either.logger.exception("failed: %s", leak, extra={"error": error, "detail": [leak]}, stack_info=True)
    # The lines of source in a trace are ours, so only the values are looked for.
    assert "t0k3n-value" not in either.stream.getvalue()
    assert "s3cr3tpart" not in either.stream.getvalue()
    assert "[redacted]" in either.stream.getvalue()


def test_secrets_of_a_new_configuration_are_hidden_too(either: Log) -> None:
    either.secrets.replace(["another-secret"])
    either.logger.info("another-secret")
    assert "another-secret" not in either.stream.getvalue()


def test_word_too_short_to_be_a_secret_is_not_hunted(either: Log) -> None:
    either.secrets.replace(["a", ""])
    either.logger.info("all is well")
    assert "all is well" in either.stream.getvalue()


def test_what_was_told_is_logged_with_its_reason(as_json: Log) -> None:
    logs.Narrator().listen(SENT)
    (record,) = as_json.records
    assert record["level"] == "INFO"
    assert record["reason"] == "fired"
    assert record["priority"] == "P1"
    assert record["since_change_seconds"] == 0.312


def levels(log: Log) -> list[object]:
    return [record["level"] for record in log.records]


def test_failure_that_repeats_is_told_once(as_json: Log) -> None:
    narrator = logs.Narrator()
    for _ in range(3):
        narrator.listen(RETRIED)
    assert levels(as_json) == ["WARNING", "DEBUG", "DEBUG"]


def test_failure_is_told_again_after_a_recovery(as_json: Log) -> None:
    narrator = logs.Narrator()
    for event in (RETRIED, RECOVERED, RETRIED):
        narrator.listen(event)
    assert levels(as_json) == ["WARNING", "INFO", "WARNING"]


def test_another_failure_is_told_as_well(as_json: Log) -> None:
    narrator = logs.Narrator()
    narrator.listen(RETRIED)
    narrator.listen(events.Retried(**ABOUT, error="timeout", pause_seconds=1.0))
    assert levels(as_json) == ["WARNING", "WARNING"]


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (events.Refused(**ABOUT, error="400"), "WARNING"),
        (events.Dead(**ABOUT, error="400"), "ERROR"),
        (events.LaneSuspended(destination="slack-ops", error="no such channel"), "ERROR"),
    ],
)
def test_what_needs_a_person_is_loud(as_json: Log, event: events.Event, level: str) -> None:
    logs.Narrator().listen(event)
    assert levels(as_json) == [level]


def test_trouble_with_the_store_is_told_once_a_minute(as_json: Log) -> None:
    now = 0.0
    narrator = logs.Narrator(monotonic=lambda: now)
    for now in (0.0, 30.0, 59.0, 60.0, 61.0):
        narrator.listen(events.StoreTrouble(error=f"disk full at {now}"))
    assert levels(as_json) == ["ERROR", "DEBUG", "DEBUG", "ERROR", "DEBUG"]
