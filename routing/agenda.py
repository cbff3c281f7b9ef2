"""Which incidents to look at next: P1 before P2 before P3, and in each the one that changed first.

A storm of P3 that is still to be looked at must not keep a P1 waiting. Who changed something knows no priorities,
so where more waits than one look takes, the store is asked for them.
"""

from collections.abc import Collection, Iterable

from routing import ledger, model

_AT_ONCE = 64
_ASK_AT_ONCE = 2_000


class Agenda:
    """The incidents that wait for a look, each once."""

    def __init__(self, ledger: ledger.Ledger) -> None:
        self._ledger = ledger
        self._fresh: dict[str, None] = {}
        self._ranked: dict[model.Priority, dict[str, None]] = {priority: {} for priority in model.Priority}

    def __len__(self) -> int:
        return len(self._fresh) + sum(len(rank) for rank in self._ranked.values())

    def __contains__(self, incident_id: str) -> bool:
        return incident_id in self._fresh or any(incident_id in rank for rank in self._ranked.values())

    def add(self, incident_ids: Iterable[str]) -> None:
        """Have these looked at; their priority may be another one than before."""
        for incident_id in incident_ids:
            for rank in self._ranked.values():
                rank.pop(incident_id, None)
            self._fresh[incident_id] = None

    async def take(self) -> Collection[str]:
        """What one look takes; empty when nothing waits.

        Raises:
            ledger.Unavailable: the store cannot say what is urgent. Nothing was taken.
        """
        if len(self) > _AT_ONCE:
            await self._rank()
        batch: list[str] = []
        for waiting in (*self._ranked.values(), self._fresh):
            for incident_id in list(waiting)[: _AT_ONCE - len(batch)]:
                del waiting[incident_id]
                batch.append(incident_id)
        return batch

    async def _rank(self) -> None:
        while self._fresh:
            asked = list(self._fresh)[:_ASK_AT_ONCE]
            found = await self._ledger.priorities(asked)
            for incident_id in asked:
                # What the store does not know is looked at last, and then it is nothing.
                if self._fresh.pop(incident_id, incident_id) is None:
                    self._ranked[found.get(incident_id, model.Priority.P3)][incident_id] = None
