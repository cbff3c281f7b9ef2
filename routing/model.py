"""The nouns: alert, incident, episode, delivery, and what is asked of a destination.

Everything here is a frozen value without I/O, clock or vendor. Times are aware UTC datetimes.

What is made for each message is a msgspec.Struct: a frozen dataclass of a dozen fields takes 1.6 us to build and 3.2 us
to replace (measured), and a message may hold hundreds of alerts. With Structs, decoding and recording 100 alerts took
2.4 ms in place of 3.6.
"""

import enum
import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

Labels = Mapping[str, str]

_canonical = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


class Priority(enum.IntEnum):
    """The manual's tiers. A smaller number is more urgent, so `min` picks the higher one."""

    P1 = 1
    P2 = 2
    P3 = 3


SEVERITIES: Mapping[Priority, str] = {Priority.P1: "critical", Priority.P2: "warning", Priority.P3: "info"}

_TIERS: Mapping[str, Priority] = {
    word: priority for priority, severity in SEVERITIES.items() for word in (priority.name.lower(), severity)
}
# One character more than the longest word: what is longer is none of them, and costs nothing to find out.
_LONGEST_TIER = max(map(len, _TIERS)) + 1


def tier(labels: Labels) -> Priority | None:
    """The tier that an alert's own labels claim, or None where neither label is known.

    `priority` and `severity` are compared without case and the higher counts (PRODUCT: what people see).
    """
    get = labels.get
    return _tier(get("priority", "")[:_LONGEST_TIER], get("severity", "")[:_LONGEST_TIER])


@functools.lru_cache(maxsize=256)  # of every alert, each time that its incident is looked at
def _tier(*words: str) -> Priority | None:
    claimed = [_TIERS[word.lower()] for word in words if word.lower() in _TIERS]
    return min(claimed, default=None)


def priority_of(labels: Labels) -> Priority:
    """The tier that counts: the one claimed, and P2 where none is known."""
    return tier(labels) or Priority.P2


def is_watchdog(labels: Labels) -> bool:
    """Whether this is the alert that always fires: it tells that its source is alive and is never an incident."""
    return labels.get("alertname") == "Watchdog"


class AlertStatus(enum.StrEnum):
    """What is known of one alert in one incident."""

    FIRING = "firing"
    RESOLVED = "resolved"
    MOVED = "moved"
    """It fires, but in another group now (an edited `group_by`, two routes with `continue`)."""


class MuteKind(enum.StrEnum):
    """How Alertmanager keeps an alert that fires from being told."""

    SILENCED = "silenced"
    INHIBITED = "inhibited"
    MUTED = "muted"
    """By a time interval of its route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """Why Alertmanager does not tell of an alert that fires. Only resync can see it.

    Attributes:
        by: for people: who made the silence, which alert inhibits, which time interval mutes.
        comment: the silence's; untrusted text.
        until: when the silence ends; None where that is not known.
    """

    kind: MuteKind
    by: str = ""
    comment: str = ""
    until: datetime | None = None


class Alert(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One alert of Alertmanager's in one incident, as last heard.

    Attributes:
        fingerprint: Alertmanager's hash of the labels, 16 hexadecimal digits.
        starts_at: when it began to fire; Alertmanager may move it backwards within one run.
        ends_at: when it resolved or moved; None while it fires.
        held_until: set while a firing is possibly stale (it began before the resolve that is on record):
            it does not count as firing before that instant.
        episode: number of the incident's episode in which it last fired; 0 before its first.
        moved_to: id of the incident that it moved to.
        recovers_at: the end of it that was heard, while nothing has proved since that its source is alive
            (DESIGN: resolved may mean blind). It goes on counting as firing.
        muted: why Alertmanager does not tell of it; None while it does. It counts as firing all the same.
    """

    fingerprint: str
    status: AlertStatus
    labels: Labels
    annotations: Labels
    starts_at: datetime
    ends_at: datetime | None
    generator_url: str = ""
    held_until: datetime | None = None
    episode: int = 0
    moved_to: str | None = None
    recovers_at: datetime | None = None
    muted: Mute | None = None

    @property
    def fires(self) -> bool:
        """Whether it counts as firing: heard as firing and not held."""
        return self.status is AlertStatus.FIRING and self.held_until is None


class Notification(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message of Alertmanager's about one group, validated.

    Its own `status` is left out on purpose: it is computed over the alerts in the message only, so state
    comes from each alert alone (DESIGN: record).

    Attributes:
        confirmable: whether an Alertmanager can be asked, so that the end of a P1 waits for proof.
    """

    group_labels: Labels
    alerts: tuple[Alert, ...]
    receiver: str = ""
    external_url: str = ""
    truncated_alerts: int = 0
    confirmable: bool = False


class Incident(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a person deals with: the alerts of one group, in its current or last episode.

    Attributes:
        id: 32 hexadecimal digits, `incident_id(group_labels)`.
        episode: number of the current or last episode, from 1; 0 if no alert of it ever counted as firing.
        open: whether the episode runs.
        priority: the highest tier heard in this episode.
        opened_at: when the episode's first firing was recorded here.
        changed_at: when its state last changed here.
        resolved_at: when the episode closed; None while it runs.
        version: grows by one with each change of state; what a look at it was based on.
        truncated_alerts: of the last message; above 0 the incident cannot close (PRODUCT: what people see).
        alerts: all that are known of it, by fingerprint; those of earlier episodes are resolved ones.
        reconciled: whether resync closed the episode, because no Alertmanager knows of it any more.
        openings: when each episode of about the last hour was opened, the oldest first.
    """

    id: str
    group_labels: Labels
    episode: int
    open: bool
    priority: Priority
    opened_at: datetime
    changed_at: datetime
    resolved_at: datetime | None
    version: int
    receiver: str
    external_url: str
    truncated_alerts: int
    alerts: Mapping[str, Alert]
    reconciled: bool = False
    openings: tuple[datetime, ...] = ()

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that count as firing, the most urgent and then the oldest first."""
        return in_order(alert for alert in self.alerts.values() if alert.fires)


def in_order(alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Alerts as people should read them: the most urgent, then the oldest first."""
    return tuple(
        sorted(alerts, key=lambda alert: (priority_of(alert.labels), alert.starts_at, alert.fingerprint))
    )


def incident_id(group_labels: Labels) -> str:
    """The incident's identity: a hash of the sorted group labels and of nothing else.

    Not Alertmanager's groupKey, which holds the route's path, so that a route edit would orphan every open
    incident; not the receiver, whose renaming would (DESIGN: the nouns).
    """
    canonical = _canonical(sorted(group_labels.items()))
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def dedup_key(incident: str) -> str:
    """The key under which a far end that deduplicates knows the incident; without the episode's number."""
    return f"phantommesh-alerts/{incident}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a destination shows, or should: which alerts of which episode fire. None firing means closed.

    What joined this class later has a default, so that what an older version stored can be read.

    Attributes:
        firing: without the silenced ones.
        silenced: those that fire and are silenced.
        inhibited: those of `firing` that are inhibited or muted.
        unconfirmed: those of `firing` whose end was heard and not confirmed in time.
        stands_in_for: destinations that have not taken this P1 in time, and in whose place it is told here.
    """

    episode: int
    firing: frozenset[str]
    priority: Priority
    silenced: frozenset[str] = frozenset()
    inhibited: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    stands_in_for: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One incident at one destination: what it was told, and what is under way.

    Attributes:
        since_episode: the first episode that this destination should have been told.
        shown: the last state with a receipt; None before the first.
        shown_at: when that receipt came.
        intent: a state that was being sent when the process died, or whose sending has no known outcome:
            it may or may not be shown.
        dead: a state that the far end refused for good.
        attempts: failed ones since the last receipt.
        last_error: of the last failed attempt, for people; without secrets.
        reference: what the far end must be told again to find what was shown (a keyed hash of the routing key
            that triggered, or may have: it is noted before the first try); "" where nothing is needed.
        dead_at: when a state was refused for good; None again with the next receipt, and not before.
        owed_since: since when it should show what it has no receipt for; None where nothing is owed.
    """

    incident_id: str
    destination: str
    since_episode: int
    shown: Shown | None = None
    shown_at: datetime | None = None
    intent: Shown | None = None
    dead: Shown | None = None
    attempts: int = 0
    last_error: str = ""
    reference: str = ""
    dead_at: datetime | None = None
    owed_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """All that a decision about one incident rests on.

    Attributes:
        deliveries: by destination.
    """

    incident: Incident
    deliveries: Mapping[str, Delivery]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a destination likes to be told. Known to the decision, so that no vendor has to be.

    Attributes:
        shows_partial_resolves: whether one of several alerts resolving is told there.
        reassert_seconds: an open P1 is told again after so long (invariant 3); None for never.
        since: when it was first configured; a P3 that was open before is not told (DESIGN's table).
    """

    shows_partial_resolves: bool
    reassert_seconds: float | None
    since: datetime


class Act(enum.StrEnum):
    """What a step does at its destination."""

    OPEN = "open"
    UPDATE = "update"
    CLOSE = "close"
    FORGET = "forget"
    """Nothing is said; only the record changes. So ends what was news and no trouble."""


class Reason(enum.StrEnum):
    """Why a step is due. The same word labels the log line, the metric and the page."""

    FIRED = "fired"
    TOLD_LATE = "fired_and_resolved_before_it_could_be_told"
    JOINED = "alert_joined"
    RAISED = "priority_raised"
    PARTLY_RESOLVED = "partly_resolved"
    FLAPPING = "flapping"
    RESOLVED = "resolved"
    NEWS_OVER = "news_over"
    MOVED = "moved"
    REROUTED = "rerouted"
    UNCERTAIN = "outcome_unknown"
    REASSERTED = "reasserted"
    FAILED_OVER = "failed_over"
    """Another destination has not taken a P1 in time; it is told here in its place."""
    TAKEN_BACK = "taken_after_failover"
    """The other destination has it now."""
    SILENCED = "silenced"
    PARTLY_SILENCED = "partly_silenced"
    UNSILENCED = "silence_ended"
    INHIBITED = "inhibited"
    UNINHIBITED = "inhibition_ended"
    UNCONFIRMED = "recovery_unconfirmed"
    STILL_FIRING = "recovery_disproved"
    RECONCILED = "reconciled"
    UNRECORDED = "store_down"
    """Told past the record, which cannot be written now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The one next thing to tell one destination about one incident.

    Attributes:
        shows: what the destination shows once it has taken the step.
        fired_times: how many episodes this step tells of (above 1 after an outage of the destination).
        joined: fingerprints that fire and were not shown before; all of them for OPEN.
        resolved: fingerprints that the destination shows as firing and that no longer do.
        failed: destinations that this step says have not taken the incident in time.
        taken: destinations that this step says have it now, after the failover was told here.
    """

    act: Act
    reason: Reason
    shows: Shown
    fired_times: int = 1
    joined: frozenset[str] = frozenset()
    resolved: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing is due at a destination now; look again at that instant."""

    until: datetime
