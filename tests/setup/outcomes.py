"""A pytest plugin that writes down what passed, failed and was skipped, for `./dev test` to sum up."""

import json
from pathlib import Path
from typing import Any

import pytest

# Tests with these marks need a program that `./dev test` brings.
PART_MARKS = ("real", "browser", "container", "systemd")


class Recorder:
    """Collects the outcome of every test and of every file that could not be collected."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.passed = 0
        self.failed: set[str] = set()
        self.skipped: list[dict[str, object]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed and report.when == "call":
            self.passed += 1
        self._note(report, needs_part=any(mark in report.keywords for mark in PART_MARKS))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report, needs_part=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker of pytest-xdist has ended; with an error when it did not end as it should."""
        if error:
            self.failed.add(f"pytest's worker {node.gateway.id}: {error}")

    def _note(self, report: pytest.TestReport | pytest.CollectReport, *, needs_part: bool) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        if report.skipped:
            # pytest gives a skip as (file, line, "Skipped: reason") and an expected failure as a traceback.
            place = report.longrepr
            text = str(place[2]) if isinstance(place, tuple) else getattr(report, "wasxfail", str(place))
            reason = text.removeprefix("Skipped: ")
            self.skipped.append({"test": report.nodeid, "reason": reason, "needs_part": needs_part})

    def pytest_sessionfinish(self) -> None:
        sums = {"passed": self.passed, "failed": sorted(self.failed), "skipped": self.skipped}
        self.file.write_text(json.dumps(sums), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--outcomes", type=Path, help="write what passed, failed and was skipped to this file")


def pytest_configure(config: pytest.Config) -> None:
    file = config.getoption("--outcomes")
    # With several workers it is the one that starts them that hears of every outcome.
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(file))
