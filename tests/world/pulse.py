"""What an Alertmanager hears of a Prometheus: its Watchdog and what fires, sent again and again until it is cut off.

Everything goes as Prometheus sends it, with an end some resend-delays ahead, only faster.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from tests.world import alertmanager

RESEND_SECONDS = 1.0
FORGOTTEN_SECONDS = 4 * RESEND_SECONDS
"""What is not sent again resolves after so long, as Alertmanager sees it."""

WATCHDOG: Mapping[str, str] = {"alertname": "Watchdog", "cluster": "eu-1"}


class Pulse:
    """Sends to all of these Alertmanagers what fires. To be changed while it runs."""

    def __init__(self, reaches: Collection[alertmanager.Alertmanager]) -> None:
        self.reaches = list(reaches)
        self.is_alive = True
        self.only_watchdog = False
        self._since: dict[str, tuple[Mapping[str, str], datetime]] = {}

    async def fire(self, **labels: str) -> None:
        """An alert begins."""
        self._since[labels["alertname"]] = (labels, datetime.now(UTC))
        await self.beat()

    async def resolve(self, name: str) -> None:
        """An alert ends, and that is said."""
        labels, since = self._since.pop(name)
        await self._send([_alert(labels, since, ends=datetime.now(UTC))])

    def forget(self, name: str) -> None:
        """An alert ends, and nobody is there to say it."""
        del self._since[name]

    async def beat(self) -> None:
        """Send all that fires, once."""
        ends = datetime.now(UTC) + timedelta(seconds=FORGOTTEN_SECONDS)
        firing = [(WATCHDOG, _LONG_AGO), *(() if self.only_watchdog else self._since.values())]
        await self._send([_alert(labels, since, ends=ends) for labels, since in firing])

    async def _send(self, alerts: Collection[Mapping[str, object]]) -> None:
        for one in self.reaches:
            await one.post_alerts(list(alerts))


_LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


def _alert(labels: Mapping[str, str], since: datetime, *, ends: datetime) -> Mapping[str, object]:
    return {
        "labels": labels,
        "annotations": {"summary": f"{labels['alertname']} in a test"},
        "startsAt": since.isoformat(),
        "endsAt": ends.isoformat(),
        "generatorURL": "http://prometheus.example/graph",
    }


@asynccontextmanager
async def run(*reaches: alertmanager.Alertmanager) -> AsyncIterator[Pulse]:
    """A pulse that beats until the end of the context, while it `is_alive`."""
    pulse = Pulse(reaches)

    async def beat_on() -> None:
        while True:
            if pulse.is_alive:
                await pulse.beat()
            await asyncio.sleep(RESEND_SECONDS)

    beating = asyncio.create_task(beat_on())
    try:
        yield pulse
    finally:
        beating.cancel()
        await asyncio.wait([beating])
