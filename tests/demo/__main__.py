"""`./dev demo [--once]`: a fault, its page and its resolve, on the real Prometheus and Alertmanager."""

import argparse
import sys
from pathlib import Path

from tests.demo import ending, story
from tests.demo.terminal import Terminal


def main() -> int:
    """Return the exit status: 0, 1 when the page did not come in time, 130 when it was stopped before that."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument(
        "--once", action="store_true", help="end by itself. Without a terminal it always does."
    )
    stays = not parser.parse_args().once and sys.stdin.isatty() and sys.stdout.isatty()

    async def work(terminal: Terminal, folder: Path) -> int:
        told = await story.run(terminal, folder, stays=stays)
        return 0 if told.in_time else 1

    return ending.run(work)


if __name__ == "__main__":
    sys.exit(main())
