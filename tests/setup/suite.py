"""Runs every check and every test, and says at the end what ran, what failed and what could not run here.

Standard library only: it is started by the machine's own Python.
"""

import json
import os
import subprocess
import time
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.parts import CHECKOUT
from tests.setup.environment import VENV

# Two test runs in one checkout must not read each other's outcomes.
OUTCOMES = CHECKOUT / ".cache" / f"outcomes.{os.getpid()}.json"
NO_TESTS_COLLECTED = 5
# The longest test waits for real alerts to fire and to resolve: minutes. One that waits longer waits for ever.
HANGING_SECONDS = 480
# Many tests wait for others more than they work, hence one worker more than cores. tests/conftest.py says which tests
# stay together, and in which order. A worker that died has failed; it is not started again.
WORKERS = (
    f"-n{(os.cpu_count() or 1) + 1}",
    "--dist=loadscope",
    "--no-loadscope-reorder",
    "--max-worker-restart=0",
)
# Who looks at one test, or chooses the workers, gets what they asked for.
ONE_BY_ONE = (
    "-n",
    "--numprocesses",
    "-x",
    "--exitfirst",
    "--maxfail",
    "--pdb",
    "--trace",
    "-s",
    "--lf",
    "--sw",
)


@dataclass(slots=True, kw_only=True)
class Summary:
    """What has happened so far. `skipped` holds one reason a skipped test."""

    ran: list[str] = field(default_factory=list)
    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def run(pytest_arguments: list[str], missing: dict[str, str]) -> int:
    """Run everything; return the exit status.

    Args:
        pytest_arguments: handed on to pytest, to run fewer tests or to show more of them.
        missing: real parts that could not be brought here, each with the reason.
    """
    summary = Summary()
    # On CI everything can be installed, so that a green run must not hide a missing part.
    parts_required = bool(os.environ.get("CI"))
    if parts_required:
        summary.failed += [f"{part}: {reason}" for part, reason in missing.items()]
    for name, command in checks():
        _check(summary, name, command)
    _pytest(summary, pytest_arguments, parts_required=parts_required)
    report(summary, missing)
    return 1 if summary.failed else 0


def checks() -> list[tuple[str, list[str]]]:
    """Return the checks that are no tests, cheapest first."""
    tools = VENV / "bin"
    pyproject = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = "importlinter" in pyproject["tool"]
    return [
        ("ruff check", [f"{tools}/ruff", "check"]),
        ("ruff format", [f"{tools}/ruff", "format", "--check"]),
        ("mypy", [f"{tools}/mypy"]),
        *([("import-linter", [f"{tools}/lint-imports"])] if contracts else []),
    ]


def _check(summary: Summary, name: str, command: list[str]) -> None:
    print(f"\n── {name}", flush=True)
    started = time.monotonic()
    status = subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False).returncode
    summary.ran.append(f"{name} ({time.monotonic() - started:.1f} s)")
    if status:
        summary.failed.append(f"{name} (status {status})")
    else:
        summary.passed += 1


def _pytest(summary: Summary, arguments: list[str], *, parts_required: bool) -> None:
    print("\n── pytest", flush=True)
    started = time.monotonic()
    OUTCOMES.parent.mkdir(exist_ok=True)
    plugin = ["-p", "tests.setup.outcomes", f"--outcomes={OUTCOMES}"]
    hanging = ["-o", f"faulthandler_timeout={HANGING_SECONDS}", "-o", "faulthandler_exit_on_timeout=true"]
    workers = () if any(word.startswith(ONE_BY_ONE) for word in arguments) else WORKERS
    command = [f"{VENV}/bin/python", "-m", "pytest", "--durations=8", *plugin, *hanging, *workers, *arguments]
    status = subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False).returncode
    if not OUTCOMES.exists():
        summary.failed.append(f"pytest did not come to its end (status {status})")
        return
    outcomes: dict[str, Any] = json.loads(OUTCOMES.read_text(encoding="utf-8"))
    OUTCOMES.unlink()
    ran = outcomes["passed"] + len(outcomes["failed"])
    summary.ran.append(f"pytest: {ran} tests ({time.monotonic() - started:.1f} s)")
    summary.passed += outcomes["passed"]
    summary.failed += outcomes["failed"]
    for skip in outcomes["skipped"]:
        if parts_required and skip["needs_part"]:
            summary.failed.append(f"{skip['test']} was skipped: {skip['reason']}")
        else:
            summary.skipped.append(skip["reason"])
    if status and not outcomes["failed"]:
        words = "collected no test" if status == NO_TESTS_COLLECTED else f"ended with status {status}"
        summary.failed.append(f"pytest {words}")


def report(summary: Summary, missing: dict[str, str]) -> None:
    """Print the last lines: what ran, what failed, what could not run here and why, and the three sums."""
    print("\nRan: " + ", ".join(summary.ran))
    _list("Failed", summary.failed)
    reasons = [f"{part}: {reason}" for part, reason in missing.items()]
    reasons += [f"{reason} ({count} tests)" for reason, count in Counter(summary.skipped).most_common()]
    _list("Could not run here", reasons)
    print(
        f"{summary.passed} passed, {len(summary.failed)} failed, {len(summary.skipped)} skipped", flush=True
    )


def _list(title: str, lines: list[str]) -> None:
    print(f"{title}: nothing" if not lines else f"{title}:")
    for line in lines:
        print(f"  {line}")
