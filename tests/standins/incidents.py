"""What PagerDuty keeps: events, and the incidents that they open, extend and close."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.standins import faults

Action = Literal["trigger", "acknowledge", "resolve"]
Outcome = Literal["opened", "appended", "acknowledged", "resolved", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One accepted event, and what PagerDuty made of it. `dropped` is silent: the sender got its 202 all the same."""

    service: str
    routing_key: str
    action: Action
    dedup_key: str
    body: Mapping[str, Any]
    arrival: faults.Arrival
    outcome: Outcome

    @property
    def payload(self) -> Mapping[str, Any]:
        payload: Mapping[str, Any] = self.body.get("payload") or {}
        return payload

    @property
    def links(self) -> list[Mapping[str, Any]]:
        return list(self.body.get("links") or [])


@dataclass(slots=True, kw_only=True)
class Incident:
    """What a person at PagerDuty sees: opened by a trigger, closed by a resolve, each event in its log."""

    number: int
    service: str
    routing_key: str
    dedup_key: str
    events: list[Event] = field(default_factory=list)
    acknowledged: bool = False
    resolved_at_unix_seconds: float | None = None

    @property
    def resolved(self) -> bool:
        return self.resolved_at_unix_seconds is not None

    @property
    def status(self) -> str:
        if self.resolved:
            return "resolved"
        return "acknowledged" if self.acknowledged else "triggered"

    @property
    def opened(self) -> Event:
        """The trigger that opened it, and paged."""
        return self.events[0]

    @property
    def appended(self) -> int:
        """How many triggers came while it was open. They page nobody."""
        return sum(event.outcome == "appended" for event in self.events)

    @property
    def latest(self) -> Event:
        """The trigger that says how things are now."""
        return [event for event in self.events if event.action == "trigger"][-1]
