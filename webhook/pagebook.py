"""Remembers what was paged past the store: in memory, and in a side file that survives the process."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from webhook import sidefile, unrecorded

FILE = "phantommesh-alerts.unrecorded.json"
"""In the state directory; not there while there is nothing to remember."""

MOST_PAGES = 1_000
_AGAIN_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Book:
    """The pages that wait to be recorded or heard of again, by incident.

    What cannot be written is kept in memory all the same, and said once.
    """

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / FILE
        self._pages: dict[str, unrecorded.Page] = {}
        self._changed = asyncio.Event()
        self._in_trouble = False
        self._one_at_a_time = threading.Lock()

    def __len__(self) -> int:
        return len(self._pages)

    async def open(self) -> None:
        """Know again what an earlier process left. A file that is of no use is put aside."""
        try:
            pages = await asyncio.to_thread(self._read)
        except (OSError, unrecorded.Unreadable) as fault:
            _log.error(
                "what was paged while the store was down cannot be read: see PagerDuty for pages that stay open",
                extra={"error": str(fault)},
            )
        else:
            self._pages = {page.incident_id: page for page in pages}

    def pages(self) -> Sequence[unrecorded.Page]:
        """All of them, the oldest first."""
        return tuple(self._pages.values())

    def page(self, incident_id: str) -> unrecorded.Page | None:
        """The one of this incident."""
        return self._pages.get(incident_id)

    def keep(self, page: unrecorded.Page) -> bool:
        """Remember a page, in place of an older one of its incident; False where there are too many."""
        if page.incident_id not in self._pages and len(self._pages) >= MOST_PAGES:
            return False
        self._pages[page.incident_id] = page
        self._changed.set()
        return True

    def forget(self, incident_id: str) -> None:
        """It is on record now."""
        if self._pages.pop(incident_id, None) is not None:
            self._changed.set()

    def rebase(self, by: timedelta) -> None:
        """Move the instants along with a clock that jumped."""
        for page in self.pages():
            if page.recorded_at is not None:
                self.keep(replace(page, recorded_at=page.recorded_at + by))

    async def write_down(self) -> None:
        """Keep the side file in step, for ever. Nobody waits for it: a disk that hangs must not hold up a page."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self.written():
                self._changed.set()
                await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Write down what is not yet written."""
        if self._changed.is_set():
            await self.written()

    async def written(self) -> bool:
        """Put the side file in step; whether that worked."""
        try:
            await asyncio.to_thread(self._write)
        except OSError as fault:
            if not self._in_trouble:
                self._in_trouble = True
                _log.warning(
                    "what was paged is kept in memory only: if this process ends now, close those pages by hand",
                    extra={"error": str(fault), "pages": len(self._pages)},
                )
            return False
        if self._in_trouble:
            self._in_trouble = False
            _log.info("what was paged is in the side file again")
        return True

    def _read(self) -> Sequence[unrecorded.Page]:
        content = sidefile.read(self._file)
        try:
            return unrecorded.decode(content) if content is not None else ()
        except unrecorded.Unreadable as fault:
            aside = self._file.with_suffix(".unreadable")
            self._file.replace(aside)
            raise unrecorded.Unreadable(f"{fault}; it is kept as {aside}") from fault

    def _write(self) -> None:
        with self._one_at_a_time:
            pages = self.pages()
            if pages:
                sidefile.write(self._file, unrecorded.encode(pages))
            else:
                sidefile.remove(self._file)
