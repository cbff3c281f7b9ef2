"""The way past the service, with the service really killed: the real Alertmanager pages PagerDuty by itself."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests import parts
from tests.standins import incidents, pagerduty
from tests.world import alertmanager, ports, service

DEPLOY = parts.CHECKOUT / "deploy"
OURS = "A" * 32
NATIVE = "B" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
PAGE_SECONDS = 45
"""What Alertmanager and PagerDuty have of a P1's 60 s, with room for a busy machine."""

pytestmark = [pytest.mark.real]


@pytest.fixture(params=[parts.GENERATIONS[0], parts.GENERATIONS[-1]])
def here(request: pytest.FixtureRequest) -> parts.Parts:
    found = parts.generation(request.param)
    if found is None:
        pytest.skip(f"the {request.param} generation is not here: `./dev parts` brings it")
    return found


@asynccontextmanager
async def shipped(
    here: parts.Parts, folder: Path, *, service_url: str, far: pagerduty.PagerDuty
) -> AsyncIterator[alertmanager.Alertmanager]:
    """Alertmanager on deploy/alertmanager.yml with other addresses and nothing else changed."""
    (folder / "secrets").mkdir()
    (folder / "secrets" / "webhook_token").write_text(TOKEN)
    (folder / "routing_key").write_text(NATIVE)
    text = (DEPLOY / "alertmanager.yml").read_text("utf-8")
    for shipped_, here_ in {
        "http://localhost:9095": service_url,
        "/etc/phantommesh-alerts/pagerduty_routing_key": str(folder / "routing_key"),
    }.items():
        assert text.count(shipped_) == 1
        text = text.replace(shipped_, here_)
    config = folder / "alertmanager.yml"
    config.write_text(f"global:\n  pagerduty_url: {far.url}{far.post_path}\n{text}", "utf-8")
    async with alertmanager.run(here, config, folder=folder) as running:
        yield running


def about(name: str, far: pagerduty.PagerDuty, key: str) -> list[incidents.Incident]:
    return [
        one for one in far.incidents if one.routing_key == key and name in str(one.opened.payload["summary"])
    ]


async def test_alertmanager_pages_past_a_service_that_was_killed(here: parts.Parts, tmp_path: Path) -> None:
    """And what the service missed, it tells when it is back; the native page then ends by itself."""
    down = {"alertname": "ServiceDown", "service": "vpn-core", "priority": "P1", "cluster": "a"}
    own = {
        "alertname": "AlertsServiceDown",
        "service": "phantommesh-alerts",
        "priority": "P1",
        "route": "native",
    }
    far = pagerduty.PagerDuty(keys={OURS: "PhantomMesh", NATIVE: "The way past it"})
    async with far:
        env = {
            "PAGERDUTY_SERVICE_KEY": OURS,
            "PAGERDUTY_EVENTS_URL": far.url,
            "WEBHOOK_TOKEN": TOKEN,
        }
        async with (
            service.run(state_dir=tmp_path / "state", env=env, port=ports.free()) as ours,
            shipped(here, tmp_path, service_url=ours.url, far=far) as running,
        ):
            await ours.kill()
            text = 'P1 that fire now: ServiceDown "{{ .Nope }}" vpn-core.'
            await running.post_alerts(
                [
                    {"labels": down, "annotations": {"summary": "vpn-core is down"}},
                    {
                        "labels": {**own, "instance": "{{ boom"},
                        "annotations": {"summary": "nobody is told", "description": text},
                    },
                ]
            )
            await far.wait_for(
                lambda seen: about("AlertsServiceDown", seen, NATIVE), timeout_seconds=PAGE_SECONDS
            )
            assert about("vpn-core", far, OURS) == [], "it is dead"

            await ours.start()
            await far.wait_for(lambda seen: about("vpn-core", seen, OURS), timeout_seconds=PAGE_SECONDS)
            await running.post_alerts(
                [
                    {
                        "labels": {**own, "instance": "{{ boom"},
                        "annotations": {"summary": "nobody is told", "description": text},
                        "endsAt": "2026-01-01T00:00:01Z",
                        "startsAt": "2026-01-01T00:00:00Z",
                    }
                ]
            )
            await far.wait_for(
                lambda seen: about("AlertsServiceDown", seen, NATIVE)[0].resolved,
                timeout_seconds=PAGE_SECONDS,
            )
    (native,) = about("AlertsServiceDown", far, NATIVE)
    assert native.opened.payload["summary"] == "AlertsServiceDown: nobody is told"
    assert native.opened.payload["severity"] == "critical"
    details = native.opened.payload["custom_details"]
    assert 'ServiceDown \\"{ .Nope }}\\" vpn-core.' in details["description"]
    assert {str(details["firing"]), str(details["num_firing"])} == {"1"}
    assert {one.routing_key for one in far.incidents} == {OURS, NATIVE}
    assert len(far.incidents) == 2, "neither was told by the other way too"


@pytest.mark.parametrize("name", ["labels", "annotations"])
async def test_no_text_in_an_alert_costs_the_native_page(
    here: parts.Parts, tmp_path: Path, name: str
) -> None:
    """Alertmanager 0.33 expands details a second time: `{{` in a text was an error that it never tried again."""
    texts = [
        "{{ boom",
        "{{{{ boom }}",
        "{{ .Nope }}",
        "a: b: c",
        "{ a: 1 }",
        "[1, 2",
        "\"'\\{{",
        "%s %q",
        "- x",
    ]
    far = pagerduty.PagerDuty(keys={NATIVE: "The way past it"})
    async with far, shipped(here, tmp_path, service_url="http://127.0.0.1:1", far=far) as running:
        for number, text in enumerate(texts):
            alert = {
                "labels": {"alertname": f"Native{number}", "route": "native"},
                "annotations": {"summary": "summary", "description": "description"},
            }
            hostile = {"instance": text} if name == "labels" else {"description": text, "runbook_url": text}
            await running.post_alerts([{**alert, name: {**alert[name], **hostile}}])
        await far.wait_for(lambda seen: len(seen.incidents) == len(texts), timeout_seconds=PAGE_SECONDS)
