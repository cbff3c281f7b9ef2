"""What the reconciler asks of a destination, and the three classes of failure (DESIGN: invariant 7).

Failure
├── Passing   it may work later: 5xx, 429, timeouts, connection faults
├── Broken    it cannot work until someone mends it: credentials, channel, routing key
└── Refused   it will never take this event: 400, invalid blocks, too long
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from routing import budget, message, summary

_IDENTITY_KEY = secrets.token_bytes(32)


class Failure(Exception):
    """The far end did not take it. The text is for people and holds no secret.

    Attributes:
        outcome_known: whether it is certain that nothing was shown (refused, or never connected).
            After a timeout or a reset in the middle of an answer it is not.
    """

    def __init__(self, text: str, *, outcome_known: bool = True) -> None:
        super().__init__(text)
        self.outcome_known = outcome_known


class Passing(Failure):
    """A fault that passes; try again.

    Attributes:
        retry_after_seconds: the far end's own word (Retry-After), to be obeyed for all that shares the
            limit; None where it said nothing.
        too_many: whether the far end says that too much arrives, which is about all that shares the limit.
    """

    def __init__(
        self,
        text: str,
        *,
        outcome_known: bool = True,
        retry_after_seconds: float | None = None,
        too_many: bool = False,
    ) -> None:
        super().__init__(text, outcome_known=outcome_known)
        self.retry_after_seconds = retry_after_seconds
        self.too_many = too_many


class Broken(Failure):
    """The destination is broken for everything until someone mends it."""


class Refused(Failure):
    """The far end will never take this event as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """How this kind of destination likes to be told (see `routing.model.Manner`)."""

    shows_partial_resolves: bool
    reassert_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The far end took it.

    Attributes:
        reference: what to keep as `Delivery.reference`; None keeps what is there.
        note: what people have to know or do about it; "" where there is nothing. Without secrets.
    """

    reference: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request as it would go out, for people. Secrets in it are masked.

    Attributes:
        body: as text.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: str


class Destination(Protocol):
    """One place where incidents are shown."""

    @property
    def traits(self) -> Traits:
        """How it likes to be told."""
        ...

    @property
    def credentials(self) -> str:
        """Changes with what it needs to be let in, and does not tell it; the same after a restart."""
        ...

    async def send(self, told: message.Message, *, plain: bool) -> Receipt:
        """Show it; returns the far end's receipt. One attempt, no retry inside.

        The caller bounds the call in time; a send that is cancelled has an unknown outcome.

        Args:
            told: what to show.
            plain: in the plainest form that says the same: what is tried after a refusal.

        Raises:
            Failure: one of its three classes.
        """
        ...

    async def rehearse(self, told: message.Message, *, plain: bool) -> Request | None:
        """What `send` would put on the wire. Nothing is sent. None where nothing leaves this process."""
        ...

    async def close(self) -> None:
        """Free its connections and threads."""
        ...


@runtime_checkable
class Limited(Protocol):
    """A destination whose far end takes only so much."""

    @property
    def far_end(self) -> budget.FarEnd:
        """What its budget belongs to."""
        ...


@runtime_checkable
class Keyed(Protocol):
    """A destination whose far end finds what it shows by the key alone that this was sent with."""

    @property
    def reference(self) -> str:
        """Of the key that something new goes with: on record before it is sent, for who learns no receipt of it."""
        ...


@runtime_checkable
class Summarising(Protocol):
    """A destination that a backlog may be told to in one message. A pager is none."""

    async def summarise(self, told: summary.Summary, *, plain: bool) -> None:
        """Show it, as `Destination.send` does.

        Raises:
            Failure: one of its three classes.
        """
        ...


def fingerprint(secret: str) -> str:
    """Tells a secret from another one, in a store too, and does not tell it: a hash keyed with the secret itself."""
    return hmac.new(secret.encode(), b"phantommesh-alerts", hashlib.sha256).hexdigest()[:32]


def identity(secret: str) -> str:
    """What tells far ends apart without telling their secret; means nothing in another process."""
    return hashlib.blake2b(secret.encode(), key=_IDENTITY_KEY, digest_size=16).hexdigest()
