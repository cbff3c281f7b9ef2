"""The log as a destination: the one named so in routing.yml, and what a dry destination prints instead of sending."""

import json
import logging

from routing import message, wording
from routing.destinations import contract

_LOGGER = logging.getLogger("phantommesh.log")
_ALERTS = 10
_TEXT_CHARACTERS = 300
_LABELS_CHARACTERS = 500
_COMMAND_CHARACTERS = 2_000


class Log:
    """Writes one line of JSON for each step. It cannot fail.

    Args:
        name: of the destination in routing.yml.
        stands_for: the kind of destination that is printed because it is dry ("pagerduty"); None for a real log.
    """

    credentials = ""
    traits = contract.Traits(shows_partial_resolves=True, reassert_seconds=None)

    def __init__(self, *, name: str, stands_for: str | None) -> None:
        self._name = name
        self._stands_for = stands_for

    async def send(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        """Write the line."""
        _LOGGER.info("%s", json.dumps(self._record(told, plain=plain)))
        return contract.Receipt()

    async def rehearse(self, told: message.Message, *, plain: bool) -> None:
        """Nothing leaves this process."""

    async def close(self) -> None:
        """Nothing is held."""

    def _record(self, told: message.Message, *, plain: bool) -> dict[str, object]:
        record: dict[str, object] = {
            "destination": self._name,
            "title": told.title,
            "act": told.step.act,
            "reason": told.step.reason,
            "incident": told.incident.id,
        }
        if self._stands_for is not None:
            record["instead_of"] = self._stands_for
        return record if plain else record | _details(told)


def _details(told: message.Message) -> dict[str, object]:
    shown = told.shown_alerts[:_ALERTS]
    links = {name: getattr(told.links, name) for name in told.links.__slots__}
    details: dict[str, object] = {
        "notes": list(told.notes),
        "told_here_because": list(told.summons.why) if told.summons else [],
        "alerts": [
            {
                "state": alert.status,
                "when": wording.period(alert, beside=told.incident.changed_at),
                "summary": wording.short(alert.annotations.get("summary", ""), _TEXT_CHARACTERS),
                "description": wording.short(alert.annotations.get("description", ""), _TEXT_CHARACTERS),
                "labels": wording.label_list(alert.labels, limit=_LABELS_CHARACTERS),
            }
            for alert in shown
        ],
        "alerts_not_shown": len(told.shown_alerts) - len(shown),
        "first_command": wording.cut(told.advice.first_command, _COMMAND_CHARACTERS) if told.advice else "",
        "links": {name: link for name, link in links.items() if link},
    }
    return {name: value for name, value in details.items() if value}
