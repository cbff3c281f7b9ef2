"""A backup of a store, whether `serve` runs or not, and putting one in its place while it does not."""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from webhook.store import contract, copying, opening, rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """What a backup holds.

    Attributes:
        schema: its version.
        set_aside: where the database is now that was there before a restore; None where there was none.
    """

    file: Path
    size_bytes: int
    schema: int
    open_incidents: int
    set_aside: Path | None = None


def backup(state_dir: Path, target: Path, file: str = "") -> Copied:
    """Write one sound copy of a store to a new file.

    Args:
        state_dir: as `open_store` has it.
        target: must not be there yet.
        file: the database, relative to the directory; "" for the usual name.

    Raises:
        contract.StoreRefused: there is no store, the target is there, or it cannot be written.
    """
    database = database_in(state_dir, file)
    if target.exists():
        raise contract.StoreRefused(f"{target} is there already; a backup overwrites nothing")
    try:
        with contextlib.closing(opening.connect(database, "ro")) as connection:
            copying.copy(connection, target)
    except sqlite3.Error as error:
        raise contract.StoreRefused(f"{database} cannot be copied to {target}: {error}") from error
    except OSError as error:
        raise contract.StoreRefused(f"{target} cannot be written: {error.strerror}") from error
    except copying.Unsound as error:
        raise contract.StoreRefused(f"{database} is corrupt ({error}); no backup was made") from error
    return _described(target)


def database_in(state_dir: Path, file: str = "") -> Path:
    """The database of a state directory.

    Raises:
        contract.StoreRefused: there is none.
    """
    database = state_dir / (file or opening.DATABASE)
    if not database.is_file():
        raise contract.StoreRefused(
            f"{database}: there is no store here; name its directory with --state-dir"
        )
    return database


def restore(state_dir: Path, source: Path, now: datetime, file: str = "") -> Copied:
    """Put a backup in a store's place. What was there is kept beside it, under another name.

    Args:
        state_dir: made when it is not there.
        source: left as it is. It may be of an older schema: the next start brings it up to date.
        now: part of the other name.
        file: the database, relative to the directory; "" for the usual name.

    Raises:
        contract.StoreRefused: a process holds the store, the source is no sound database of ours or is newer
            than this program, or something cannot be written. The store is then as it was before.
    """
    if not source.is_file():
        raise contract.StoreRefused(f"{source}: there is no such file")
    log = source.with_name(source.name + "-wal")
    if log.exists() and log.stat().st_size:
        raise contract.StoreRefused(
            f"{source} has a log of its own ({log.name}): a database in use is no backup; make one with `backup`"
        )
    database = state_dir / (file or opening.DATABASE)
    lock = opening.hold(state_dir)
    try:
        return _put_in_place(database, source, now)
    except OSError as error:
        raise contract.StoreRefused(
            f"{database} cannot be restored from {source}: {error.strerror}"
        ) from error
    finally:
        os.close(lock)


def _put_in_place(database: Path, source: Path, now: datetime) -> Copied:
    fresh = database.with_name(f"{database.name}.partial")
    restoring = database.with_name(database.name + opening.RESTORING)
    try:
        # A copy first: what was looked at is then what is used, whatever happens to the source.
        copying.make_private(fresh)
        copying.hand_over(fresh)
        shutil.copyfile(source, fresh)
        opening.examine(fresh)
        copying.check(fresh)
        copying.sync(fresh)
        described = _described(fresh)
    except (sqlite3.Error, copying.Unsound) as error:
        fresh.unlink(missing_ok=True)
        raise contract.StoreRefused(f"{source} is not a sound backup: {error}") from error
    except contract.StoreRefused as refusal:
        fresh.unlink(missing_ok=True)
        raise contract.StoreRefused(str(refusal).replace(str(fresh), str(source))) from refusal
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    # From here until the last rename a start is refused: the old database and its log belong together.
    fresh.rename(restoring)
    copying.sync(database.parent)
    aside = _set_aside(database, now)
    restoring.rename(database)
    copying.sync(database.parent)
    return Copied(
        file=database,
        size_bytes=described.size_bytes,
        schema=described.schema,
        open_incidents=described.open_incidents,
        set_aside=aside,
    )


def _set_aside(database: Path, now: datetime) -> Path | None:
    """Give a database and its log another name together; SQLite finds them by it."""
    aside = database.with_name(f"{database.name}.replaced-{now:%Y%m%dT%H%M%S%fZ}")
    for suffix in ("-wal", "-shm", ""):
        side = database.with_name(database.name + suffix)
        if side.exists():
            side.rename(aside.with_name(aside.name + suffix))
    return aside if aside.exists() else None


def _described(copy: Path) -> Copied:
    uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        counts = connection.execute(rows.SQL["open_counts"]).fetchall()
    return Copied(
        file=copy,
        size_bytes=copy.stat().st_size,
        schema=schema,
        open_incidents=sum(count for _, count in counts),
    )
