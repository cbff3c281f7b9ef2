"""`./dev picture`: draw the README's picture, deploy/demo.svg, from a real run."""

import os
import platform
import sys
from pathlib import Path

from tests import parts
from tests.demo import drawing, ending, story
from tests.demo.terminal import Terminal

FILE = parts.CHECKOUT / "deploy" / "demo.svg"


def main() -> int:
    """Return the exit status: 0, 1 when the page did not come in time; then there is no new picture."""
    return ending.run(_draw)


async def _draw(terminal: Terminal, folder: Path) -> int:
    told = await story.run(terminal, folder, stays=False)
    if not told.in_time:
        return 1
    measured_on = f"{told.measured_on}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    FILE.write_text(drawing.svg(told.hops, measured_on=measured_on), encoding="utf-8")
    terminal.say(f"Drawn: {FILE.relative_to(parts.CHECKOUT)}, measured on {measured_on}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
