"""The audit of what is installed with the service: pinned, hashed, wanted, and under a licence that allows it.

What it cannot say, because no database of vulnerabilities is reached from here: whether a version has a known fault or
was yanked. SECURITY.md says which command asks.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from email.message import Message

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "deploy/container/build.lock")
ALLOWED = {
    "Apache Software License",
    "Apache-2.0",
    "BSD License",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "MIT",
    "MIT License",
    "Mozilla Public License 2.0 (MPL 2.0)",
    "PSF-2.0",
    "Python Software Foundation License",
}
ELSEWHERE: set[str] = set()
"""Asked for on other platforms or by other Pythons only; the lock file serves them all."""


def pinned(lock: str) -> dict[str, tuple[str, int]]:
    """Of each distribution in a lock file: its version, and how many hashes it has."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (CHECKOUT / lock).read_text()):
        head = re.match(r"([\w.-]+)==([\w.]+)", entry)
        assert head, f"{lock}: {entry.splitlines()[0]!r} pins no version"
        found[normal(head[1])] = (head[2], entry.count("--hash=sha256:"))
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted_by(name: str) -> set[str]:
    """What a distribution asks for on this machine, without extras."""
    asked = map(Requirement, metadata.requires(name) or ())
    return {normal(one.name) for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_file_that_pip_takes_is_named_by_its_hash(lock: str) -> None:
    assert {name for name, (_, hashes) in pinned(lock).items() if not hashes} == set()


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/container/build.lock"])
def test_what_is_shipped_is_what_was_tested(lock: str) -> None:
    tested = pinned("requirements-dev.lock")
    assert {name: version for name, (version, _) in pinned(lock).items() if tested[name][0] != version} == {}


def test_nothing_is_installed_that_nothing_asks_for() -> None:
    reached, todo = set(), wanted_by("phantommesh-alerts")
    while todo:
        name = todo.pop()
        reached.add(name)
        todo |= wanted_by(name) - reached
    assert pinned("requirements.lock").keys() - ELSEWHERE == reached - ELSEWHERE


def licences(name: str) -> set[str]:
    about = cast("Message", metadata.metadata(name))
    if expression := about.get("License-Expression"):
        return set(re.split(r" (?:AND|OR) ", expression.strip("()")))
    classified = {
        entry.rpartition(" :: ")[2]
        for entry in about.get_all("Classifier", [])
        if entry.startswith("License ::")
    } - {"OSI Approved"}
    return classified or {about.get("License", "unknown").splitlines()[0]}


def test_every_licence_is_one_that_allows_this() -> None:
    installed = {normal(one.metadata["Name"]) for one in metadata.distributions()}
    others = {
        (name, licence)
        for name in pinned("requirements.lock").keys() & installed
        for licence in licences(name)
        if licence not in ALLOWED
    }
    assert others == set()
