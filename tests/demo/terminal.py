"""What the demo prints: lines that stay, and below them one that says what is being waited for.

In a terminal the last line is written over as time passes. Elsewhere (a file, a pipe, CI) every line stays, and there
are no colours. NO_COLOR takes the colours away everywhere.
"""

import asyncio
import contextlib
import os
import shutil
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

Style = Literal["plain", "bold", "quiet", "good", "bad"]

WIDTH = 80
_CODES: dict[Style, str] = {"bold": "1", "quiet": "2", "good": "32", "bad": "1;31"}
_CLEAR_LINE = "\r\033[K"
_TICK_SECONDS = 0.5
_WAITING_INDENT = " " * 21


@dataclass(slots=True, kw_only=True)
class _Shown:
    what: str
    since: float


class Terminal:
    """Where to print, and what can be done there."""

    def __init__(self, stream: TextIO = sys.stdout, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self.live = stream.isatty() and environ.get("TERM") != "dumb"
        self._coloured = self.live and not environ.get("NO_COLOR")

    def say(self, text: str = "", style: Style = "plain") -> None:
        """A line that stays."""
        self._write(f"{self._painted(text, style)}\n", over=True)

    def paragraph(self, text: str, *, indent: str = "", style: Style = "plain") -> None:
        """Text that stays, broken into lines between its words. A word that is too long stays whole."""
        for line in textwrap.wrap(
            text, WIDTH - 1, initial_indent=indent, subsequent_indent=indent, break_long_words=False
        ):
            self.say(line, style)

    @contextlib.asynccontextmanager
    async def waiting(self, what: str) -> AsyncIterator[Callable[[str], None]]:
        """Say what is being waited for, "" for nothing worth a word, and in a terminal for how long already.

        Yields what says the next thing.
        """
        shown = _Shown(what=what, since=time.monotonic())

        def turn_to(following: str) -> None:
            shown.what = following
            if not self.live:
                self._show(shown)

        turn_to(what)
        ticking = asyncio.create_task(self._tick(shown)) if self.live else None
        try:
            yield turn_to
        finally:
            if ticking is not None:
                ticking.cancel()
                await asyncio.gather(ticking, return_exceptions=True)
                self._write("", over=True)

    async def _tick(self, shown: _Shown) -> None:
        while True:
            self._show(shown)
            await asyncio.sleep(_TICK_SECONDS)

    def _show(self, shown: _Shown) -> None:
        if not shown.what:
            return
        text = f"{_WAITING_INDENT}… {shown.what}"
        if not self.live:
            self.say(text)
            return
        line = f"{text}  {time.monotonic() - shown.since:.0f} s"
        columns = shutil.get_terminal_size().columns
        self._write(self._painted(line[: columns - 1], "quiet"), over=True)

    def _painted(self, text: str, style: Style) -> str:
        code = _CODES.get(style)
        return f"\033[{code}m{text}\033[0m" if self._coloured and code else text

    def _write(self, text: str, *, over: bool) -> None:
        self._stream.write(_CLEAR_LINE + text if self.live and over else text)
        self._stream.flush()
