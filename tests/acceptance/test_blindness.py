"""Prometheus is cut off from Alertmanager and comes back: the real ones, and what PagerDuty hears of it.

While it is cut off its alerts expire, and Alertmanager says that they resolved. One of two really ends meanwhile.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from routing import model, peers
from tests import parts
from tests.contract import resynced
from tests.standins import pagerduty
from tests.world import ports, prometheus, relay, stack
from webhook import config, delivering

pytestmark = pytest.mark.real

RESEND = timedelta(seconds=2)
# In the same proportion to the resend-delay as with an operator.
BOUNDS = peers.Bounds(
    grown_up=timedelta(seconds=4), fresh=RESEND * 3, settled=RESEND * 2, late=timedelta(seconds=2)
)
_ENDS_AFTER_SECONDS = 35.0
_DEADLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything running: both alerts fire, and PagerDuty was told of both."""

    world: resynced.World
    pagerduty: pagerduty.PagerDuty
    relay: relay.Relay
    ends_at: datetime
    """When CertificateExpiringSoon ends in Prometheus. ServiceDown does not."""


@asynccontextmanager
async def scene(folder: Path, generation: str) -> AsyncIterator[Scene]:
    async with AsyncExitStack() as running:
        world = await running.enter_async_context(resynced.run(folder, generation, BOUNDS))
        far = await running.enter_async_context(pagerduty.serve(keys={stack.ROUTING_KEY: "PhantomMesh"}))
        await running.enter_async_context(_delivering(world, far))
        port = ports.free()
        there = await running.enter_async_context(world.start(port=port))
        between = await running.enter_async_context(relay.run(port))
        ends_at = datetime.now(UTC) + timedelta(seconds=_ENDS_AFTER_SECONDS)
        await running.enter_async_context(
            prometheus.run(
                world.parts,
                _rules(folder, between.port, ends_at),
                folder=folder,
                options=[f"--rules.alert.resend-delay={RESEND.total_seconds():.0f}s"],
            )
        )
        world.believes(there)
        yield Scene(world=world, pagerduty=far, relay=between, ends_at=ends_at)


@asynccontextmanager
async def _delivering(world: resynced.World, far: pagerduty.PagerDuty) -> AsyncIterator[None]:
    environ = {"PAGERDUTY_SERVICE_KEY": stack.ROUTING_KEY, "PAGERDUTY_EVENTS_URL": far.url}
    service = delivering.Delivering(store=world.store, runbooks={}, emit=lambda _: None, dry_run=False)
    await service.take(config.load(None, environ))
    world.changed.append(service.wake)
    running = asyncio.create_task(service.run())
    try:
        yield
    finally:
        service.stop()
        await running


def _rules(folder: Path, alertmanager_port: int, ends_at: datetime) -> Path:
    labels = {"priority": "P1", "severity": "critical"}
    rules = [
        {"alert": "Watchdog", "expr": "vector(1)"},
        {"alert": "ServiceDown", "expr": "vector(1)", "labels": labels},
        {
            "alert": "CertificateExpiringSoon",
            "expr": f"vector(time()) < {ends_at.timestamp():.0f}",
            "labels": labels,
        },
    ]
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    target = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}
    file = folder / "prometheus.yml"
    file.write_text(
        json.dumps(
            {
                "global": {"evaluation_interval": "1s", "external_labels": {"cluster": "eu-1"}},
                "rule_files": ["rules.yml"],
                "alerting": {"alertmanagers": [target]},
            }
        )
    )
    return file


def told(far: pagerduty.PagerDuty) -> dict[str, list[str]]:
    """The actions that PagerDuty took, by the alert's name."""
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for event in far.events:
        if event.action == "trigger":
            names[event.dedup_key] = event.payload["class"]
        found.setdefault(names[event.dedup_key], []).append(event.action)
    return found


@pytest.mark.parametrize("generation", [parts.GENERATIONS[0], parts.GENERATIONS[-1]])
async def test_a_blind_alertmanager_resolves_nothing_at_pagerduty(tmp_path: Path, generation: str) -> None:
    triggered = {"ServiceDown": ["trigger"], "CertificateExpiringSoon": ["trigger"]}
    async with scene(tmp_path, generation) as running:
        await running.pagerduty.wait_for(
            lambda far: told(far) == triggered, timeout_seconds=_DEADLINE_SECONDS
        )
        await running.relay.cut()

        def both_recover(now: resynced.Incidents) -> bool:
            return all(resynced.alert_of(one).recovers_at for one in now.values())

        await running.world.until(both_recover)
        await asyncio.sleep((running.ends_at - datetime.now(UTC)).total_seconds() + 1)
        assert told(running.pagerduty) == triggered

        await running.relay.mend()
        await running.world.until(lambda now: not now["CertificateExpiringSoon"].open)
        after = await running.world.until(lambda now: not resynced.alert_of(now["ServiceDown"]).recovers_at)
        assert (after.open, after.episode) == (True, 1)
        await running.pagerduty.wait_for(
            lambda far: told(far) == triggered | {"CertificateExpiringSoon": ["trigger", "resolve"]},
            timeout_seconds=_DEADLINE_SECONDS,
        )
        assert {one.status for one in after.alerts.values()} == {model.AlertStatus.FIRING}
