"""How a run of the demo ends: by itself, by Ctrl-C, because something failed, or because nobody reads any more."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.demo import story
from tests.demo.terminal import Terminal
from tests.world import process, staging

Work = Callable[[Terminal, Path], Coroutine[Any, Any, int]]
"""Tells something, with its files under a folder; returns the exit status."""

_STOPPED_BY_HAND = 130
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(work: Work) -> int:
    """Do the work in a folder of its own and leave nothing behind, however it ends; return the exit status."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text file, as long as nobody replaced it
    try:
        return asyncio.run(_until_stopped(work, Terminal()))
    except BrokenPipeError:
        # Whoever read has left. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


async def _until_stopped(work: Work, terminal: Terminal) -> int:
    working = asyncio.create_task(_explained(work, terminal))
    stopped = False

    def stop() -> None:
        nonlocal stopped
        # Once: a second Ctrl-C must not interrupt the ending of the programs.
        if not stopped:
            stopped = True
            terminal.say("Ending Prometheus, Alertmanager and the service.", "quiet")
            working.cancel()

    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.wait({working})
    return _STOPPED_BY_HAND if working.cancelled() else working.result()


async def _explained(work: Work, terminal: Terminal) -> int:
    with tempfile.TemporaryDirectory(prefix="phantommesh-demo-") as folder:
        try:
            return await work(terminal, Path(folder))
        except (
            story.Failed,
            FileNotFoundError,
            TimeoutError,
            process.ProgramFailedError,
            staging.StagingError,
        ) as error:
            terminal.say(f"./dev demo: {error}", "bad")
            return 1
