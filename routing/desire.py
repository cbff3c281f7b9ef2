"""What each destination should be showing of an incident. Pure."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from routing import model

Router = Callable[[model.Labels], Collection[str]]
"""Names of the destinations that an alert with these labels goes to."""

ABOUT_DESTINATION = "phantommesh_alerts_destination"
"""Label of this service's own alerts about a destination, which are never told at that destination."""

NEWS = "news"
"""Label of an alert that is news and no trouble (BackupCompleted): told once, and its end is told to nobody."""

OWN_RECEIVER = "phantommesh-alerts (itself)"
"""What stands for the receiver in incidents that this service raised itself. A label alone proves nothing."""


PROOF_TAKES = timedelta(minutes=6)
"""An end that nothing proves for so long is shown as an unconfirmed recovery (DESIGN: resolved may mean blind)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What one destination should show of an incident in its current or last episode.

    Attributes:
        firing: the alerts that it should show as firing; none means closed. Silenced ones are not among them.
        fired: all alerts of this episode that are its concern, firing or not.
        over: those P1 of `fired` that have resolved.
        priority: the highest tier among those that fire, or among all of them once none does.
        ended: why nothing fires; None while something does.
        news: whether all of it is news, whose end nobody needs to hear of.
        stands_in_for: destinations in whose place it is told here (`routing.failover`).
        silenced: the alerts that fire and are silenced.
        inhibited: those of `firing` that are inhibited or muted: nobody needs to be told again of them.
        unconfirmed_at: of each alert of `firing` whose end was heard, when that is shown as unconfirmed.
        unconfirmed: those whose time that is; empty before `at`.
    """

    episode: int
    firing: frozenset[str]
    fired: frozenset[str]
    priority: model.Priority
    ended: model.Reason | None
    news: bool
    silenced: frozenset[str]
    inhibited: frozenset[str]
    unconfirmed_at: Mapping[str, datetime]
    over: frozenset[str] = frozenset()
    unconfirmed: frozenset[str] = frozenset()
    stands_in_for: frozenset[str] = frozenset()

    def at(self, now: datetime) -> "Desired":
        """The same, of this instant: an end that was not proved becomes an unconfirmed one with time."""
        return replace(
            self,
            unconfirmed=frozenset(alert for alert, due in self.unconfirmed_at.items() if due <= now),
        )

    @property
    def shows(self) -> model.Shown:
        """The same as the state that a receipt would put on record."""
        return model.Shown(
            episode=self.episode,
            firing=self.firing,
            priority=self.priority,
            stands_in_for=self.stands_in_for,
            silenced=self.silenced,
            inhibited=self.inhibited,
            unconfirmed=self.unconfirmed,
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
    return {name: _desired(incident, alerts, all_count) for name, alerts in concerned.items()}


def is_about(incident: model.Incident, destination: str) -> bool:
    """Whether this is an alarm of this service's own about a destination, which is never told there."""
    return any(_is_about(incident, alert, destination) for alert in incident.alerts.values())


def _is_about(incident: model.Incident, alert: model.Alert, destination: str) -> bool:
    return incident.receiver == OWN_RECEIVER and alert.labels.get(ABOUT_DESTINATION) == destination


def _desired(incident: model.Incident, alerts: Collection[model.Alert], all_count: bool) -> Desired:
    silenced = [alert for alert in alerts if alert.fires and _mute_kind(alert) is model.MuteKind.SILENCED]
    firing = [alert for alert in alerts if (alert.fires or all_count) and alert not in silenced]
    return Desired(
        episode=incident.episode,
        firing=_fingerprints(firing),
        fired=_fingerprints(alerts),
        over=_fingerprints(alert for alert in alerts if _is_p1_that_is_over(alert)),
        priority=min(model.priority_of(alert.labels) for alert in firing or alerts),
        ended=None if firing else _ended(incident, alerts, is_silenced=bool(silenced)),
        news=all(alert.labels.get(NEWS) == "true" for alert in alerts),
        silenced=_fingerprints(silenced),
        inhibited=_fingerprints(alert for alert in firing if _mute_kind(alert)),
        unconfirmed_at={
            alert.fingerprint: alert.recovers_at + PROOF_TAKES for alert in firing if alert.recovers_at
        },
    )


def _ended(incident: model.Incident, alerts: Collection[model.Alert], *, is_silenced: bool) -> model.Reason:
    if is_silenced:
        return model.Reason.SILENCED
    if any(alert.status is model.AlertStatus.MOVED for alert in alerts):
        return model.Reason.MOVED
    return model.Reason.RECONCILED if incident.reconciled else model.Reason.RESOLVED


def _is_p1_that_is_over(alert: model.Alert) -> bool:
    is_p1 = model.priority_of(alert.labels) is model.Priority.P1
    return is_p1 and alert.status is model.AlertStatus.RESOLVED


def _mute_kind(alert: model.Alert) -> model.MuteKind | None:
    return alert.muted.kind if alert.muted else None


def _fingerprints(alerts: Iterable[model.Alert]) -> frozenset[str]:
    return frozenset(alert.fingerprint for alert in alerts)
