"""The guide is complete: every setting, variable and metric is described, and every command that is shown exists."""

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from tests import parts
from tests.docs import reference
from webhook import cli

GUIDES = [
    parts.CHECKOUT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "deploy/README.md",
        "deploy/OPERATIONS.md",
        "deploy/kubernetes/README.md",
    )
]


def test_the_reference_is_current() -> None:
    assert reference.REFERENCE.read_text("utf-8") == reference.text(), "run ./dev docs"


def test_every_setting_is_described_and_no_other() -> None:
    told = reference.meanings()["keys"]
    assert set(told) == set(reference.keys()), "mend tests/docs/meanings.yml, then run ./dev docs"
    assert all(told.values())


def test_every_variable_is_described_and_no_other() -> None:
    told = reference.meanings()["variables"]
    assert set(told) == set(reference.variables()), "mend tests/docs/meanings.yml, then run ./dev docs"
    assert all(told.values())


def test_every_metric_is_described() -> None:
    families = reference.families()
    assert len(families) > 20
    assert all(name.startswith("phantommesh_alerts_") for name, *_ in families)
    assert [name for name, _, _, meaning in families if not meaning.endswith(".")] == []


def test_the_walk_finds_keys_of_every_depth() -> None:
    assert {
        "route.routes[].matchers",
        "destinations.NAME.failover.after_seconds",
        "destinations.NAME.webhook.env",
        "sources.expected[].cluster",
        "tls.cert",
    } <= set(reference.keys())


def commands(text: str) -> Iterator[str]:
    """Each command of ours in a shell block, joined where it goes on in the next line."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(
                r"(?:^|[ /])phantommesh-alerts ((?!serve\b.*\$)[a-z].*)", line.partition(" #")[0]
            )
            if found:
                yield re.split(r" [|>&<]|;", found[1])[0]


SHOWN = [(path, command) for path in GUIDES for command in commands(path.read_text("utf-8"))]


def test_the_guides_show_commands() -> None:
    assert len(SHOWN) > 5


@pytest.mark.parametrize(
    ("command"), [command for _, command in SHOWN], ids=[f"{path.name}: {command}" for path, command in SHOWN]
)
def test_a_command_that_a_guide_shows_exists(command: str) -> None:
    words = shlex.split(command)
    current: click.Command = cli.main
    while isinstance(current, click.Group):
        name = words.pop(0)
        assert name in current.commands, command
        current = current.commands[name]
    options = {option for parameter in current.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, command
