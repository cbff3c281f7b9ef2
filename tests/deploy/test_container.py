"""The image of deploy/container, built and run: it accepts, commits and pages, is killed and comes back on its volume.

The rest of the world is real too: Prometheus on rules/, Alertmanager on deploy/alertmanager.yml.
"""

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
PROGRAM = "/opt/phantommesh-alerts/bin/phantommesh-alerts"
HEALTHY = "/opt/phantommesh-alerts/healthy.py"
LEFT = """
import importlib.util, os
print(*map(importlib.util.find_spec, ("pip", "hatchling")), *map(os.path.exists, ("/src", "/build")))
"""
REDIS = {
    "alertname": "ServiceDown",
    "severity": "critical",
    "priority": "P1",
    "cluster": "phantommesh",
    "namespace": "phantommesh-prod",
    "service": "redis",
}
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
    assert image["Config"]["Entrypoint"] == [PROGRAM]
    assert image["Healthcheck"]["Test"] == ["CMD", PYTHON, "-I", HEALTHY], "not CMD-SHELL"


async def test_it_has_what_people_run_in_it_and_nothing_of_the_build(
    tmp_path: Path, make: functools.partial[container.Contained]
) -> None:
    async with (
        serving.far_ends() as far,
        service.run(state_dir=tmp_path / "state", env=far.env, make=make) as running,
    ):
        assert isinstance(running, container.Contained)
        assert re.match(r"phantommesh-alerts \d", await running.inside(PROGRAM, "version"))
        assert "pagerduty" in await running.inside(PROGRAM, "route", "test", "priority=P1")
        assert "no errors" in await running.inside(PROGRAM, "check")
        left = await running.inside(PYTHON, "-I", "-c", LEFT)
        assert left.split() == ["None", "None", "False", "False"]
        port = running.url.rpartition(":")[2]
        await running.inside(PYTHON, "-I", HEALTHY, port)
        with pytest.raises(container.PodmanFailedError):
            await running.inside(PYTHON, "-I", HEALTHY, "1")
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
        await up.alertmanager.post_alerts([{"labels": REDIS, "annotations": {"summary": "redis is down"}}])
        await up.pagerduty.wait_for(
            lambda far: len(far.open_incidents()) == 2, timeout_seconds=_PAGED_SECONDS
        )
        told = [(event.outcome, event.payload["component"]) for event in up.pagerduty.events]
        assert told == [("opened", "vpn-core"), ("opened", "redis")], "nobody was paged twice"


async def open_incidents(url: str) -> set[str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return set(re.findall(r"/incidents/([0-9a-f]{32})", await answer.text()))
