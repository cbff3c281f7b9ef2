"""A new version of the rules, loaded while alerts fire: nobody is told of a recovery that was none."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import parts
from tests.world import prometheus, web

RULES = Path(__file__).resolve().parents[2] / "rules"
VERSION = (RULES / "VERSION").read_text("utf-8").strip()
NEXT = "99.0.0"

CONFIG = """
global: {evaluation_interval: 1s}
rule_files: [rules/*.rules.yml]
alerting: {alertmanagers: [{static_configs: [{targets: ["127.0.0.1:9"]}]}]}
"""


def write_rules(folder: Path, version: str) -> None:
    """The rules as they are, but evaluated each second; a minute of waiting is two seconds, to keep this short."""
    (folder / "rules").mkdir(exist_ok=True)
    for file in RULES.glob("*.rules.yml"):
        text = file.read_text("utf-8").replace(f'"{VERSION}"', f'"{version}"')
        text = text.replace("interval: 15s", "interval: 1s").replace("for: 1m", "for: 2s")
        (folder / "rules" / file.name).write_text(text, "utf-8")


@pytest.fixture(params=[parts.GENERATIONS[0], parts.GENERATIONS[-1]])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[prometheus.Prometheus]:
    here = parts.generation(request.param)
    if here is None:
        pytest.skip(f"the {request.param} generation is not here: `./dev parts` brings it")
    write_rules(tmp_path, VERSION)
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG, "utf-8")
    async with prometheus.run(here, config, folder=tmp_path) as started:
        yield started


async def firing(running: prometheus.Prometheus) -> dict[str, tuple[str, str, str]]:
    """State, start and version of every missing P1 job, by job."""
    return {
        alert["labels"]["job"]: (alert["state"], alert["activeAt"], alert["annotations"]["ruleset_version"])
        for alert in await running.alerts()
        if alert["labels"]["alertname"] == "TelemetryMissing" and alert["labels"]["priority"] == "P1"
    }


@pytest.mark.real
async def test_a_reload_with_a_new_version_leaves_firing_alerts_firing(
    running: prometheus.Prometheus, tmp_path: Path
) -> None:
    await running.wait_alert("TelemetryMissing", "firing", timeout_seconds=30)
    before = await firing(running)
    assert {(state, version) for state, _, version in before.values()} == {("firing", VERSION)}
    write_rules(tmp_path, NEXT)

    async with aiohttp.ClientSession() as session, session.post(f"{running.url}/-/reload") as answer:
        assert answer.status == 200, await answer.text()

    await web.poll(
        f"{running.url}/api/v1/query?query=phantommesh_ruleset_info",
        lambda answer: [one["metric"]["version"] for one in answer["data"]["result"]] == [NEXT],
        timeout_seconds=30,
    )
    await web.poll(f"{running.url}/api/v1/alerts", only_the_next_version, timeout_seconds=30)
    # Firing, and since the same instant: what had begun anew would have a later one.
    assert await firing(running) == {job: ("firing", since, NEXT) for job, (_, since, _) in before.items()}


def only_the_next_version(answer: Any) -> bool:
    return {alert["annotations"]["ruleset_version"] for alert in answer["data"]["alerts"]} == {NEXT}
