"""What each destination should be showing of an incident. Pure."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from routing import model

Router = Callable[[model.Labels], Collection[str]]
"""Names of the destinations that an alert with these labels goes to."""

ABOUT_DESTINATION = "phantommesh_alerts_destination"
"""Label of this service's own alerts about a destination, which are never told at that destination."""

NEWS = "news"
"""Label of an alert that is news and no trouble (BackupCompleted): told once, and its end is told to nobody."""

OWN_RECEIVER = "phantommesh-alerts (itself)"
"""What stands for the receiver in incidents that this service raised itself. A label alone proves nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What one destination should show of an incident in its current or last episode.

    Attributes:
        firing: the alerts that it should show as firing; none means closed.
        fired: all alerts of this episode that are its concern, firing or not.
        priority: the highest tier among those that fire, or among all of them once none does.
        ended: why nothing fires; None while something does.
        news: whether all of it is news, whose end nobody needs to hear of.
        stands_in_for: destinations in whose place it is told here (`routing.failover`).
    """

    episode: int
    firing: frozenset[str]
    fired: frozenset[str]
    priority: model.Priority
    ended: model.Reason | None
    news: bool
    stands_in_for: frozenset[str] = frozenset()

    @property
    def shows(self) -> model.Shown:
        """The same as the state that a receipt would put on record."""
        return model.Shown(
            episode=self.episode,
            firing=self.firing,
            priority=self.priority,
            stands_in_for=self.stands_in_for,
        )


def desire(incident: model.Incident, route: Router) -> Mapping[str, Desired]:
    """By destination, what it should show; destinations that are not concerned are left out."""
    # Alertmanager left alerts out of its message and the rest resolved: what was cut off may still fire.
    all_count = incident.open and not incident.firing
    concerned: dict[str, list[model.Alert]] = {}
    for alert in incident.alerts.values():
        if alert.episode == incident.episode and alert.episode > 0:
            for name in route(alert.labels):
                if not _is_about(incident, alert, name):
                    concerned.setdefault(name, []).append(alert)
    return {name: _desired(incident.episode, alerts, all_count) for name, alerts in concerned.items()}


def is_about(incident: model.Incident, destination: str) -> bool:
    """Whether this is an alarm of this service's own about a destination, which is never told there."""
    return any(_is_about(incident, alert, destination) for alert in incident.alerts.values())


def _is_about(incident: model.Incident, alert: model.Alert, destination: str) -> bool:
    return incident.receiver == OWN_RECEIVER and alert.labels.get(ABOUT_DESTINATION) == destination


def _desired(episode: int, alerts: Collection[model.Alert], all_count: bool) -> Desired:
    firing = [alert for alert in alerts if alert.fires or all_count]
    moved = any(alert.status is model.AlertStatus.MOVED for alert in alerts)
    ended = model.Reason.MOVED if moved else model.Reason.RESOLVED
    return Desired(
        episode=episode,
        firing=frozenset(alert.fingerprint for alert in firing),
        fired=frozenset(alert.fingerprint for alert in alerts),
        priority=min(model.priority_of(alert.labels) for alert in firing or alerts),
        ended=None if firing else ended,
        news=all(alert.labels.get(NEWS) == "true" for alert in alerts),
    )
