"""A stand-in for PagerDuty's Events API v2 that is as strict as the real one.

Facts come from PagerDuty's developer documentation (limits, semantics) and, where it is silent, from answers that
users have reported:

- a key of the wrong shape: 400, JSON, "Length of 'routing_key' is incorrect (should be 32 characters)" and
  "'routing_key' cannot contain non-alphanumeric characters." (github.com/envato/pagerduty issue 70,
  github.com/blockpane/tenderduty issue 10);
- a well-formed key that nobody has: 400 with the bare text "Invalid routing key" (github.com/robusta-dev/robusta
  issue 571);
- a long summary: "... is too long (maximum is 1024 characters)" (github.com/prometheus/alertmanager issue 1840).

No report of the answer to an event over 512 KB was found; 413 is the harder case for a sender, so it is given here.
"""

import json
import time
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.standins import faults, incidents, pagerduty_page, server

LARGEST_EVENT_BYTES = 512_000
RATE_WINDOW_SECONDS = 60.0

_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "error", "warning", "info")
_KEY_CHARACTERS = 32
_DEDUP_KEY_CHARACTERS = 255
_SUMMARY_CHARACTERS = 1024


class PagerDuty(server.Standin):
    """See the module. `keys` names the service behind each routing key; `rate_per_minute` None means no limit."""

    post_path = "/v2/enqueue"

    def __init__(self, *, keys: Mapping[str, str], rate_per_minute: int | None = 120) -> None:
        super().__init__()
        self.keys = dict(keys)
        self.rate_per_minute = rate_per_minute
        self.events: list[incidents.Event] = []
        self.incidents: list[incidents.Incident] = []
        self._accepted_seconds: defaultdict[str, deque[float]] = defaultdict(deque)

    def open_incidents(self) -> list[incidents.Incident]:
        return [incident for incident in self.incidents if not incident.resolved]

    def resolve_by_hand(self, dedup_key: str) -> None:
        """A person closes the incident in PagerDuty."""
        for incident in self.open_incidents():
            if incident.dedup_key == dedup_key:
                incident.resolved_at_unix_seconds = time.time()
        self.notify()

    def judge(self, arrival: faults.Arrival) -> server.Verdict:
        event, errors = _decoded(arrival)
        if event is None:
            too_large = len(arrival.body) > LARGEST_EVENT_BYTES
            return _refusal(413 if too_large else 400, errors)
        errors = [*_key_errors(event.get("routing_key")), *_event_errors(event)]
        if errors:
            return _refusal(400, errors)
        if event["routing_key"] not in self.keys:
            return server.Verdict(
                status=400,
                body="Invalid routing key",
                content_type="text/plain",
                reasons=("Invalid routing key",),
            )
        if not self._within_rate(event["routing_key"], arrival.at_seconds):
            return server.Verdict(
                status=429,
                body=json.dumps(
                    {"status": "throttle exceeded", "message": "Requests are arriving too quickly."}
                ),
                reasons=(f"more than {self.rate_per_minute} events a minute for this key",),
            )
        return server.Verdict(status=202, body="")

    def record(self, arrival: faults.Arrival) -> server.Verdict:
        body = json.loads(arrival.body)
        key = body["routing_key"]
        dedup_key = body.get("dedup_key") or uuid.uuid4().hex
        self._accepted_seconds[key].append(arrival.at_seconds)
        found = next(
            (one for one in self.open_incidents() if (one.routing_key, one.dedup_key) == (key, dedup_key)),
            None,
        )
        event = incidents.Event(
            service=self.keys[key],
            routing_key=key,
            action=body["event_action"],
            dedup_key=dedup_key,
            body=body,
            arrival=arrival,
            outcome=_outcome(body["event_action"], is_open=found is not None),
        )
        self.events.append(event)
        if event.outcome == "opened":
            found = incidents.Incident(
                number=len(self.incidents) + 1, service=event.service, routing_key=key, dedup_key=dedup_key
            )
            self.incidents.append(found)
        if found is not None:
            _apply(found, event)
        receipt = {"status": "success", "message": "Event processed", "dedup_key": dedup_key}
        return server.Verdict(status=202, body=json.dumps(receipt))

    def page(self) -> str:
        return pagerduty_page.html(self.incidents)

    def render_plain(self) -> str:
        return pagerduty_page.plain(self.incidents)

    def _within_rate(self, key: str, now_seconds: float) -> bool:
        accepted = self._accepted_seconds[key]
        while accepted and accepted[0] <= now_seconds - RATE_WINDOW_SECONDS:
            accepted.popleft()
        return self.rate_per_minute is None or len(accepted) < self.rate_per_minute


@asynccontextmanager
async def serve(
    *, keys: Mapping[str, str], rate_per_minute: int | None = 120, port: int = 0
) -> AsyncIterator[PagerDuty]:
    """A listening stand-in."""
    pagerduty = PagerDuty(keys=keys, rate_per_minute=rate_per_minute)
    await pagerduty.start(port=port)
    try:
        yield pagerduty
    finally:
        await pagerduty.close()


def describe(event: incidents.Event) -> str:
    """One event in a line, as a person would tell it."""
    what = event.payload.get("summary", event.dedup_key)
    severity = f" [{event.payload['severity']}]" if "severity" in event.payload else ""
    return f"{event.service}: {event.action}{severity} {what} ({event.outcome})"


def _outcome(action: str, *, is_open: bool) -> incidents.Outcome:
    if action == "trigger":
        return "appended" if is_open else "opened"
    if not is_open:
        return "dropped"
    return "resolved" if action == "resolve" else "acknowledged"


def _apply(incident: incidents.Incident, event: incidents.Event) -> None:
    incident.events.append(event)
    if event.outcome == "resolved":
        incident.resolved_at_unix_seconds = event.arrival.at_unix_seconds
    if event.outcome == "acknowledged":
        incident.acknowledged = True


def _refusal(status: int, errors: list[str]) -> server.Verdict:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
    return server.Verdict(status=status, body=json.dumps(body), reasons=tuple(errors))


def _decoded(arrival: faults.Arrival) -> tuple[Mapping[str, Any] | None, list[str]]:
    if len(arrival.body) > LARGEST_EVENT_BYTES:
        return None, ["Event is too large (maximum is 512 KB)"]
    if arrival.media_type != "application/json":
        return None, ["Content-Type must be application/json"]
    try:
        event = json.loads(arrival.body)
    except ValueError as error:
        return None, [f"Event object is not valid JSON: {error}"]
    return (event, []) if isinstance(event, dict) else (None, ["Event object must be an object"])


def _key_errors(key: object) -> list[str]:
    if not isinstance(key, str) or not key:
        return ["'routing_key' is missing or blank"]
    errors = []
    if len(key) != _KEY_CHARACTERS:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    if not (key.isascii() and key.isalnum()):
        errors.append("'routing_key' cannot contain non-alphanumeric characters.")
    return errors


def _event_errors(event: Mapping[str, Any]) -> list[str]:
    errors = []
    action, dedup_key = event.get("event_action"), event.get("dedup_key")
    if action not in _ACTIONS:
        errors.append("'event_action' must be one of trigger, acknowledge, resolve")
    if dedup_key is not None and not isinstance(dedup_key, str):
        errors.append("'dedup_key' must be a string")
    elif len(dedup_key or "") > _DEDUP_KEY_CHARACTERS:
        errors.append("'dedup_key' is too long (maximum is 255 characters)")
    elif action in ("acknowledge", "resolve") and not dedup_key:
        errors.append("'dedup_key' is missing or blank")
    if action == "trigger" or event.get("payload") is not None:
        errors.extend(_payload_errors(event.get("payload")))
    errors.extend(_list_errors(event, name="links", url_field="href", schemes=("http://", "https://")))
    errors.extend(_list_errors(event, name="images", url_field="src", schemes=("https://",)))
    return errors


def _payload_errors(payload: object) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    errors = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not isinstance(payload.get(name), str) or not payload[name]
    ]
    summary = payload.get("summary")
    if isinstance(summary, str) and len(summary) > _SUMMARY_CHARACTERS:
        errors.append("'payload.summary' is too long (maximum is 1024 characters)")
    if payload.get("severity") not in (*_SEVERITIES, None, ""):
        errors.append("'payload.severity' is invalid (must be one of critical, error, warning, info)")
    if not isinstance(payload.get("custom_details", {}), dict):
        errors.append("'payload.custom_details' must be an object")
    # The real service ignores these two here, so a sender would lose them without a word. A test should hear of it.
    errors.extend(f"'{name}' belongs to the top level" for name in ("links", "images") if name in payload)
    return errors


def _list_errors(
    event: Mapping[str, Any], *, name: str, url_field: str, schemes: tuple[str, ...]
) -> list[str]:
    items = event.get(name, [])
    if not isinstance(items, list):
        return [f"'{name}' must be a list"]
    return [
        f"'{name}' needs {url_field} with one of {', '.join(schemes)}"
        for item in items
        if not isinstance(item, dict) or not str(item.get(url_field, "")).startswith(schemes)
    ]
