"""The embedded store: one SQLite file, one process (DESIGN: stores)."""

import asyncio
import functools
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from routing import ledger, model, truth
from webhook.store import audit, cache, contract, opening, pruning, readers, recording, rows, writer

Result = TypeVar("Result")
Operation = Callable[[sqlite3.Connection], Any]

_EVER = -(1 << 63)
_MOST_ACCEPTS_WAITING = writer.MOST_WAITING // 2
"""A flood of messages leaves room in the queue for what deliveries have to note."""


async def open_store(state_dir: Path, file: str = "") -> contract.Store:
    """Open the store under a directory, and make both where there is nothing yet.

    Args:
        state_dir: serves one process at a time.
        file: the database, relative to the directory; "" for the usual name.

    Raises:
        contract.StoreRefused: it must not be used as it is; the text names the file, which is left untouched.
    """
    name = file or opening.DATABASE
    store = _Sqlite(await asyncio.to_thread(opening.open_files, state_dir, name))
    try:
        await store.probe()
    except ledger.Unavailable as trouble:
        await store.close()
        raise contract.StoreRefused(f"{state_dir / name}: cannot be written: {trouble}") from trouble
    return store


class _Sqlite:
    def __init__(self, files: opening.Files) -> None:
        self._files = files
        self._connection = files.writer
        self._known = cache.Cache()
        self._audit = audit.Audit()
        self._writer: writer.Writer[recording.Arrival | Operation] = writer.Writer(
            files.writer, self._apply, undone=self._forget
        )
        self._readers = readers.Readers(files.readers)

    def _apply(self, requests: Sequence[recording.Arrival | Operation]) -> Sequence[object]:
        arrivals = [request for request in requests if isinstance(request, recording.Arrival)]
        changed = iter(recording.record(self._connection, self._known, arrivals) if arrivals else ())
        self._audit.keep(
            self._connection, [(each.now, each.body) for each in arrivals if each.body is not None]
        )
        return [
            next(changed) if isinstance(request, recording.Arrival) else request(self._connection)
            for request in requests
        ]

    def _forget(self) -> None:
        """What is known in memory may not be what is in the file any more."""
        self._known.empty()
        self._audit.forget()

    def _forgetting(
        self, operation: Callable[[sqlite3.Connection], Result]
    ) -> Callable[[sqlite3.Connection], Result]:
        """The operation, which changes in the file alone what is known in memory."""

        def forgetting(connection: sqlite3.Connection) -> Result:
            self._forget()
            return operation(connection)

        return forgetting

    async def _write(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        return cast("Result", await self._writer.submit(operation))

    async def accept(
        self,
        notification: model.Notification | None,
        *,
        sources: Collection[str],
        body: bytes,
        now: datetime,
        late: Callable[[Sequence[str]], object] | None = None,
    ) -> Sequence[str]:
        arrival = recording.Arrival(notification=notification, now=now, body=body, sources=sources)
        return cast(
            "Sequence[str]", await self._writer.submit(arrival, most_waiting=_MOST_ACCEPTS_WAITING, late=late)
        )

    async def record(self, notification: model.Notification, now: datetime) -> Sequence[str]:
        arrival = recording.Arrival(notification=notification, now=now)
        return cast("Sequence[str]", await self._writer.submit(arrival))

    async def record_told(
        self, notification: model.Notification, told: Mapping[str, str], now: datetime
    ) -> Sequence[str]:
        return await self._write(
            lambda connection: recording.record_told(connection, self._known, notification, told, now)
        )

    async def release_held(self, incident_id: str, now: datetime) -> Sequence[str]:
        return await self._write(
            lambda connection: recording.release(connection, self._known, incident_id, now)
        )

    async def standing(self, after: str, limit: int) -> Sequence[truth.Standing]:
        return await self._readers.read(lambda connection: rows.standing(connection, after, limit))

    async def partial(self) -> Sequence[str]:
        return await self._column("partial", ())

    async def receivers(self, since: datetime) -> Sequence[str]:
        return await self._column("receivers", (rows.to_micros(since),))

    async def reconcile(
        self,
        findings: truth.Findings,
        strangers: Sequence[truth.Stranger],
        told_whole: Collection[str],
        now: datetime,
    ) -> Sequence[str]:
        return await self._write(
            lambda connection: recording.reconcile(
                connection, self._known, findings, strangers, told_whole, now=now
            )
        )

    async def due(self, after: datetime | None, until: datetime) -> Sequence[str]:
        since = _EVER if after is None else rows.to_micros(after)
        return await self._column("due", (since, rows.to_micros(until)))

    async def next_due(self, after: datetime) -> datetime | None:
        (first,) = await self._column("next_due", (rows.to_micros(after),))
        return None if first is None else rows.from_micros(first)

    async def situations(self, incident_ids: Collection[str]) -> Mapping[str, model.Situation]:
        return await self._readers.read(lambda connection: rows.situations(connection, incident_ids))

    async def priorities(self, incident_ids: Collection[str]) -> Mapping[str, model.Priority]:
        found = await self._rows("priorities", (rows.to_json(list(incident_ids)),))
        return {incident_id: model.Priority(priority) for incident_id, priority in found}

    async def expect(
        self, incident_id: str, destinations: Collection[str], episode: int, now: datetime
    ) -> None:
        new = [(incident_id, destination, episode, rows.to_micros(now)) for destination in destinations]
        await self._write(lambda connection: rows.write_all(connection, "expect", new))

    async def owe(self, incident_id: str, since: Mapping[str, datetime | None]) -> None:
        debts = [
            (None if at is None else rows.to_micros(at), incident_id, destination)
            for destination, at in since.items()
        ]
        await self._write(lambda connection: rows.write_all(connection, "owe", debts))

    async def intend(
        self,
        incident_id: str,
        destination: str,
        shows: model.Shown,
        now: datetime,  # noqa: ARG002  the contract's
        *,
        reference: str = "",
    ) -> None:
        intent = (incident_id, destination, shows.episode, rows.to_json(shows), reference)
        await self._change("intend", intent)

    async def settle(
        self,
        incident_id: str,
        destination: str,
        shows: model.Shown,
        now: datetime,
        *,
        reference: str | None = None,
    ) -> None:
        await self._note(
            "settle", incident_id, destination, rows.to_json(shows), rows.to_micros(now), reference
        )

    async def fail(self, incident_id: str, destination: str, error: str, *, outcome_known: bool) -> None:
        await self._note("fail", incident_id, destination, error, outcome_known, outcome_known)

    async def bury(
        self,
        incident_id: str,
        destination: str,
        shows: model.Shown,
        error: str,
        now: datetime,
        *,
        may_be_shown: bool = False,
    ) -> None:
        letter = (rows.to_json(shows), error, rows.to_micros(now), may_be_shown, may_be_shown)
        await self._note("bury", incident_id, destination, *letter)

    async def _note(self, name: str, incident_id: str, destination: str, *values: object) -> None:
        def note(connection: sqlite3.Connection) -> None:
            if not connection.execute(rows.SQL[name], (*values, incident_id, destination)).rowcount:
                raise LookupError(f"incident {incident_id} was never expected at {destination}")

        await self._write(note)

    async def rest(self, incident_id: str, version: int, until: datetime | None) -> bool:
        due_at = None if until is None else rows.to_micros(until)
        return bool(await self._change("rest", (due_at, incident_id, version)))

    async def wake_open(self, now: datetime) -> int:
        return await self._change("wake_open", (rows.to_micros(now),))

    async def shown_open(self, destinations: Collection[str]) -> Mapping[str, Sequence[str]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for destination, incident_id in await self._rows("shown_open", (rows.to_json(list(destinations)),)):
            found[destination].append(incident_id)
        return dict(found)

    async def destinations_since(self, names: Collection[str], now: datetime) -> Mapping[str, datetime]:
        wanted = rows.to_json(list(names))
        new = [(name, rows.to_micros(now)) for name in names]

        def note(connection: sqlite3.Connection) -> dict[str, datetime]:
            rows.write_all(connection, "add_destination", new)
            found = connection.execute(rows.SQL["destinations"], (wanted,))
            return {name: rows.from_micros(since) for name, since in found}

        return await self._write(note)

    async def dead_letters(self, limit: int) -> Sequence[model.Situation]:
        return await self._listed("dead_ids", limit)

    async def revive(self, incident_id: str, destination: str, now: datetime) -> bool:
        def revive(connection: sqlite3.Connection) -> bool:
            revived = connection.execute(rows.SQL["revive"], (incident_id, destination)).rowcount > 0
            if revived:
                connection.execute(rows.SQL["wake"], (rows.to_micros(now), incident_id))
            return revived

        return await self._write(revive)

    async def drop_letter(self, incident_id: str, destination: str, dead: model.Shown, now: datetime) -> bool:
        def drop(connection: sqlite3.Connection) -> bool:
            situation = rows.situations(connection, [incident_id]).get(incident_id)
            delivery = situation.deliveries.get(destination) if situation else None
            if delivery is None or delivery.dead != dead:
                return False
            told = (rows.to_json(dead), rows.to_micros(now), None, incident_id, destination)
            return connection.execute(rows.SQL["settle"], told).rowcount > 0

        return await self._write(drop)

    async def open_incidents(self, limit: int) -> Sequence[model.Situation]:
        return await self._listed("open_ids", limit)

    async def open_from(self, receiver: str) -> Sequence[str]:
        return await self._column("open_from", (receiver,))

    async def recent_incidents(self, limit: int) -> Sequence[model.Situation]:
        return await self._listed("recent_ids", limit)

    async def episodes(self, incident_id: str) -> Sequence[contract.Episode]:
        return [
            contract.Episode(
                number=number,
                opened_at=rows.from_micros(opened_at),
                resolved_at=None if resolved_at is None else rows.from_micros(resolved_at),
                priority=model.Priority(priority),
            )
            for number, opened_at, resolved_at, priority in await self._rows("episodes", (incident_id,))
        ]

    async def sources(self) -> Mapping[str, datetime]:
        return {key: rows.from_micros(heard) for key, heard in await self._rows("sources", ())}

    async def counts(self) -> contract.Counts:
        def count(connection: sqlite3.Connection) -> contract.Counts:
            found = {model.Priority(tier): n for tier, n in connection.execute(rows.SQL["open_counts"])}
            notifications, size = connection.execute(rows.SQL["tally"]).fetchone()
            return contract.Counts(
                open_incidents={priority: found.get(priority, 0) for priority in model.Priority},
                notifications=notifications,
                notifications_bytes=size,
                dead_letters=connection.execute(rows.SQL["dead_count"]).fetchone()[0],
            )

        return await self._readers.read(count)

    async def prune(self, retention: contract.Retention, now: datetime) -> int:
        total = 0
        for drop in pruning.ALL:
            bite = self._forgetting(functools.partial(drop, keep=retention, now=now))
            while dropped := await self._write(bite):
                total += dropped
        return total

    async def rebase(self, by: timedelta) -> None:
        micros = {"by": rows.duration_micros(by)}

        def move(connection: sqlite3.Connection) -> None:
            for name in ("incidents", "deliveries", "sources", "destinations"):
                connection.execute(rows.SQL[f"rebase_{name}"], micros)
            rows.rebase_held(connection, by)

        await self._write(self._forgetting(move))

    async def probe(self) -> None:
        await self._change("probe", ())

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        await asyncio.to_thread(self._files.close)

    async def _change(self, name: str, values: Sequence[object] | Mapping[str, object]) -> int:
        return await self._write(lambda connection: connection.execute(rows.SQL[name], values).rowcount)

    async def _rows(self, name: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        return await self._readers.read(
            lambda connection: connection.execute(rows.SQL[name], values).fetchall()
        )

    async def _column(self, name: str, values: Sequence[object]) -> list[Any]:
        return [value for (value,) in await self._rows(name, values)]

    async def _listed(self, name: str, limit: int) -> Sequence[model.Situation]:
        def read(connection: sqlite3.Connection) -> list[model.Situation]:
            ids = [incident_id for (incident_id,) in connection.execute(rows.SQL[name], (limit,))]
            return list(rows.situations(connection, ids).values())

        return await self._readers.read(read)
