"""Values that come from outside of the configuration file: environment variables and files with secrets.

Every variable NAME can also be given as NAME_FILE, the path of a file that holds its value. A trailing line
break in a file is not part of the value; an empty variable counts as not set. No text here holds a secret's value.
"""

import dataclasses
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, final

_LARGEST_FILE_BYTES = 65_536


class Unusable(ValueError):
    """A value from outside cannot work. The text names where it comes from and never what it is."""


@final
class Secret:
    """A value that is never printed by accident: `reveal` is the only way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        """The value itself. Whoever calls this sends it where it belongs and nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)


def secrets_in(settings: object) -> Iterator[Secret]:
    """Every secret of settings made of dataclasses, mappings and sequences, however deep: none can be forgotten."""
    if isinstance(settings, Secret):
        yield settings
    elif dataclasses.is_dataclass(settings):
        for each in dataclasses.fields(settings):
            yield from secrets_in(getattr(settings, each.name))
    elif isinstance(settings, Mapping):
        for value in settings.values():
            yield from secrets_in(value)
    elif isinstance(settings, list | tuple | set | frozenset):
        for value in settings:
            yield from secrets_in(value)


def variable(environ: Mapping[str, str], name: str) -> str:
    """The value of NAME, or of the file that NAME_FILE names; "" where neither is set.

    Raises:
        Unusable: both are set, or the file cannot be read, or is empty: whoever names a file means its content.
    """
    value, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if value and path:
        raise Unusable(f"{name} and {name}_FILE are both set; keep one of them")
    if not path:
        return value
    try:
        content = file(Path(path))
    except Unusable as error:
        raise Unusable(f"{name}_FILE: {error}") from error
    if not content:
        raise Unusable(f"{name}_FILE: {path} is empty; write the value into it, or unset {name}_FILE")
    return content


def file(path: Path) -> str:
    """What stands in a file, without the trailing line break.

    Raises:
        Unusable: it cannot be read, is no text, or is too large for a value.
    """
    try:
        with path.open("rb") as opened:
            content = opened.read(_LARGEST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "no path"
        raise Unusable(f"cannot read {path}: {reason}") from error
    if len(content) > _LARGEST_FILE_BYTES:
        raise Unusable(f"{path} is larger than {_LARGEST_FILE_BYTES} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        # Not chained: the original exception carries the file's content.
        raise Unusable(f"{path} is not UTF-8 text") from None


def token(value: str) -> str:
    """Check that a value can be a token or key: visible ASCII, without spaces.

    Raises:
        Unusable: saying what is wrong with it.
    """
    if not all("!" <= character <= "~" for character in value):
        raise Unusable("holds a space, a line break or a character that is not ASCII")
    return value


def web_address(value: str) -> str:
    """Check an http or https address.

    Raises:
        Unusable: saying what is wrong with it.
    """
    try:
        parts = urllib.parse.urlsplit(token(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        if isinstance(error, Unusable):
            raise
        raise Unusable("is not a web address") from None  # urllib's text quotes the value
    if not usable:
        raise Unusable("must be a web address that begins with https:// or http://")
    return value


def base_address(value: str) -> str:
    """Check an address that links are built upon; returns it without a slash at its end.

    Raises:
        Unusable: saying what is wrong with it.
    """
    parts = urllib.parse.urlsplit(web_address(value))
    if parts.query or parts.fragment:
        raise Unusable("must end before ? and #; paths are added to it")
    if "@" in parts.netloc:
        raise Unusable("must not hold a password; people see this address in links")
    return value.rstrip("/")


def events_base(value: str) -> str:
    """Check the address of PagerDuty's Events API; returns it without a slash at its end.

    Raises:
        Unusable: saying what is wrong with it.
    """
    base = base_address(value)
    if urllib.parse.urlsplit(base).path:
        raise Unusable("must be a base without a path, /v2/enqueue is added to it")
    return base


def sqlite_file(value: str) -> str:
    """The file that `sqlite:///FILE` names, relative to the state directory.

    Raises:
        Unusable: it names another kind of database, or a file outside.
    """
    if value.startswith(("postgresql:", "postgres:")):
        raise Unusable("names a PostgreSQL database; this version only keeps its state in SQLite")
    scheme, _, name = value.partition(":///")
    path = Path(name)
    if scheme != "sqlite" or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise Unusable("must be like sqlite:///alerts.db, a file in the state directory")
    return name
