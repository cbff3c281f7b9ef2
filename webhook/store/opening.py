"""Opening the file: one process, private files, nothing corrupt, nothing foreign, nothing newer.

What is refused is left as it was found, and a copy is made before a schema is changed. A new database is built
beside its place and renamed into it, so that an empty or half-made file there is always a fault and never a fresh
start.
"""

import contextlib
import fcntl
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from webhook.store import contract, copying, statements

DATABASE = "phantommesh-alerts.sqlite3"
LOCK = "phantommesh-alerts.lock"
RESTORING = ".restoring"
"""Suffix of what a restore that was cut short leaves beside the database: nothing opens it until it is finished."""

_APPLICATION_ID = 0x504D4131  # "PMA1"; `file` and PRAGMA application_id show whose database this is
_MAGIC = b"SQLite format 3\0"
_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_READERS = 2
_LOG_BYTES = 64 << 20
"""The write-ahead log is cut back to this after it has grown beyond it."""
_CACHE_BYTES = 64 << 20

_BULKY_TABLES = ("body", "notification")
_CHECK_ALL_BELOW_BYTES = 256 << 20
"""Above this size the kept messages are not checked at the start: reading them would take too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """What an open store holds.

    Attributes:
        writer: writes and checkpoints; in autocommit mode, as the readers are.
        readers: can neither write nor checkpoint.
        lock: descriptor of the lock file.
    """

    writer: sqlite3.Connection
    readers: Sequence[sqlite3.Connection]
    lock: int

    def close(self) -> None:
        """Close everything. The writer is the last of the connections: the last one to close checkpoints."""
        for connection in (*self.readers, self.writer):
            connection.close()
        os.close(self.lock)


def open_files(state_dir: Path, file: str = DATABASE) -> Files:
    """Take the directory for this process, make sure that a sound database is there, and connect to it.

    Args:
        state_dir: made when it is not there.
        file: the database, relative to the directory.

    Raises:
        contract.StoreRefused: it is corrupt, not ours, newer than this code, held by another process, or
            cannot be read or written.
    """
    database = state_dir / file
    lock = hold(state_dir)
    try:
        if (unfinished := database.with_name(database.name + RESTORING)).exists():
            _refuse(
                database, f"was being restored when that was cut short ({unfinished.name}); restore it again"
            )
        if database.exists():
            with database.open("r+b"):
                pass  # as good as a write: refused where the file must not be written
            examine(database)
            _make_private(database)
        else:
            _create(database)
        _migrate(database)
        return Files(
            writer=_writer(database), readers=[_reader(database) for _ in range(_READERS)], lock=lock
        )
    except BaseException as error:
        os.close(lock)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
            _refuse_corrupt(database, str(error), error)
        if isinstance(error, sqlite3.Error):
            _refuse(database, f"cannot be read or written: {error}", error)
        if isinstance(error, OSError):
            _refuse(database, f"cannot be read or written: {error.strerror}", error)
        raise


def hold(state_dir: Path) -> int:
    """Take the directory, made if need be, for this process; closing the descriptor gives it back.

    Raises:
        contract.StoreRefused: another process has it, or it cannot be used.
    """
    try:
        if not state_dir.is_dir():
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            state_dir.chmod(0o700)
        lock = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, copying.PRIVATE)
        copying.hand_over(state_dir / LOCK)
    except OSError as error:
        _refuse(state_dir, f"cannot be used as the state directory: {error.strerror}", error)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(lock, copying.PRIVATE)
    except BlockingIOError as error:
        os.close(lock)
        _refuse(state_dir / LOCK, "is held by another process; one state directory serves one process", error)
    except OSError as error:
        os.close(lock)
        _refuse(state_dir / LOCK, f"cannot be locked: {error.strerror}", error)
    return lock


def _writer(database: Path) -> sqlite3.Connection:
    connection = connect(database, "rw")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_BYTES >> 10}")
    return connection


def _reader(database: Path) -> sqlite3.Connection:
    connection = connect(database, "rw")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def connect(database: Path, mode: str) -> sqlite3.Connection:
    """A connection in autocommit mode; `mode` is ro or rw, and nothing is created."""
    return sqlite3.connect(
        f"{database.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=2.0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def examine(database: Path) -> None:
    """Refuse what is not a sound database of ours. Only reads; side files that reading made are removed.

    Raises:
        contract.StoreRefused: it is no database, another program's, newer than this one, or corrupt.
        sqlite3.Error: it cannot be read.
    """
    with database.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            _refuse(database, "is not an SQLite database; move it away, or restore it from a backup")
    newest = len(statements.migrations())
    with _read_only(database) as connection:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if application != _APPLICATION_ID:
            _refuse(database, "is a database of another program")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > newest:
            _refuse(
                database,
                f"has schema version {version}, and this program knows versions up to {newest}; "
                "run the newer program, or restore a backup that was made before the upgrade",
            )
        whole = database.stat().st_size < _CHECK_ALL_BELOW_BYTES
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        for table in tables:
            if table in _BULKY_TABLES and not whole:
                continue
            (verdict,) = connection.execute(f"PRAGMA quick_check({table})").fetchone()
            if verdict != "ok":
                _refuse_corrupt(database, " ".join(verdict.split()))


@contextlib.contextmanager
def _read_only(database: Path) -> Iterator[sqlite3.Connection]:
    before = set(database.parent.iterdir())
    connection = connect(database, "ro")
    try:
        yield connection
    finally:
        connection.close()
        # A reader cannot tidy up after itself, and this process holds the lock: nobody else uses them.
        for suffix in ("-shm", "-wal"):
            side = database.with_name(database.name + suffix)
            if side not in before:
                side.unlink(missing_ok=True)


def _create(database: Path) -> None:
    log = database.with_name(database.name + "-wal")
    if log.exists():
        _refuse(database, f"is missing, and {log.name} beside it is left over; restore both, or move it away")
    database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = database.with_name(database.name + ".new")
    for leftover in database.parent.glob(f"{fresh.name}*"):
        leftover.unlink()
    copying.make_private(fresh)
    _migrate(fresh)
    copying.sync(fresh)
    fresh.rename(database)
    copying.sync(database.parent)


def _migrate(database: Path) -> None:
    """Take the steps of the schema that the file lacks, each in a transaction of its own."""
    with contextlib.closing(_writer(database)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            _refuse(database, "lies on a file system where SQLite cannot keep a write-ahead log")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if 0 < version < len(statements.migrations()):
            _keep(connection, database, version + 1)
        for number, step in enumerate(statements.migrations()[version:], start=version + 1):
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{step}\n"
                f"PRAGMA application_id = {_APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )


def _keep(connection: sqlite3.Connection, database: Path, number: int) -> None:
    """Copy the database as it is before step `number` of its schema, for a way back to the older program."""
    kept = database.with_name(f"{database.name}.before-schema-{number}")
    try:
        copying.copy(connection, kept)
    except (OSError, sqlite3.Error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        _refuse(
            database,
            f"has to be copied to {kept.name} before its schema changes, and cannot be: {why}; "
            f"make room for {database.stat().st_size} bytes beside it",
            error,
        )
    except copying.Unsound as error:
        _refuse_corrupt(database, str(error), error)


def _make_private(database: Path) -> None:
    """SQLite gives its side files the mode of the database, whatever the umask is."""
    for suffix in ("", "-wal", "-shm"):
        file = database.with_name(database.name + suffix)
        if file.exists() and stat.S_IMODE(file.stat().st_mode) != copying.PRIVATE:
            file.chmod(copying.PRIVATE)


def _refuse_corrupt(database: Path, how: str, cause: BaseException | None = None) -> NoReturn:
    _refuse(database, f"is corrupt ({how}); move it away, or restore it from a backup", cause)


def _refuse(path: Path, why: str, cause: BaseException | None = None) -> NoReturn:
    raise contract.StoreRefused(f"{path} {why}") from cause
