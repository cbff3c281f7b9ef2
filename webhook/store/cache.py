"""Incidents that the writing thread knows already, so that a message about one need not load it."""

from collections import OrderedDict
from collections.abc import Iterable

from routing import model

MOST_ALERTS = 10_000
"""Alerts of cached incidents, together; one takes about 2 kB."""


class Cache:
    """The incidents that were read or written last, as they are in the file, or will be after the commit under way.

    Whoever changes an incident in the file without telling it here, or rolls back, has to empty it.
    """

    def __init__(self, most_alerts: int = MOST_ALERTS) -> None:
        self._most_alerts = most_alerts
        self._incidents: OrderedDict[str, model.Incident] = OrderedDict()
        self._alerts = 0

    def get(self, incident_id: str) -> model.Incident | None:
        """The incident; None where it is not known here, which says nothing about the file."""
        incident = self._incidents.get(incident_id)
        if incident is not None:
            self._incidents.move_to_end(incident_id)
        return incident

    def keep(self, incidents: Iterable[model.Incident]) -> None:
        """Know these, and forget those that were of no use for longest."""
        for incident in incidents:
            known = self._incidents.pop(incident.id, None)
            self._alerts += len(incident.alerts) - (len(known.alerts) if known else 0)
            self._incidents[incident.id] = incident
        while self._alerts > self._most_alerts:
            _, oldest = self._incidents.popitem(last=False)
            self._alerts -= len(oldest.alerts)

    def empty(self) -> None:
        """Know nothing any more."""
        self._incidents.clear()
        self._alerts = 0
