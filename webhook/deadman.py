"""The dead-man's switch for our sources: one whose Watchdog stays away is a P1 of our own (DESIGN: traps)."""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from routing import alarms, desire, ledger, model, sources
from webhook.store import contract

_LOOK_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Deadman:
    """Judges every source, raises the alarm about one that is missing, and ends it when that is heard again.

    Args:
        store: knows when each source was heard.
        policy: what is expected; asked at each look.
        wake: is given the ids of incidents that changed.
        judged: hears of every judgement.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        *,
        store: contract.Store,
        policy: Callable[[], sources.Policy],
        wake: Callable[[Collection[str]], object],
        judged: Callable[[Sequence[sources.Source]], object],
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._policy = policy
        self._wake = wake
        self._judged = judged
        self._clock = clock
        self._in_trouble = False
        self._alarmed: set[str] | None = None
        self.since = clock()
        """From when on a source could be heard."""

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def listen_anew(self) -> None:
        """Say that nothing could be heard until now, so that silence until now says nothing."""
        self.since = self._clock()

    async def look(self) -> None:
        """Judge once. What cannot be recorded now is left to the next look."""
        try:
            judged = await self.judge()
            await self._tell(judged)
        except ledger.Unavailable as trouble:
            # While no message can be recorded, no Watchdog can either.
            self.listen_anew()
            level = logging.DEBUG if self._in_trouble else logging.WARNING
            _log.log(level, "sources cannot be watched now", extra={"error": str(trouble)})
            self._in_trouble = True
        else:
            self._in_trouble = False
            self._judged(judged)

    async def judge(self) -> Sequence[sources.Source]:
        """What is known of every source now.

        Raises:
            ledger.Unavailable: the store cannot say.
        """
        return sources.judge(self._policy(), await self._store.sources(), since=self.since, now=self._clock())

    async def _tell(self, judged: Sequence[sources.Source]) -> None:
        """Raise and end alarms, so that there is one for each source that is missing and no other."""
        by_id = {model.incident_id(sources.group_labels(source.name)): source for source in judged}
        missing = {id_ for id_, source in by_id.items() if source.state is sources.State.MISSING}
        awaited = {id_ for id_, source in by_id.items() if source.state is sources.State.AWAITED}
        if self._alarmed is None:
            self._alarmed = set(await self._store.open_from(desire.OWN_RECEIVER))
        alarmed = {
            id_: situation.incident
            for id_, situation in (await self._store.situations(self._alarmed | missing)).items()
            if situation.incident.open and situation.incident.group_labels["alertname"] == sources.MISSING
        }
        for id_ in missing - alarmed.keys():
            source = by_id[id_]
            _log.error("a source is missing: its Watchdog does not arrive", extra={"source": source.name})
            now = self._clock()
            self._wake(await self._store.record(sources.firing(source, now), now))
        for id_ in alarmed.keys() - missing - awaited:
            now = self._clock()
            over = alarms.resolved(alarmed[id_], now)
            _log.info(
                "a source is missing no longer", extra={"source": alarmed[id_].group_labels[sources.NAME]}
            )
            if over is not None:
                self._wake(await self._store.record(over, now))
        self._alarmed = missing | (alarmed.keys() & awaited)
