"""How much a far end takes before it complains, and who may go when. Pure: the time is passed in.

A budget belongs to the far end (a routing key, a channel): every destination that leads there shares it. It is a
bucket of tokens: each attempt takes one, and they come back at a steady rate. In any 60 s at most
`burst + 60 * per_second` go out.
"""

from dataclasses import dataclass

from routing import model


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a far end takes.

    Attributes:
        burst: how many attempts may go at once after a rest; need not be whole.
        per_second: how many may go each second after that.
        reserved: so much of the burst is left to P1. Where it is above 0, a P1 and a P2 that wait for the same
            token never tie.
        at_start: how many may go at once after a start of the process: whoever ran before may have just spent all.
    """

    burst: float
    per_second: float
    reserved: float
    at_start: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FarEnd:
    """What a budget belongs to.

    Attributes:
        identity: the same for everything that shares the budget; a keyed hash, so that it tells no secret.
    """

    identity: str
    limit: Limit


class Budget:
    """What is left to spend at one far end. Times are seconds of one monotonic clock."""

    def __init__(self, limit: Limit, *, now: float) -> None:
        self.paused_until = now
        self._limit = limit
        self._tokens = limit.at_start
        self._counted_at = now

    def wait_seconds(self, priority: model.Priority, now: float) -> float:
        """How long an attempt of this priority has to wait; 0 when it may go now."""
        keeps = 0.0 if priority is model.Priority.P1 else self._limit.reserved
        missing = 1.0 + keeps - self._tokens_at(now)
        return max(0.0, missing / self._limit.per_second, self.paused_until - now)

    def spend(self, now: float) -> None:
        """Note an attempt. What it became does not matter: a far end counts requests, not receipts."""
        self._tokens = self._tokens_at(now) - 1.0
        self._counted_at = now

    def pause(self, seconds: float, now: float) -> None:
        """The far end said when to come again (Retry-After): nobody goes before that."""
        self.paused_until = max(self.paused_until, now + seconds)

    def _tokens_at(self, now: float) -> float:
        return min(self._limit.burst, self._tokens + (now - self._counted_at) * self._limit.per_second)


class Budgets:
    """The budgets of one process, by far end. They outlive a reload: what was spent stays spent."""

    def __init__(self) -> None:
        self._known: dict[str, Budget] = {}

    def of(self, far_end: FarEnd, *, now: float) -> Budget:
        """The one budget of this far end."""
        return self._known.setdefault(far_end.identity, Budget(far_end.limit, now=now))
