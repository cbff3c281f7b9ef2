"""Keeping what arrived: the new bodies of a commit compressed together, repeats by reference (DESIGN: invariant 8)."""

import hashlib
import sqlite3
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from webhook.store import rows

ROW_BYTES = 64
"""What one kept notification counts for beside its body, so that references cannot fill a disk uncounted."""

_MOST_KNOWN = 65_536
_REFERRED_FOR = timedelta(days=1)
"""A repeat is kept anew after so long, so that it cannot keep the bodies beside its first one for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a body is kept: in the row `body_id`, from `start`, so many bytes; since `kept_at`."""

    kept_at: datetime
    body_id: int
    start: int
    size_bytes: int


class Audit:
    """Keeps messages, and knows where the bodies are that it kept lately.

    Whoever removes bodies, or rolls back, has to let it forget.
    """

    def __init__(self) -> None:
        self._places: OrderedDict[bytes, _Place] = OrderedDict()

    def keep(self, connection: sqlite3.Connection, arrived: Sequence[tuple[datetime, bytes]]) -> None:
        """Keep messages, each with the instant of its arrival."""
        if not arrived:
            return
        body_id = rows.last_body(connection) + 1
        fresh: list[bytes] = []
        end = 0
        references: list[tuple[object, ...]] = []
        for received_at, body in arrived:
            digest = hashlib.sha256(body).digest()
            place = self._places.get(digest)
            if place is None or received_at - place.kept_at > _REFERRED_FOR:
                place = _Place(kept_at=received_at, body_id=body_id, start=end, size_bytes=len(body))
                self._places[digest] = place
                fresh.append(body)
                end += len(body)
            references.append((rows.to_micros(received_at), place.body_id, place.start, place.size_bytes))
        size = len(references) * ROW_BYTES
        if fresh:
            compressed = zlib.compress(b"".join(fresh), level=1)
            rows.write_all(connection, "save_body", [(body_id, compressed)])
            size += len(compressed)
        rows.write_all(connection, "save_notification", references)
        connection.execute(rows.SQL["add_to_tally"], (len(references), size))
        while len(self._places) > _MOST_KNOWN:
            self._places.popitem(last=False)

    def forget(self) -> None:
        """Know of no body any more."""
        self._places.clear()
