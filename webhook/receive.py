"""One message of Alertmanager's, from its bytes to its durable record."""

import asyncio
import functools
import hashlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import structs

from routing import model, peers
from webhook import faults, novelty, payload
from webhook.store import contract

_INLINE_BYTES = 64 * 1024  # a refused body of this size is explained in about 15 ms

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request to the webhook was answered: with which status, and after how long."""

    status: int
    seconds: float


class Proof(Protocol):
    """Who can prove that an end is no blindness, by asking Alertmanager (`webhook.resync.Resync`)."""

    @property
    def asks(self) -> bool:
        """Whether there is anyone to ask."""
        ...

    def hint(self) -> None:
        """An end waits for proof."""
        ...

    def hear(self, receiver: str) -> None:
        """Alertmanager's receiver of this name tells this service."""
        ...


class PastStore(Protocol):
    """What is done for a message that cannot be recorded. What awaits nothing does not block either."""

    async def precede(self, notification: model.Notification) -> None:
        """Record first what was paged past the store of the incident that this message is about.

        Raises:
            ledger.Unavailable: it cannot be recorded now.
        """
        ...

    def refused(self, notification: model.Notification) -> None:
        """Hear of a message that is answered with 503."""
        ...

    def recorded(self, notification: model.Notification) -> None:
        """Hear of a message that is on record."""
        ...


class Noted(Protocol):
    """Hears of each message whether it could be recorded."""

    def __call__(self, *, recorded: bool) -> None: ...


class Intake:
    """Records messages and wakes whoever tells of them."""

    def __init__(
        self,
        *,
        store: contract.Store,
        wake: Callable[[Collection[str]], object],
        past_store: PastStore,
        noted: Noted,
        clock: Callable[[], datetime],
        proof: Proof | None = None,
    ) -> None:
        self._store = store
        self._wake = wake
        self._past_store = past_store
        self._noted = noted
        self._clock = clock
        self._proof = proof
        self._refused = novelty.Novelty()

    async def receive(self, body: bytes) -> Sequence[str]:
        """Record a message; returns the ids of the incidents that it changed, after the durable commit.

        Raises:
            faults.Malformed: it is no message of version 4.
            ledger.Unavailable: it cannot be recorded now. It may be all the same, later.
        """
        now = self._clock()
        try:
            notification = (
                payload.decode(body, now=now)
                if len(body) <= _INLINE_BYTES
                else await asyncio.to_thread(payload.decode, body, now=now)
            )
        except faults.Malformed as fault:
            self._tell_once(body, fault)
            raise
        about_services, sources = split(notification)
        if self._proof is not None:
            self._proof.hear(notification.receiver)
            if about_services is not None and self._proof.asks:
                about_services = structs.replace(about_services, confirmable=True)
        recorded = functools.partial(self._recorded, about_services)
        try:
            if about_services is not None:
                await self._past_store.precede(about_services)
            changed = await self._store.accept(
                about_services, sources=sources, body=body, now=now, late=recorded
            )
        except Exception:
            self._noted(recorded=False)
            if about_services is not None:
                self._past_store.refused(about_services)
            raise
        recorded(changed)
        if about_services is not None and self._proof is not None and _may_wait_for_proof(about_services):
            self._proof.hint()
        return changed

    def _recorded(self, notification: model.Notification | None, changed: Sequence[str]) -> None:
        if changed:
            self._wake(changed)
        self._noted(recorded=True)
        if notification is not None:
            self._past_store.recorded(notification)

    def _tell_once(self, body: bytes, fault: faults.Malformed) -> None:
        digest = hashlib.sha256(body).hexdigest()
        level = logging.WARNING if self._refused.is_new(digest) else logging.DEBUG
        _log.log(
            level,
            "refused a body that is no message of Alertmanager's",
            extra={"error": fault.error, "pointer": fault.pointer, "bytes": len(body), "sha256": digest},
        )


def split(notification: model.Notification) -> tuple[model.Notification | None, frozenset[str]]:
    """What a message says about services (None: nothing), and the sources whose Watchdog fires in it."""
    watchdogs = [alert for alert in notification.alerts if _is_watchdog(alert)]
    sources = frozenset(peers.source(alert.labels) for alert in watchdogs if alert.fires)
    if not watchdogs:
        return notification, sources
    others = tuple(alert for alert in notification.alerts if not _is_watchdog(alert))
    return (structs.replace(notification, alerts=others) if others else None), sources


def _may_wait_for_proof(notification: model.Notification) -> bool:
    return notification.confirmable and any(
        alert.status is model.AlertStatus.RESOLVED and model.priority_of(alert.labels) is model.Priority.P1
        for alert in notification.alerts
    )


def _is_watchdog(alert: model.Alert) -> bool:
    return model.is_watchdog(alert.labels)
