"""Runbooks: which one an alert has, and what it says to do first, with the alert's own names filled in.

A page is Markdown. Its first line is `# Title`. Under `## First three minutes` stands a numbered list; each item is
a sentence, then at most one fenced block of shell commands. `{namespace}` in it stands for the alert's label of that
name. `${VAR}`, `{print $1}` and `{{.Names}}` are no placeholders and stay as they are.
"""

import functools
import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from routing import model

FIRST_SECTION = "First three minutes"

_PLACEHOLDER = re.compile(r"(?<![$%@#{\\])\{([A-Za-z_][A-Za-z0-9_]*)\}(?!\})")
_FENCE = re.compile(r"^(?P<indent>\s*)(?P<fence>`{3,}|~{3,})")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_ITEM = re.compile(r"^\s{0,3}\d{1,9}[.)]\s+(.*)$")
_SAFE_EVERYWHERE = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_CLOSED = re.compile(
    r"""(?:^|(?<=\s))\#[^\n]*     # a comment
      | '[^']*'                   # single quotes
      | "(?:[^"\\`$]|\\.|\$(?!\())*"   # double quotes in which nothing runs
      | \\.                       # one escaped character
    """,
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_LONGEST_VALUE_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to do, placeholders not yet filled.

    Attributes:
        sentence: on one line; of a link in it, its text.
        command: the lines of shell that do it; "" where there are none.
    """

    sentence: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a runbook says to do in the first minutes."""

    title: str
    steps: tuple[Step, ...]

    @property
    def first_command(self) -> str:
        """The first fenced block of the first minutes; "" where there is none."""
        return next((step.command for step in self.steps if step.command), "")


def find(labels: model.Labels, annotations: model.Labels, names: Collection[str]) -> str | None:
    """Which of the runbooks here an alert has: the one its `runbook_url` ends in, else the one of its own name."""
    for name in (_last_segment(annotations.get("runbook_url", "")), labels.get("alertname", "")):
        if name in names:
            return name
    return None


@functools.lru_cache(maxsize=256)
def parse(markdown: str) -> Page:
    """The title and the first minutes of a page; what is not in the page's format is left out, never an error."""
    lines = markdown.splitlines()
    title = _HEADING.match(lines[0]) if lines else None
    return Page(title=title[2] if title else "", steps=_steps(_section(lines)))


def fill(command: str, labels: model.Labels) -> str:
    """The command with the labels' values in it, quoted for a POSIX shell; `<name>` for what cannot be filled.

    That is a missing label, and a value that no quoting makes safe at its place: one that reads as an option,
    one inside quotes that needs quotes itself, one of more than 1,000 characters. Characters that do not show
    become U+FFFD, so a value can neither end the line nor type keys into a terminal.
    """
    return _PLACEHOLDER.sub(lambda found: _filled(found, labels), command)


def _filled(found: re.Match[str], labels: model.Labels) -> str:
    name = found[1]
    value = labels.get(name, "")
    if not value or len(value) > _LONGEST_VALUE_CHARACTERS or value.startswith("-"):
        return f"<{name}>"
    if _SAFE_EVERYWHERE.fullmatch(value):
        return value
    if not _outside_quotes(found.string[: found.start()]):
        return f"<{name}>"
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in value
    )
    return shlex.quote(shown)


def _outside_quotes(before: str) -> bool:
    """Whether the end of this text is surely outside every shell quoting. In doubt it is not."""
    if "<<" in before or "$'" in before:
        return False
    return not any(mark in _CLOSED.sub("", before) for mark in "'\"`")


def _last_segment(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    return unquote(path.rstrip("/").rpartition("/")[2]).removesuffix(".md")


def _section(lines: list[str]) -> list[str]:
    """The lines between the section's heading and the next heading of its level or above."""
    found: list[str] = []
    inside, fence = False, ""
    for text in lines:
        fence = _fence_after(text, fence)
        heading = None if fence else _HEADING.match(text)
        if heading and len(heading[1]) <= 2:  # noqa: PLR2004 - the level of `##`
            inside = heading[2] == FIRST_SECTION
        elif inside:
            found.append(text)
    return found


def _steps(lines: list[str]) -> tuple[Step, ...]:
    sentences: list[list[str]] = []
    commands: list[list[str]] = []
    fence, indent, reading = "", 0, False
    for text in lines:
        was, fence = fence, _fence_after(text, fence)
        opening = _FENCE.match(text) if fence and not was else None
        item = None if was or fence else _ITEM.match(text)
        if item:
            sentences.append([item[1]])
            commands.append([])
            reading = True
        elif opening:
            indent, reading = len(opening["indent"]), False
        elif was and fence and commands:
            commands[-1].append(text[min(indent, len(text) - len(text.lstrip())) :])
        elif not text.strip():
            reading = False
        elif reading:
            sentences[-1].append(text.strip())
    return tuple(
        Step(sentence=_LINK.sub(r"\1", " ".join(sentence)).strip(), command="\n".join(command).strip())
        for sentence, command in zip(sentences, commands, strict=True)
    )


def _fence_after(text: str, fence: str) -> str:
    """The fence that is open after this line: the one that was, a new one, or none."""
    found = _FENCE.match(text)
    if not found:
        return fence
    if not fence:
        return found["fence"]
    closes = found["fence"].startswith(fence) and not text.strip().strip(fence[0])
    return "" if closes else fence
