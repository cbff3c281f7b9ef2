"""Frozen records of what happened while delivering. Logs, metrics and pages listen; nothing here knows them."""

from collections.abc import Callable
from dataclasses import dataclass

from routing import model


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Common to all that can become of one try to tell a destination something."""

    incident_id: str
    destination: str
    priority: model.Priority
    act: model.Act
    reason: model.Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Attempt):
    """The far end took it.

    Attributes:
        since_change_seconds: from the record of the change that made the step due to the receipt.
        since_start_seconds: from the alert's start in Prometheus to the receipt; only for OPEN.
        possibly_repeated: whether an earlier try with an unknown outcome may have shown the same.
    """

    since_change_seconds: float
    since_start_seconds: float | None
    possibly_repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted(Attempt):
    """The far end took it, and people have to know or do something about it."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Attempt):
    """A passing failure; the lane pauses and tries again."""

    error: str
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Attempt):
    """The far end refused this event; it is tried once more in its plain form."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead(Attempt):
    """Refused in its plain form too: a dead letter."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summarised:
    """One message told a destination of many incidents, instead of a message each."""

    destination: str
    incidents: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryFailed:
    """Such a message could not be told. All of it stays due."""

    destination: str
    incidents: int
    error: str
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSuspended:
    """The destination is broken (wrong credentials, no such channel): only probes go there."""

    destination: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneRecovered:
    """A try succeeded after failures."""

    destination: str
    was_suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTrouble:
    """The reconciler could not use the store and tries again."""

    error: str


Event = (
    Sent
    | Noted
    | Retried
    | Refused
    | Dead
    | Summarised
    | SummaryFailed
    | LaneSuspended
    | LaneRecovered
    | StoreTrouble
)

Listener = Callable[[Event], None]
