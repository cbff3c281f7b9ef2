"""Incidents that the writing thread knows already, so that a message about one need not load it."""

from collections import OrderedDict
from typing import NamedTuple

from routing import model

MOST_BYTES = 16 << 20
"""Of all cached incidents together, by the length of their alerts as JSON. In memory it is two or three times that."""

_MOST_INCIDENTS = 20_000  # one without alerts has no length


class Known(NamedTuple):
    """An incident, and how long its alerts are as JSON."""

    incident: model.Incident
    size_bytes: int


class Cache:
    """The incidents that were read or written last, as they are in the file, or will be after the commit under way.

    Whoever changes an incident in the file without telling it here, or rolls back, has to empty it.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._bytes = 0

    def get(self, incident_id: str) -> Known | None:
        """The incident; None where it is not known here, which says nothing about the file."""
        known = self._known.get(incident_id)
        if known is not None:
            self._known.move_to_end(incident_id)
        return known

    def keep(self, known: Known) -> None:
        """Know this one, and forget those that were of no use for longest."""
        before = self._known.pop(known.incident.id, None)
        self._bytes += known.size_bytes - (before.size_bytes if before else 0)
        self._known[known.incident.id] = known
        while self._bytes > self._most_bytes or len(self._known) > _MOST_INCIDENTS:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= oldest.size_bytes

    def empty(self) -> None:
        """Know nothing any more."""
        self._known.clear()
        self._bytes = 0
