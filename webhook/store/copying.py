"""One sound copy of a database, made while others write to it."""

import contextlib
import os
import sqlite3
from pathlib import Path

PRIVATE = 0o600


class Unsound(Exception):
    """A database that does not pass SQLite's check; the text has its first words."""


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Write what the connection sees now into one private file, checked and safe on the disk.

    It is a snapshot: writers go on, only the write-ahead log grows until it is done. The file appears under its
    name when it is whole, and takes the place of one that is there.

    Args:
        connection: in autocommit mode. It may be one that only reads.
        target: on a file system with room for the whole database.

    Raises:
        OSError, sqlite3.Error: it could not be written; nothing is left of it.
        Unsound: what was written is not sound, so the database is not.
    """
    partial = target.with_name(f"{target.name}.partial")
    make_private(partial)
    try:
        connection.execute("VACUUM INTO ?", (str(partial),))
        check(partial)
        sync(partial)
        partial.rename(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync(target.parent)


def make_private(file: Path) -> None:
    """Begin an empty file that only this user may read, in place of what is there."""
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))
    file.chmod(PRIVATE)  # whatever the umask is


def hand_over(file: Path) -> None:
    """Give root's file to whom its folder belongs: the service that opens it runs as a user of its own."""
    if os.geteuid() == 0:
        folder = file.parent.stat()
        os.chown(file, folder.st_uid, folder.st_gid)


def check(database: Path) -> None:
    """Look through every page of a file that nobody else uses.

    Raises:
        Unsound, sqlite3.Error: it is not as it should be.
    """
    # immutable: nothing is made beside it.
    uri = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise Unsound(" ".join(verdict.split()))


def sync(path: Path) -> None:
    """Put a file, or a folder's names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
