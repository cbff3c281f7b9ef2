"""`./dev demo [--once]`: a fault, its page and its resolve, on the real Prometheus and Alertmanager."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path

from tests.demo import story
from tests.demo.terminal import Terminal
from tests.world import process, staging

_STOPPED_BY_HAND = 130
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Return the exit status: 0, 1 when the page did not come in time, 130 when it was stopped before that."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="end by itself. Without a terminal it always does."
    )
    once = parser.parse_args().once
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a text file, as long as nobody replaced it
    stays = not once and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        return asyncio.run(_until_stopped(Terminal(), stays=stays))
    except BrokenPipeError:
        # Whoever read has left. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


async def _until_stopped(terminal: Terminal, *, stays: bool) -> int:
    telling = asyncio.create_task(_tell(terminal, stays=stays))
    stopped = False

    def stop() -> None:
        nonlocal stopped
        # Once: a second Ctrl-C must not interrupt the ending of the programs.
        if not stopped:
            stopped = True
            terminal.say("Ending Prometheus, Alertmanager and the service.", "quiet")
            telling.cancel()

    for number in _STOPPING:
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.wait({telling})
    if telling.cancelled():
        return _STOPPED_BY_HAND
    return telling.result()


async def _tell(terminal: Terminal, *, stays: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="phantommesh-demo-") as folder:
        try:
            told = await story.run(terminal, Path(folder), stays=stays)
        except (
            story.Failed,
            FileNotFoundError,
            TimeoutError,
            process.ProgramFailedError,
            staging.StagingError,
        ) as error:
            terminal.say(f"./dev demo: {error}", "bad")
            return 1
    return 0 if told.in_time else 1


if __name__ == "__main__":
    sys.exit(main())
