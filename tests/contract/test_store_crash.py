"""What was acknowledged is there after the process was killed, whenever that was."""

import random
import subprocess
import sys
import time
from pathlib import Path

from routing import model
from webhook.store import sqlite

ROOT = Path(__file__).parents[2]
KILLS = 20


def accept_until_killed(state_dir: Path, first: int, after_seconds: float) -> list[int]:
    """Numbers of the messages that a process acknowledged until it was killed."""
    program = [sys.executable, "-m", "tests.contract.accept_until_killed", str(state_dir), str(first)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        head = process.stdout.readline()
        time.sleep(after_seconds)  # the instant of the kill is what is varied here
        process.kill()
        lines = (head + process.stdout.read()).splitlines(keepends=True)
    assert head, "it ended before it acknowledged anything"
    return [int(line) for line in lines if line.endswith(b"\n")]


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    instants = random.Random(20_261)
    acknowledged: list[int] = []
    for _ in range(KILLS):
        first = max(acknowledged, default=0) + 1000
        acknowledged += accept_until_killed(tmp_path, first, instants.uniform(0, 0.05))

    store = await sqlite.open_store(tmp_path)
    ids = {model.incident_id({"number": str(number)}): number for number in acknowledged}
    kept = await store.situations(ids)
    counts = await store.counts()
    await store.close()
    assert {ids[incident_id] for incident_id in kept} == set(acknowledged)
    assert all(situation.incident.open for situation in kept.values())
    assert counts.notifications >= len(acknowledged)
