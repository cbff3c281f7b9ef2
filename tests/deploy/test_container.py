"""The image of deploy/container, built and run: it accepts, commits and pages, is killed and comes back on its volume.

The rest of the world is real too: Prometheus on rules/, Alertmanager on deploy/alertmanager.yml.
"""

import asyncio
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import parts
from tests.acceptance import serving
from tests.world import container, service, stack

IMAGE = "localhost/phantommesh-alerts"
PYTHON = "/opt/phantommesh-alerts/bin/python"
LARGEST_BYTES = 250 * 1000 * 1000
_PAGED_SECONDS = 100.0

pytestmark = [
    pytest.mark.container,
    pytest.mark.skipif(bool(parts.no_containers()), reason=parts.no_containers()),
]


@pytest.fixture(scope="module")
def podman() -> Iterator[container.Podman]:
    """Podman that has built the image."""
    with container.podman() as running:
        running.build(IMAGE)
        yield running


@pytest.fixture
def make(podman: container.Podman) -> functools.partial[container.Contained]:
    return functools.partial(container.Contained, with_podman=podman, image=IMAGE)


def config_of(podman: container.Podman) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(podman.run("image", "inspect", IMAGE))
    return found[0]


def test_it_is_small_and_runs_without_root_and_without_a_shell(podman: container.Podman) -> None:
    image = config_of(podman)
    assert image["Size"] < LARGEST_BYTES
    assert image["Config"]["User"] == "65532:65532"
    assert image["Config"]["Entrypoint"] == ["/opt/phantommesh-alerts/bin/phantommesh-alerts"]
    assert image["Healthcheck"]["Test"][:2] == ["CMD", PYTHON], "not CMD-SHELL"


def test_nothing_of_the_build_is_left_in_it(podman: container.Podman) -> None:
    found = podman.run(
        "run", "--rm", "--network=none", "--ulimit=host", "--entrypoint", PYTHON, IMAGE, "-c",
        "import os, importlib.util as u; "
        "print(u.find_spec('pip'), u.find_spec('hatchling'), os.path.exists('/src'), os.path.exists('/build'))",
    )  # fmt: skip
    assert found.split() == ["None", "None", "False", "False"]


def test_every_command_that_needs_no_service_works_in_it(podman: container.Podman) -> None:
    run = ("run", "--rm", "--network=none", "--ulimit=host", "--read-only", "--cap-drop=all", IMAGE)
    assert re.match(r"phantommesh-alerts \d", podman.run(*run, "version"))
    assert "pagerduty" in podman.run(*run, "route", "test", "alertname=ServiceDown", "priority=P1")
    assert "no errors" in podman.run(*run, "check")


async def test_its_health_check_says_whether_it_answers(
    tmp_path: Path, podman: container.Podman, make: functools.partial[container.Contained]
) -> None:
    async with (
        serving.far_ends() as far,
        service.run(state_dir=tmp_path / "state", env=far.env, make=make) as running,
    ):
        assert isinstance(running, container.Contained)
        port = running.url.rpartition(":")[2]

        async def checked(port: str) -> bool:
            words = ("exec", running.name, PYTHON, "-I", "/opt/phantommesh-alerts/healthy.py", port)
            try:
                await asyncio.to_thread(podman.run, *words)
            except container.PodmanFailedError:
                return False
            return True

        assert await checked(port)
        assert not await checked("1")
        assert await running.stop() == 0, "SIGTERM reaches it"


@pytest.mark.real
async def test_it_pages_what_prometheus_finds_and_is_still_there_after_a_kill(
    tmp_path: Path, make: functools.partial[container.Contained]
) -> None:
    generation = parts.generation(parts.GENERATIONS[-1])
    if generation is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    async with stack.run(generation, tmp_path, make=make) as up:
        up.mesh.break_service("vpn-core")
        await up.pagerduty.wait_for(
            lambda far: len(far.open_incidents()) == 1, timeout_seconds=_PAGED_SECONDS
        )
        before = await open_incidents(up.service.url)
        await up.service.kill()
        await up.service.start()
        assert await open_incidents(up.service.url) == before, "it is on the volume"
        up.mesh.break_service("redis")
        await up.pagerduty.wait_for(
            lambda far: len(far.open_incidents()) == 2, timeout_seconds=_PAGED_SECONDS
        )
        told = [(event.outcome, event.payload["component"]) for event in up.pagerduty.events]
        assert told == [("opened", "vpn-core"), ("opened", "redis")], "nobody was paged twice"


async def open_incidents(url: str) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return set(re.findall(r"/incidents/([0-9a-f]{32})", await answer.text()))
