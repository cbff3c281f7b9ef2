"""The runs on the real programs. They mostly wait, so all of them go at the same time and the tests share them."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import parts
from tests.acceptance import recording

_ADDRESS = re.compile(rb"http://127\.0\.0\.1:\d+/\S*")
_LATE = """
import sys
from tests.demo import __main__, story
story.HARD_LIMIT_SECONDS = 1.0
sys.exit(__main__.main())
"""
GENERATIONS = (parts.GENERATIONS[0], parts.GENERATIONS[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRun:
    """What the demo said and how it ended."""

    status: int | None
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminalRun(DemoRun):
    """The demo in a terminal, stopped by hand at its end. `pages` has the status of each address it printed."""

    pages: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The outcome of every run: a recording, or why there is none."""

    recordings: Mapping[str, recording.Recording | BaseException]
    demo: DemoRun | None
    late: DemoRun | None
    terminal: TerminalRun | None


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Every run, once a session."""
    return asyncio.run(_all_at_once(tmp_path_factory.mktemp("worlds")))


@pytest.fixture(scope="session")
def recorded(runs: Runs) -> Callable[[str], recording.Recording]:
    """The recording of a generation; skips where its programs are not here, and raises what broke the run."""

    def by_name(name: str) -> recording.Recording:
        outcome = runs.recordings.get(name)
        if outcome is None:
            pytest.skip(f"./dev parts has not brought {name}'s Prometheus and Alertmanager here")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return by_name


@pytest.fixture(scope="session")
def demo(runs: Runs) -> DemoRun:
    """The demo's run; skips where there is no Prometheus for it."""
    if runs.demo is None:
        pytest.skip("./dev parts has not brought the newest Prometheus and Alertmanager here")
    return runs.demo


@pytest.fixture(scope="session")
def late_demo(runs: Runs) -> DemoRun:
    """The demo's run when a page is waited for one second only; skips as `demo` does."""
    if runs.late is None:
        pytest.skip("./dev parts has not brought the newest Prometheus and Alertmanager here")
    return runs.late


@pytest.fixture(scope="session")
def in_a_terminal(runs: Runs) -> TerminalRun:
    """The demo's run in a terminal; skips as `demo` does."""
    if runs.terminal is None:
        pytest.skip("./dev parts has not brought the newest Prometheus and Alertmanager here")
    return runs.terminal


async def _all_at_once(folder: Path) -> Runs:
    found = {name: brought for name in GENERATIONS if (brought := parts.generation(name)) is not None}
    here = parts.generation(GENERATIONS[-1]) is not None
    demo = asyncio.create_task(_demo("-m", "tests.demo", "--once")) if here else None
    late = asyncio.create_task(_demo("-c", _LATE)) if here else None
    terminal = asyncio.create_task(_demo_in_a_terminal()) if here else None
    outcomes = await asyncio.gather(
        *(recording.record(brought, folder / name) for name, brought in found.items()),
        return_exceptions=True,
    )
    return Runs(
        recordings=dict(zip(found, outcomes, strict=True)),
        demo=None if demo is None else await demo,
        late=None if late is None else await late,
        terminal=None if terminal is None else await terminal,
    )


async def _demo(*arguments: str) -> DemoRun:
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments,
        cwd=parts.CHECKOUT, env={**os.environ, "NO_COLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    return DemoRun(status=child.returncode, output=output.decode())


async def _demo_in_a_terminal() -> TerminalRun:
    ours, theirs = os.openpty()
    # No display: a test must not open anybody's browser.
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR")
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.demo",
        cwd=parts.CHECKOUT, env={**env, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    pages: dict[str, int] = {}
    while chunk := await asyncio.to_thread(_read, ours):
        output += chunk
        if b"stays open" in output and not pages:
            pages = {
                address.decode(): await recording.status(address.decode())
                for address in _ADDRESS.findall(output)
            }
            child.send_signal(signal.SIGINT)
    os.close(ours)
    return TerminalRun(status=await child.wait(), output=output.decode(), pages=pages)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # how Linux says that the other side has closed it
        return b""
