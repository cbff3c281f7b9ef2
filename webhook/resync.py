"""Keeps asking every Alertmanager what is true, and puts it on record (DESIGN: what is true).

Each look reads the record first and then the peers: what is heard in between cannot seem to be gone. Only what
changed is written. Lists are decoded and compared in threads.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from routing import ledger, peers, truth
from webhook import alertmanager_api, listings
from webhook.store import contract

_INCIDENTS_A_PAGE = 500
_INCIDENTS_AT_ONCE = 200
_KNOWN_FOR = timedelta(days=1)
"""A source or receiver that was not heard of for so long is not expected any more."""

_PROOF_SOON = timedelta(minutes=3)
_REST = 4.0
"""A look that took long is followed by a rest of so many times as long."""

_UNASKED = 10.0
"""Where nobody can be asked, what waits for proof (from before a reload) is looked for that much less often."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """How often peers are asked, in seconds: as a rule, and while an end waits for proof."""

    every_seconds: float = 30.0
    waiting_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One Alertmanager, for people.

    Attributes:
        answered_at: when it answered last, by our clock; None when it never did.
        error: why it could not be asked the last time; "" when it could.
        doubts: by source, why it is not believed about it; "" where it is.
    """

    address: str
    answered_at: datetime | None = None
    error: str = "not asked yet"
    doubts: Mapping[str, str] = field(default_factory=dict)

    @property
    def believed(self) -> bool:
        """Whether it is believed about any source."""
        return not self.error and "" in self.doubts.values()


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One look at every peer has ended.

    Attributes:
        at: by our clock.
        seen: every configured peer.
        found: how many alerts each kind of finding was about.
    """

    at: datetime
    seconds: float
    seen: Sequence[Seen]
    found: Mapping[str, int]


class Resync:
    """Asks the Alertmanagers of the configuration in force.

    Args:
        store: the record.
        wake: is given the ids of the incidents that changed.
        observe: hears of each look.
        clock: the present, in UTC.
        bounds: which peers can be believed.
        cadence: how often they are asked.
    """

    def __init__(
        self,
        *,
        store: contract.Store,
        wake: Callable[[Collection[str]], object],
        observe: Callable[[Looked], object],
        clock: Callable[[], datetime],
        bounds: peers.Bounds | None = None,
        cadence: Cadence | None = None,
    ) -> None:
        self._store = store
        self._wake = wake
        self._observe = observe
        self._clock = clock
        self._bounds = bounds or peers.Bounds()
        self._cadence = cadence or Cadence()
        self._peers: dict[str, peers.Peer] = {}
        self._seen: dict[str, Seen] = {}
        self._timing: dict[str, truth.Timing] = {}
        self._absent: Mapping[str, datetime] = {}
        self._receivers: dict[str, datetime] = {}
        self._asked_for = asyncio.Event()
        self._in_trouble = False

    @property
    def seen(self) -> Sequence[Seen]:
        """Every configured Alertmanager, as it was at the last look."""
        return list(self._seen.values())

    @property
    def asks(self) -> bool:
        """Whether there is an Alertmanager to ask, so that an end can wait for proof."""
        return bool(self._peers)

    def ask(self, addresses: Sequence[str]) -> None:
        """From now on ask these Alertmanagers. Without any, what was heard counts as it stands."""
        self._peers = {one: self._peers.get(one, peers.Peer(name=one)) for one in addresses}
        self._seen = {one: self._seen.get(one, Seen(address=one)) for one in addresses}
        self._asked_for.set()

    def start_anew(self) -> None:
        """Forget what peers said before: the clock that it was compared with has jumped."""
        self._absent = {}
        self._peers = {one: peers.Peer(name=one) for one in self._peers}

    def hint(self) -> None:
        """Say that an end waits for proof, which is worth an early look."""
        self._asked_for.set()

    def hear(self, receiver: str) -> None:
        """Say that Alertmanager's receiver of this name tells this service, if only of a Watchdog."""
        self._receivers[receiver] = self._clock()

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        api = alertmanager_api.Api()
        clock = asyncio.get_running_loop().time
        try:
            while True:
                self._asked_for.clear()
                began = clock()
                soon = await self._look_safely(api)
                took = clock() - began
                await self._rest(took, soon=soon)
        finally:
            await api.close()

    async def look(self, api: alertmanager_api.Api) -> bool:
        """Ask every peer once and record what is true; returns whether an end still waits for proof.

        Raises:
            routing.ledger.Unavailable: the record cannot be read or written now.
        """
        began, now = asyncio.get_running_loop().time(), self._clock()
        standing = await self._standing()
        if not self._peers:
            await self._record(truth.unasked(standing), (), ())
            return False
        partial = await self._store.partial()
        heard = await self._store.sources()
        self._receivers = {name: at for name, at in self._receivers.items() if now - at < _KNOWN_FOR}
        receivers = {*self._receivers, *await self._store.receivers(now - _KNOWN_FOR)}
        on_record = await asyncio.to_thread(_by_fingerprint, standing)
        asked = list(self._peers.values())
        async with asyncio.TaskGroup() as tasks:
            listed = [
                tasks.create_task(
                    self._ask(api, peer, on_record, receivers, partial), name=f"ask {peer.name}"
                )
                for peer in asked
            ]
        found = [task.result() for task in listed]
        sources = {source for source, at in heard.items() if now - at < _KNOWN_FOR}
        sources |= {source for one in found for source in one.peer.beats}
        self._note(found, sources)
        verdict = await asyncio.to_thread(
            truth.judge,
            standing,
            found,
            sources=sources,
            partial=partial,
            absent=self._absent,
            timing=self._slowest(),
            bounds=self._bounds,
            now=now,
        )
        self._absent = verdict.absent
        await self._record(verdict.findings, verdict.unheard, verdict.told_whole)
        self._observe(
            Looked(
                at=self._clock(),
                seconds=asyncio.get_running_loop().time() - began,
                seen=self.seen,
                found=_counted(verdict),
            )
        )
        settled = {
            fingerprint
            for each in verdict.findings.values()
            for fingerprint, one in each.items()
            if one.end is not None
        }
        return any(
            one.end is not None and now - one.end < _PROOF_SOON and one.fingerprint not in settled
            for one in standing
        )

    async def _look_safely(self, api: alertmanager_api.Api) -> bool:
        try:
            soon = await self.look(api)
        except ledger.Unavailable as trouble:
            if not self._in_trouble:
                _log.warning("resync has to wait for the store", extra={"error": str(trouble)})
            self._in_trouble = True
            return False
        except Exception:  # noqa: BLE001  a defect of ours must cost a look, not everyone the service
            _log.exception("a look at the Alertmanagers failed")
            return False
        self._in_trouble = False
        return soon

    async def _rest(self, took_seconds: float, *, soon: bool) -> None:
        """Wait for the next look: at least a little, and after that until a hint or its time."""
        least = max(self._cadence.waiting_seconds, _REST * took_seconds)
        most = self._cadence.every_seconds if self._peers else _UNASKED * self._cadence.every_seconds
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(0.0 if soon else max(0.0, most - least)):
                await self._asked_for.wait()
        except TimeoutError:
            return

    async def _standing(self) -> Sequence[truth.Standing]:
        standing: list[truth.Standing] = []
        after = ""
        while page := await self._store.standing(after, _INCIDENTS_A_PAGE):
            standing += page
            after = page[-1].incident_id
        return standing

    async def _ask(
        self,
        api: alertmanager_api.Api,
        peer: peers.Peer,
        on_record: Mapping[str, Collection[str]],
        receivers: Collection[str],
        partial: Collection[str],
    ) -> truth.Listing:
        """What one peer lists; an empty list with the error where it cannot be asked."""
        try:
            status = await api.status(peer.name, now=self._clock())
            silences = await api.silences(peer.name)
            reading = listings.Reading(
                on_record=on_record, receivers=receivers, partial=partial, silences=silences
            )
            await api.groups(peer.name, reading.take)
        except alertmanager_api.Unanswered as error:
            return truth.Listing(peer=replace(peer, error=str(error)))
        self._timing[peer.name] = truth.Timing(
            group_wait=status.group_wait, group_interval=status.group_interval
        )
        return reading.listing(
            peers.answered(
                peer,
                at=status.at,
                started_at=status.started_at,
                watchdogs=reading.watchdogs,
                bounds=self._bounds,
            )
        )

    def _note(self, found: Sequence[truth.Listing], sources: Collection[str]) -> None:
        """Remember the peers as they are now, and tell of what changed about them."""
        for peer in (one.peer for one in found):
            if peer.name not in self._peers:
                continue  # taken out of the configuration meanwhile
            before = self._seen[peer.name]
            now = Seen(
                address=peer.name,
                answered_at=before.answered_at if peer.error else self._clock(),
                error=peer.error,
                doubts={source: peers.doubt(peer, source, self._bounds) for source in sorted(sources)},
            )
            self._peers[peer.name], self._seen[peer.name] = peer, now
            if (now.error, now.believed) != (before.error, before.believed):
                level = logging.INFO if now.believed else logging.WARNING
                doubts = "; ".join(
                    f"{source or 'its source'}: {why}" for source, why in now.doubts.items() if why
                )
                _log.log(
                    level,
                    "an Alertmanager is believed" if now.believed else "an Alertmanager is not believed",
                    extra={"alertmanager": peer.name, "why": now.error or doubts or "lists no Watchdog"},
                )

    def _slowest(self) -> truth.Timing:
        known = [self._timing[name] for name in self._peers if name in self._timing]
        if not known:
            return truth.Timing()
        return truth.Timing(
            group_wait=max(one.group_wait for one in known),
            group_interval=max(one.group_interval for one in known),
        )

    async def _record(
        self,
        findings: truth.Findings,
        unheard: Sequence[truth.Stranger],
        told_whole: Collection[str],
    ) -> None:
        """Put it on record, some incidents at a time, so that messages need not wait for long."""
        strangers: defaultdict[str, list[truth.Stranger]] = defaultdict(list)
        for stranger in unheard:
            strangers[stranger.listed.incident_id].append(stranger)
        about = iter(dict.fromkeys([*findings, *strangers, *told_whole]))
        while some := list(islice(about, _INCIDENTS_AT_ONCE)):
            changed = await self._store.reconcile(
                {one: findings[one] for one in some if one in findings},
                [each for one in some for each in strangers.get(one, ())],
                [one for one in some if one in told_whole],
                self._clock(),
            )
            if changed:
                _log.info("what Alertmanager lists changed the record", extra={"incidents": len(changed)})
            self._wake(changed)


def _by_fingerprint(standing: Sequence[truth.Standing]) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in standing:
        found[one.fingerprint] = (*found.get(one.fingerprint, ()), one.incident_id)
    return found


def _counted(verdict: truth.Verdict) -> Mapping[str, int]:
    counts = Counter(one.kind.value for each in verdict.findings.values() for one in each.values())
    return {**{kind.value: counts[kind.value] for kind in truth.Kind}, "unheard": len(verdict.unheard)}
