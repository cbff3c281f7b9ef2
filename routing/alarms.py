"""This service's own alerts: ordinary incidents; one about a destination is told everywhere else. Pure."""

import hashlib
from datetime import datetime

from msgspec import structs

from routing import desire, model

BROKEN = "DestinationBroken"
REFUSED = "DeliveryRefused"

CREDENTIALS = "credentials_fingerprint"
"""Annotation of BROKEN: with which credentials the destination was broken."""

_SUMMARIES = {
    BROKEN: "{destination} takes nothing from us until someone mends it",
    REFUSED: "{destination} refused a message for good",
}


def labels(
    alertname: str, destination: str, priority: model.Priority, about_incident: str = ""
) -> dict[str, str]:
    """The labels of an alarm, `group_labels` among them."""
    about = {"incident": about_incident} if about_incident else {}
    return {
        **group_labels(alertname, destination),
        **about,
        **_of_tier(priority),
    }


def _of_tier(priority: model.Priority) -> dict[str, str]:
    return {"priority": priority.name, "severity": model.SEVERITIES[priority], "team": "platform"}


def group_labels(alertname: str, destination: str) -> dict[str, str]:
    """What identifies the alarm's incident."""
    return {
        "alertname": alertname,
        "service": "phantommesh-alerts",
        desire.ABOUT_DESTINATION: destination,
    }


def firing(alarm: model.Labels, error: str, now: datetime, *, credentials: str = "") -> model.Notification:
    """What is recorded when the alarm begins."""
    alertname, destination = alarm["alertname"], alarm[desire.ABOUT_DESTINATION]
    return _firing(
        group_labels(alertname, destination),
        alarm,
        annotations={
            "summary": _SUMMARIES[alertname].format(destination=destination),
            "description": error,
            **({CREDENTIALS: credentials} if credentials else {}),
        },
        now=now,
    )


def raised(
    group: model.Labels, *, priority: model.Priority, summary: str, description: str, now: datetime
) -> model.Notification:
    """What is recorded when an alarm begins that is about no destination."""
    annotations = {"summary": summary, "description": description}
    return _firing(group, {**group, **_of_tier(priority)}, annotations=annotations, now=now)


def _firing(
    group: model.Labels, alarm: model.Labels, *, annotations: model.Labels, now: datetime
) -> model.Notification:
    canonical = "\0".join(f"{name}\0{value}" for name, value in sorted(alarm.items()))
    alert = model.Alert(
        fingerprint=hashlib.sha256(canonical.encode()).hexdigest()[:16],
        status=model.AlertStatus.FIRING,
        labels=alarm,
        annotations=annotations,
        starts_at=now,
        ends_at=None,
    )
    return _own(group, (alert,))


def resolved(incident: model.Incident, now: datetime, about_incident: str = "") -> model.Notification | None:
    """What is recorded when the cause is gone: of all that fires in it, or of what is about one incident.

    None when nothing of it fires.
    """
    over = tuple(
        structs.replace(alert, status=model.AlertStatus.RESOLVED, ends_at=now)
        for alert in incident.firing
        if not about_incident or alert.labels.get("incident") == about_incident
    )
    return _own(incident.group_labels, over) if over else None


def is_outdated(incident: model.Incident, credentials: str) -> bool:
    """Whether an alarm about a broken destination is about other credentials than it has now."""
    known = {alert.annotations.get(CREDENTIALS, credentials) for alert in incident.firing}
    return bool(known) and credentials not in known


def _own(group: model.Labels, alerts: tuple[model.Alert, ...]) -> model.Notification:
    return model.Notification(group_labels=group, alerts=alerts, receiver=desire.OWN_RECEIVER)
