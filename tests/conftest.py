"""For all tests: how they are shared out among several workers, and how property tests are run.

Property tests have no deadline: a busy machine is no defect, and speed is proved in benchmarks. CI tries the same
examples each time, so that what it says is about the change; new ones are tried wherever else the tests run.
"""

import os
from collections.abc import Generator, Sequence
from typing import Any

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("specification", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("specification")

# A file's tests stay together on one worker: they share what the file starts. So do the tests of the files that share a
# group here, because they must not run at the same time:
#   runs   starts a Prometheus. Each takes inotify instances, and Linux gives a user 128: where they run out, Prometheus
#          finds no Alertmanager, without a word.
#   image  builds and runs containers.
GROUPS = {
    "tests/acceptance/test_blindness.py": "runs",
    "tests/acceptance/test_demo.py": "runs",
    "tests/acceptance/test_end_to_end.py": "runs",
    "tests/rules/test_raised.py": "runs",
    "tests/rules/test_reload.py": "runs",
}
# Whoever starts last is waited for at the end.
LONGEST_FIRST = ("runs", "image", "tests/rules/test_mutants.py", "tests/rules/test_rules.py")


def group(nodeid: str) -> str:
    """Which tests a test stays together with."""
    file = nodeid.partition("::")[0]
    return GROUPS.get(file, file)


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives each group to the next worker that is free."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    # Not by the mark `xdist_group`: pytest-xdist 3.8 loses it under pytest 9.2.
    return ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the groups, the longest first."""
    items.sort(key=lambda item: _turn(LONGEST_FIRST, group(item.nodeid)))


def _turn(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, object, object]:
    """Let a report with a lone surrogate reach the controller: hostile texts are what many tests are about."""
    return _encodable((yield))


def _encodable(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case dict():
            return {_encodable(key): _encodable(entry) for key, entry in value.items()}
        case list() | tuple():
            return type(value)(_encodable(entry) for entry in value)
    return value
