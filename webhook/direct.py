"""Pages a P1 past the store, while the store cannot take it (DESIGN: when the service itself is the fault).

The answer to Alertmanager stays 503, so it comes again, and that is what tries again here after a failure: there is
no queue that could grow old. The dedup key is the incident's, so nothing is paged twice by what is recorded later.
"""

import asyncio
import enum
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from msgspec import structs

from routing import desire, episodes, message, model
from routing.destinations import contract
from webhook import pagebook, unrecorded

ONCE_IN_SECONDS = 60.0
"""A key is paged no more often than this, and again only if something more fires."""

MOST_WAITING = 1_000
_SENDERS = 2
_SEND_SECONDS = 5.0
_REASSERT_SECONDS = 1800.0
"""As the reconciler does with a P1 that stays open (DESIGN: invariant 3)."""

_AFTER_FAILURE_SECONDS = 2.0

_log = logging.getLogger(__name__)

Compose = Callable[[model.Situation, model.Step], message.Message]


class Outcome(enum.StrEnum):
    """What became of one direct page."""

    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"
    """So many waited that this one has to wait for Alertmanager to come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """By which ways a page can go, by the configuration in force.

    Attributes:
        route: the names of the destinations that an alert goes to.
        pagers: those of them that page somebody.
        compose: renders.
    """

    route: desire.Router
    pagers: Mapping[str, contract.Destination]
    compose: Compose


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    fingerprints: frozenset[str]
    not_before: float
    again_at: float


class Direct:
    """Hears of every message that could not be recorded, and pages its P1.

    Args:
        book: remembers what was paged.
        ways: asked at each page.
        outcome: hears what became of each.
        clock: the present, in UTC.
    """

    def __init__(
        self,
        *,
        book: pagebook.Book,
        ways: Callable[[], Ways],
        outcome: Callable[[Outcome], object],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book = book
        self._ways = ways
        self._outcome = outcome
        self._clock = clock
        self._monotonic = monotonic
        self._waiting: dict[str, model.Notification] = {}
        self._sending: dict[str, bool] = {}
        """Each with whether it is still not on record."""
        self._told: dict[str, _Told] = {}
        self._woken = asyncio.Event()

    def refused(self, notification: model.Notification) -> None:
        """Hear of a message that was answered with 503. Never blocks."""
        firing = unrecorded.firing_p1(notification)
        if not firing:
            return
        incident_id = model.incident_id(notification.group_labels)
        fingerprints = frozenset(alert.fingerprint for alert in firing)
        if incident_id in self._sending or self._is_told(incident_id, fingerprints):
            return
        if incident_id not in self._waiting and len(self._waiting) >= MOST_WAITING:
            self._outcome(Outcome.DROPPED)
            return
        self._waiting[incident_id] = structs.replace(notification, alerts=firing)
        self._woken.set()

    def _is_told(self, incident_id: str, fingerprints: frozenset[str]) -> bool:
        told, now = self._told.get(incident_id), self._monotonic()
        if told is None or now >= told.again_at:
            return False
        return fingerprints <= told.fingerprints or now < told.not_before

    def recorded(self, notification: model.Notification) -> None:
        """Hear of a message that is on record: what is in it needs nobody's memory here any more."""
        if not (self._book or self._told or self._sending):
            return
        incident_id = model.incident_id(notification.group_labels)
        self.caught_up(incident_id)
        page = self._book.page(incident_id)
        if page is not None and page.fingerprints <= {alert.fingerprint for alert in notification.alerts}:
            self._book.forget(incident_id)

    def caught_up(self, incident_id: str) -> None:
        """Hear that an incident is on record: what it does next is paged anew."""
        self._told.pop(incident_id, None)
        if incident_id in self._sending:
            self._sending[incident_id] = False

    def busy_with(self, incident_id: str) -> bool:
        """Whether a page about it is under way."""
        return incident_id in self._sending

    async def run(self) -> None:
        """Page whatever is refused, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(_SENDERS):
                tasks.create_task(self._send_forever(), name=f"direct page {number}")

    async def _send_forever(self) -> None:
        while True:
            while not self._waiting:
                self._woken.clear()
                await self._woken.wait()
            incident_id = next(iter(self._waiting))
            notification = self._waiting.pop(incident_id)
            self._sending[incident_id] = True
            try:
                await self._page(incident_id, notification)
            except Exception:  # noqa: BLE001 - the edge of a task
                # A defect of ours must not end the task that pages.
                _log.exception("a direct page failed", extra={"incident": incident_id})
            finally:
                del self._sending[incident_id]

    async def _page(self, incident_id: str, notification: model.Notification) -> None:
        known = self._book.page(incident_id)
        page = unrecorded.Page(
            notification=unrecorded.cut(notification, notification.alerts),
            shown_at=known.shown_at if known else (),
            references=known.references if known else {},
        )
        if not self._book.keep(page):
            _log.error("so much was paged past the store that this is not remembered: close it by hand")
        incident = episodes.absorb(None, notification, self._clock())
        ways, failures = self._ways(), []
        for name, want in desire.desire(incident, ways.route).items():
            if name in ways.pagers:
                failure = await self._tell(ways, name, incident, want)
                if failure is not None:
                    failures.append(failure)
        if self._sending[incident_id]:
            self._note_told(incident_id, incident, failures)

    async def _tell(
        self, ways: Ways, name: str, incident: model.Incident, want: desire.Desired
    ) -> contract.Failure | None:
        step = model.Step(
            act=model.Act.OPEN, reason=model.Reason.UNRECORDED, shows=want.shows, joined=want.firing
        )
        about = {"incident": incident.id, "destination": name}
        try:
            known = self._book.page(incident.id)
            reference = known.references.get(name, "") if known else ""
            situation = model.Situation(incident=incident, deliveries={})
            receipt = await _send(ways, name, situation, step, reference)
        except contract.Failure as failure:
            self._outcome(Outcome.FAILED)
            _log.error(
                "could not page past the store; again when Alertmanager comes again",
                extra={**about, "error": str(failure)},
            )
            return failure
        self._note_shown(incident.id, name, receipt)
        self._outcome(Outcome.SENT)
        _log.warning("paged past the store, which takes no record", extra=about)
        return None

    def _note_shown(self, incident_id: str, name: str, receipt: contract.Receipt) -> None:
        page = self._book.page(incident_id)
        if page is not None:
            shown_at = tuple(dict.fromkeys((*page.shown_at, name)))
            references = {**page.references, name: receipt.reference or ""}
            self._book.keep(replace(page, shown_at=shown_at, references=references))

    def _note_told(
        self, incident_id: str, incident: model.Incident, failures: Sequence[contract.Failure]
    ) -> None:
        """From when on, and for what, it is paged again."""
        if not failures:
            fingerprints, pause = frozenset(incident.alerts), ONCE_IN_SECONDS
        else:
            told = self._told.get(incident_id)
            fingerprints = told.fingerprints if told else frozenset()
            asked = [
                fault.retry_after_seconds or 0.0 for fault in failures if isinstance(fault, contract.Passing)
            ]
            pause = max([_AFTER_FAILURE_SECONDS, *asked])
        now = self._monotonic()
        self._told[incident_id] = _Told(
            fingerprints=fingerprints, not_before=now + pause, again_at=now + _REASSERT_SECONDS
        )


async def _send(
    ways: Ways, name: str, situation: model.Situation, step: model.Step, reference: str
) -> contract.Receipt:
    """Send it in the richest form that the far end takes and that we can render."""
    forms: tuple[tuple[Callable[[], message.Message], bool], ...] = (
        (lambda: ways.compose(situation, step), False),
        (lambda: ways.compose(situation, step), True),
        (lambda: message.bare(situation.incident, step), True),
    )
    last: contract.Failure = contract.Refused("could not be rendered")
    for render, plain in forms:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                told = replace(render(), reference=reference)
                return await ways.pagers[name].send(told, plain=plain)
        except TimeoutError:
            raise contract.Passing(f"no answer within {_SEND_SECONDS:.0f} s", outcome_known=False) from None
        except contract.Refused as refusal:
            last = refusal
        except contract.Failure:
            raise
        except Exception:  # noqa: BLE001 - whatever it was
            # A defect in rendering must cost the page its form, not the page.
            _log.exception("could not render a message", extra={"incident": situation.incident.id})
    raise last
