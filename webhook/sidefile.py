"""A small file that is always whole: read at the start, replaced as a whole, for its owner's eyes only."""

import os
from pathlib import Path

_MODE = 0o600
_LARGEST_BYTES = 64 << 20


def read(file: Path) -> bytes | None:
    """What stands in it; None where there is none.

    Raises:
        OSError: it cannot be read, or is larger than anything that was written here.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > _LARGEST_BYTES:
        raise OSError(f"{file} is larger than {_LARGEST_BYTES} bytes")
    return content


def write(file: Path, content: bytes) -> None:
    """Put this in its place: after a crash at any moment the old content is there, or the new one.

    Raises:
        OSError: it could not be written; the old content stays.
    """
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)  # from a crash, perhaps with another mode
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with open(descriptor, "wb") as opened:  # noqa: PTH123 - a descriptor, for its mode
            opened.write(content)
            opened.flush()
            os.fchmod(descriptor, _MODE)
            os.fsync(descriptor)
        fresh.rename(file)
        _sync_folder(file.parent)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def remove(file: Path) -> None:
    """Take it away, if it is there.

    Raises:
        OSError: it stays.
    """
    file.unlink(missing_ok=True)
    _sync_folder(file.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
