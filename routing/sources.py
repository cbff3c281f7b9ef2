"""Which Prometheus is heard by its Watchdog, and which one is missing (the dead-man's switch). Pure.

A source is known by its key: its `cluster` label, and `cluster/prometheus` where its Watchdog has that label too.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from routing import alarms, model, wording

MISSING = "WatchdogMissing"
"""The alert that a missing source is. A P1: while it lasts, nothing that breaks there is told."""

ANY = "any"
"""Stands for the source that nobody has heard yet, where any source will do."""

NAME = "phantommesh_alerts_source"
"""Label of that alert: which source is missing."""

FORGOTTEN_AFTER = timedelta(days=7)
"""Where any source will do, one that was not heard for so long is no longer expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A source that should be heard. Without `prometheus` any one of its cluster will do."""

    cluster: str
    prometheus: str = ""

    @property
    def name(self) -> str:
        """As its key is written."""
        return f"{self.cluster}/{self.prometheus}" if self.prometheus else self.cluster

    def covers(self, key: str) -> bool:
        """Whether a source with this key is it."""
        return key == self.name or (not self.prometheus and key.startswith(f"{self.cluster}/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What should be heard, and for how long it may be silent.

    Attributes:
        expected: None for any: at least one, and each that was heard.
    """

    expected: tuple[Expected, ...] | None = None
    missing_after: timedelta = timedelta(minutes=3)


class State(enum.StrEnum):
    """What is known of a source."""

    ALIVE = "alive"
    AWAITED = "not yet heard"
    """Silent, but this service has not listened for long enough to say more."""
    MISSING = "missing"
    UNEXPECTED = "silent"
    """Silent, and the configuration does not expect it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One source as it is judged. `heard_at` is None where it never was."""

    name: str
    state: State
    heard_at: datetime | None


def judge(
    policy: Policy, heard: Mapping[str, datetime], *, since: datetime, now: datetime
) -> tuple[Source, ...]:
    """Every source that is expected or was heard, by name.

    Args:
        policy: what is expected.
        heard: when the Watchdog of each source was last heard, by its key.
        since: from when on this service could hear; silence before that says nothing.
        now: the time.
    """

    def judged(name: str, heard_at: datetime | None, *, expected: bool = True) -> Source:
        if heard_at is not None and now - heard_at < policy.missing_after:
            state = State.ALIVE
        elif not expected:
            state = State.UNEXPECTED
        else:
            state = State.MISSING if now - since >= policy.missing_after else State.AWAITED
        return Source(name=name, state=state, heard_at=heard_at)

    if policy.expected is None:
        recent = {key for key, at in heard.items() if now - at < FORGOTTEN_AFTER}
        found = [judged(key, at, expected=key in recent) for key, at in heard.items()]
        found += [] if recent else [judged(ANY, None)]
    else:
        found = []
        for each in policy.expected:
            times = [at for key, at in heard.items() if each.covers(key)]
            found.append(judged(each.name, max(times, default=None)))
        others = [key for key in heard if not any(each.covers(key) for each in policy.expected)]
        found += [judged(key, heard[key], expected=False) for key in others]
    return tuple(sorted(found, key=lambda source: source.name))


def group_labels(name: str) -> dict[str, str]:
    """What identifies the incident of a missing source."""
    return {"alertname": MISSING, "service": "phantommesh-alerts", NAME: name}


def firing(source: Source, now: datetime) -> model.Notification:
    """What is recorded when a source is found missing."""
    whose = "" if source.name == ANY else f" of {source.name or '(no cluster label)'}"
    silent = f"for {wording.duration(now - source.heard_at)}" if source.heard_at else "yet"
    return alarms.raised(
        group_labels(source.name),
        priority=model.Priority.P1,
        summary=f"No Watchdog{whose} has arrived {silent}",
        description=(
            f"This service has heard no Watchdog{whose} {silent}. Prometheus, Alertmanager or the way from them to "
            "here is broken. Until it is mended, nothing that breaks there is told to anyone."
        ),
        now=now,
    )
