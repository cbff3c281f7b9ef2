"""The pair of Alertmanagers that deploy/README.md describes, with the flags that stand there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests import parts
from tests.world import alertmanager, ports, web

DEPLOY = parts.CHECKOUT / "deploy"
GENERATIONS = [parts.GENERATIONS[0], parts.GENERATIONS[-1]]


def flags() -> dict[str, str]:
    """The flags of the README's command for a pair."""
    section = (DEPLOY / "README.md").read_text("utf-8").partition("## A pair of Alertmanagers")[2]
    command = section.partition("```sh\n")[2].partition("```")[0].replace("\\\n", " ")
    program, *words = shlex.split(command)
    assert program == "alertmanager"
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def test_the_readme_shows_a_peer_and_where_to_listen_for_it() -> None:
    shown = flags()
    assert set(shown) == {"config.file", "storage.path", "cluster.listen-address", "cluster.peer"}
    assert shown["config.file"] == "deploy/alertmanager.yml"
    assert shown["cluster.listen-address"].rpartition(":")[2] == shown["cluster.peer"].rpartition(":")[2]


@pytest.mark.real
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_two_with_the_same_file_find_each_other(generation: str, tmp_path: Path) -> None:
    here = parts.generation(generation)
    if here is None:
        pytest.skip(f"the {generation} generation is not here: `./dev parts` brings it")
    config = tmp_path / "alertmanager.yml"
    # Away from its secrets: it cannot post to whatever listens on port 9095.
    config.write_text((DEPLOY / "alertmanager.yml").read_text("utf-8"), "utf-8")
    first, second = (f"127.0.0.1:{ports.free()}" for _ in range(2))
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    async with (
        alertmanager.run(here, config, folder=folders[0], cluster_address=first, peers=[second]) as one,
        alertmanager.run(here, config, folder=folders[1], cluster_address=second, peers=[first]) as other,
    ):
        for running in (one, other):
            await web.poll(f"{running.url}/api/v2/status", both, timeout_seconds=30)


def both(status: dict[str, Any]) -> bool:
    addresses = {peer["address"] for peer in status["cluster"]["peers"]}
    return len(addresses) == 2 and all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in addresses)
