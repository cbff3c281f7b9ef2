"""The whole service beside a real Alertmanager that just started: it proves nothing yet, and so nothing resolves."""

from pathlib import Path

import pytest

from tests import parts
from tests.acceptance import serving
from tests.world import alertmanager, service, web

pytestmark = pytest.mark.real

_CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


async def test_a_resolve_waits_for_proof_until_nobody_can_be_asked(tmp_path: Path) -> None:
    found = parts.generation(parts.GENERATIONS[-1])
    if found is None:
        pytest.skip("./dev parts has not brought the newest Alertmanager here")
    config = tmp_path / "alertmanager.yml"
    config.write_text(_CONFIG)
    async with serving.far_ends() as far, alertmanager.run(found, config, folder=tmp_path) as asked:
        env = far.env | {"ALERTMANAGER_URL": asked.url}
        async with service.run(state_dir=tmp_path / "state", env=env) as running:
            assert await serving.post(running, "vpn-core", "P1") == 200
            await far.paged("vpn-core")
            assert await serving.post(running, "vpn-core", "P1", resolved=True) == 200

            await web.poll_text(
                f"{running.url}/metrics",
                f'phantommesh_alerts_alertmanager_up{{alertmanager="{asked.url}"}} 1.0',
                timeout_seconds=30,
            )
            _, metrics = await serving.ask(running, "/metrics")
            assert f'phantommesh_alerts_alertmanager_believed{{alertmanager="{asked.url}"}} 0.0' in metrics
            _, page = await serving.ask(running, "/")
            assert f"<b>{asked.url}</b>" in page
            assert "not believed" in page
            assert "Recovery unconfirmed: Alertmanager said that it resolved" in page
            assert [event.action for event in far.pagerduty.events] == ["trigger"]

            del running.env["ALERTMANAGER_URL"]
            await running.restart()
            await far.pagerduty.wait_for(
                lambda seen: [event.action for event in seen.events] == ["trigger", "resolve"],
                timeout_seconds=30,
            )
