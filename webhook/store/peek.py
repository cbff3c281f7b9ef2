"""Reads a store beside the process that owns it, or without one. Never writes and never checkpoints."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from routing import model
from webhook.store import contract, opening, rows


def incidents(state_dir: Path, file: str = "", *, closed: bool, limit: int) -> Sequence[model.Situation]:
    """Open incidents, P1 first and then the oldest; or closed ones, the last closed first.

    Args:
        state_dir: as `open_store` has it.
        file: the database, relative to the directory; "" for the usual name.
        closed: which of the two.
        limit: how many at the most.

    Raises:
        contract.StoreRefused: there is no store, or none that this program can read.
    """
    return _situations(state_dir, file, "recent_ids" if closed else "open_ids", limit)


def dead_letters(state_dir: Path, file: str = "", *, limit: int) -> Sequence[model.Situation]:
    """Incidents of which a destination refused a state for good.

    Raises:
        contract.StoreRefused: there is no store, or none that this program can read.
    """
    return _situations(state_dir, file, "dead_ids", limit)


def _situations(state_dir: Path, file: str, name: str, limit: int) -> Sequence[model.Situation]:
    database = state_dir / (file or opening.DATABASE)
    if not database.is_file():
        raise contract.StoreRefused(
            f"{database}: there is no store here; name its directory with --state-dir"
        )
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=2.0)
        ) as connection:
            ids = [incident_id for (incident_id,) in connection.execute(rows.SQL[name], (limit,))]
            return list(rows.situations(connection, ids).values())
    except sqlite3.Error as error:
        raise contract.StoreRefused(f"{database}: cannot be read: {error}") from error
