"""Reads SQL files: named statements, and the numbered steps of the schema."""

import re
from collections.abc import Mapping, Sequence
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def named(file: str) -> Mapping[str, str]:
    """The statements of a file beside this module, by the name in the `-- name:` line above each."""
    text = resources.files(__package__).joinpath(file).read_text("utf-8")
    _, *parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def migrations() -> Sequence[str]:
    """The schema's steps in order; the number of a schema is the number of steps that made it."""
    folder = resources.files(__package__).joinpath("migrations")
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [folder.joinpath(file).read_text("utf-8") for file in files]
