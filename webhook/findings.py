"""One thing that `check` found: where, how bad, what, and what would be right."""

import difflib
import enum
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from webhook import strictyaml


class Severity(enum.StrEnum):
    """Whether a finding has to be mended."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        line: from 1; None where it is about the file as a whole.
    """

    file: str
    line: int | None
    severity: Severity
    text: str

    def __str__(self) -> str:
        """As `FILE:LINE: severity: text`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.severity}: {self.text}"


def error(file: Path, line: int | None, text: str) -> Finding:
    """Something that will not work or will mislead whoever is woken by it."""
    return Finding(file=str(file), line=line, severity=Severity.ERROR, text=text)


def note(file: Path, line: int | None, text: str) -> Finding:
    """A fact about this installation that is worth knowing."""
    return Finding(file=str(file), line=line, severity=Severity.NOTE, text=text)


def likely(word: str, known: Collection[str]) -> str:
    """The end of a sentence: a question that names the likeliest of what is known; "" where none is like it."""
    found = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{found[0]}"?' if found else ""


def unreadable(file: Path, reason: OSError | strictyaml.Unreadable) -> Iterator[Finding]:
    """Why a file could not be read."""
    if isinstance(reason, OSError):
        yield error(file, None, f"cannot be read: {reason.strerror}")
    else:
        yield from (error(file, fault.place.line, fault.text) for fault in reason.faults)
