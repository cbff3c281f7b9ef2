"""deploy/alertmanager.yml in a real Alertmanager, the oldest and the newest: who inhibits whom, and who is told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests import parts
from tests.standins import pagerduty
from tests.world import alertmanager
from tests.world import web as client

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
PROD = "phantommesh-prod"
ROUTING_KEY = "R0123456789abcdef0123456789abcde"

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module", params=[parts.GENERATIONS[0], parts.GENERATIONS[-1]])
def here(request: pytest.FixtureRequest) -> parts.Parts:
    found = parts.generation(request.param)
    if found is None:
        pytest.skip(f"the {request.param} generation is not here: `./dev parts` brings it")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    here: parts.Parts, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[alertmanager.Alertmanager]:
    """The shipped file, unchanged, away from its secrets: it cannot post to whatever listens on port 9095."""
    folder = tmp_path_factory.mktemp(here.name)
    config = folder / "alertmanager.yml"
    config.write_text((DEPLOY / "alertmanager.yml").read_text())
    async with alertmanager.run(here, config, folder=folder) as started:
        yield started


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    source: dict[str, str]
    target: dict[str, str]
    inhibited: bool


def down(service: str, namespace: str = PROD) -> dict[str, str]:
    return {"alertname": "ServiceDown", "service": service, "namespace": namespace, "priority": "P1"}


def of(name: str, service: str, namespace: str = PROD) -> dict[str, str]:
    return {"alertname": name, "service": service, "namespace": namespace}


def without_namespace(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "namespace"}


UNREACHABLE = {"alertname": "DatabaseUnreachable", "service": "postgres", "priority": "P1"}
YIELDING = (
    "HighErrorRate",
    "HighLatency",
    "SlowDatabaseQueries",
    "ConnectionPoolNearlyFull",
    "ReplicaLag",
    "PodRestarted",
    "PodRestartingOften",
)
STANDING = (
    "ServiceDown",
    "DataCorruptionDetected",
    "UnauthorizedAccess",
    "MalwareDetected",
    "DDoSAttack",
    "CertificateExpiringSoon",
    "TelemetryMissing",
    "MemoryPressure",
    "DiskSpaceCritical",
    "HighCPU",
    "BackupMissing",
    "IntegrityUnknown",
    "DatabaseReplicaDown",
    "PodNotRunning",
    "Watchdog",
)
OTHER_SOURCES = (
    "CertificateExpiringSoon",
    "DataCorruptionDetected",
    "UnauthorizedAccess",
    "MalwareDetected",
    "DDoSAttack",
    "TelemetryMissing",
    "HighErrorRate",
    "PodRestartingOften",
)


def pairs() -> Iterator[Pair]:
    def yes(source: dict[str, str], target: dict[str, str]) -> Pair:
        return Pair(source=source, target=target, inhibited=True)

    def no(source: dict[str, str], target: dict[str, str]) -> Pair:
        return Pair(source=source, target=target, inhibited=False)

    for name in YIELDING:
        yield yes(down("postgres"), of(name, "postgres"))
        yield yes(UNREACHABLE, of(name, "postgres"))
        # One a service or one a database: these may carry no namespace, and are about production.
        yield yes(down("postgres"), without_namespace(of(name, "postgres")))
        yield yes(UNREACHABLE, without_namespace(of(name, "postgres")))
        yield no(down("postgres"), of(name, "vpn-core"))
        yield no(UNREACHABLE, of(name, "vpn-core"))
        yield no(down("postgres", "staging"), of(name, "postgres"))
        yield no(down("postgres", "staging"), without_namespace(of(name, "postgres")))
        yield no(UNREACHABLE, of(name, "postgres", "staging"))
        yield no(down("postgres"), of(name, "postgres") | {"cluster": "another"})
    yield yes(down("vpn-core", "staging"), of("HighErrorRate", "vpn-core", "staging"))

    yield yes(down("postgres"), UNREACHABLE)
    yield yes(down("postgres"), UNREACHABLE | {"namespace": PROD})
    yield yes(without_namespace(down("postgres")), UNREACHABLE)
    yield yes(down("postgres", "staging"), UNREACHABLE | {"namespace": "staging"})
    yield no(down("postgres", "staging"), UNREACHABLE)
    yield no(down("postgres"), UNREACHABLE | {"namespace": "staging"})
    yield no(down("vpn-core"), UNREACHABLE)
    yield no(down("vpn-core", "staging"), UNREACHABLE | {"namespace": "staging"})
    yield no(down("postgres"), UNREACHABLE | {"cluster": "another"})
    yield no(UNREACHABLE, down("postgres"))

    for name in STANDING:
        yield no(down("vpn-core"), of(name, "vpn-core") | {"instance": "i"})
        yield no(UNREACHABLE, of(name, "postgres") | {"instance": "i"})
    for name in OTHER_SOURCES:
        yield no(of(name, "vpn-core") | {"instance": "source"}, of("HighLatency", "vpn-core"))
        yield no(of(name, "postgres") | {"instance": "source"}, UNREACHABLE)
        yield no(of(name, "postgres", "staging"), UNREACHABLE | {"namespace": "staging"})
    # Two alerts without any service have nothing in common.
    yield no({"alertname": "ServiceDown"}, {"alertname": "HighErrorRate"})


def story(pair: Pair) -> str:
    def place(labels: dict[str, str]) -> str:
        return "-".join(labels.get(name, "none") for name in ("alertname", "cluster", "namespace", "service"))

    return f"{place(pair.source)}_{'hides' if pair.inhibited else 'leaves'}_{place(pair.target)}"


# A cluster for each pair keeps the pairs apart in one Alertmanager.
CASES = [pytest.param(f"cluster-{number}", pair, id=story(pair)) for number, pair in enumerate(pairs())]


@pytest.mark.parametrize(("cluster", "pair"), CASES)
async def test_an_alert_hides_only_what_it_causes(
    running: alertmanager.Alertmanager, cluster: str, pair: Pair
) -> None:
    # Posted last and therefore judged last: once the canary is hidden, so would be the target.
    canary = f"{cluster}-canary"
    source = {"cluster": cluster, "role": "source", **pair.source}
    target = {"cluster": cluster, "role": "target", **pair.target}
    if "another" in target["cluster"]:
        target["cluster"] = f"another-{cluster}"
    posted = [target, source, {"cluster": canary, **of("HighLatency", "redis")}]
    await running.post_alerts([{"labels": labels} for labels in posted])
    await running.post_alerts([{"labels": {"cluster": canary, **down("redis")}}])

    def settled(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return alerts if inhibitors(alerts, cluster=canary, alertname="HighLatency") else []

    alerts = await client.poll(f"{running.url}/api/v2/alerts", settled, timeout_seconds=10)
    found = inhibitors(alerts, **target)
    fingerprint = next(one["fingerprint"] for one in alerts if one["labels"] == source)
    assert found == ([fingerprint] if pair.inhibited else [])


def inhibitors(alerts: list[dict[str, Any]], **labels: str) -> list[str]:
    """Fingerprints of what hides the one alert that has these labels."""
    (alert,) = [one for one in alerts if labels.items() <= one["labels"].items()]
    found: list[str] = alert["status"]["inhibitedBy"]
    return found


async def test_the_service_is_told_with_its_token_and_pagerduty_of_what_is_wrong_with_the_service(
    here: parts.Parts, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "webhook_token").write_text("the-token\n")
    (tmp_path / "routing_key").write_text(f"{ROUTING_KEY}\n")
    far_end = pagerduty.PagerDuty(keys={ROUTING_KEY: "PhantomMesh"})
    async with listening() as service, far_end:
        config = tmp_path / "alertmanager.yml"
        shipped = (DEPLOY / "alertmanager.yml").read_text()
        config.write_text(
            f"global:\n  pagerduty_url: {far_end.url}{far_end.post_path}\n"
            + shipped.replace("http://localhost:9095", service.url).replace(
                "/etc/phantommesh-alerts/pagerduty_routing_key", str(tmp_path / "routing_key")
            )
        )
        async with alertmanager.run(here, config, folder=tmp_path) as started:
            await started.post_alerts(
                [
                    {"labels": {"cluster": "a", "priority": "P1", **of("ServiceDown", "vpn-core")}},
                    {
                        "labels": {"alertname": "AlertsServiceDown", "priority": "P1", "route": "native"},
                        "annotations": {"summary": "nobody is told", "description": "ServiceDown fires."},
                    },
                ]
            )
            async with asyncio.timeout(20):
                told, authorization = await service.posts.get()
            await far_end.wait_for(lambda seen: seen.events, timeout_seconds=20)
    assert authorization == "Bearer the-token"
    assert [alert["labels"]["alertname"] for alert in told["alerts"]] == ["ServiceDown"]
    assert service.posts.empty()
    (event,) = far_end.events
    assert event.body["payload"]["summary"] == "AlertsServiceDown: nobody is told"
    assert event.body["payload"]["severity"] == "critical"
    assert "ServiceDown fires." in event.body["payload"]["custom_details"]["description"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """What arrived at the webhook: the decoded message and the Authorization header."""

    url: str
    posts: asyncio.Queue[tuple[dict[str, Any], str | None]]


@asynccontextmanager
async def listening() -> AsyncIterator[Listening]:
    posts: asyncio.Queue[tuple[dict[str, Any], str | None]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        posts.put_nowait((await request.json(), request.headers.get("Authorization")))
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhook/alertmanager", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield Listening(url=f"http://127.0.0.1:{runner.addresses[0][1]}", posts=posts)
    finally:
        await runner.cleanup()
