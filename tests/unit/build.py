"""Short ways to write down alerts, messages and incidents in tests."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from routing import model

T0 = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after the tests' beginning of time."""
    return T0 + timedelta(seconds=seconds)


def alert(
    name: str = "a",
    *,
    starts: float = 0,
    ends: float | None = None,
    priority: str = "P1",
    **labels: str,
) -> model.Alert:
    """One alert as heard: firing, or resolved where it says when it ended."""
    all_labels = {"alertname": "ServiceDown", "pod": name, "priority": priority, **labels}
    canonical = repr(sorted(all_labels.items()))
    return model.Alert(
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest()[:16],
        status=model.AlertStatus.FIRING if ends is None else model.AlertStatus.RESOLVED,
        labels=all_labels,
        annotations={"summary": f"{name} is down"},
        starts_at=at(starts),
        ends_at=None if ends is None else at(ends),
    )


GROUP: Mapping[str, str] = {"alertname": "ServiceDown", "cluster": "eu-1"}


def message(*alerts: model.Alert, truncated: int = 0, group: Mapping[str, str] = GROUP) -> model.Notification:
    """A message about the tests' usual group."""
    return model.Notification(
        group_labels=group,
        alerts=alerts,
        receiver="phantommesh-alerts",
        external_url="http://alertmanager.example",
        truncated_alerts=truncated,
    )
