"""Everything together, for the end-to-end tests and the demo: from an exporter's series to what people would see.

The make-believe PhantomMesh, the real Prometheus on rules/, the real Alertmanager on deploy/, the service as a process
of its own, and the stand-ins for PagerDuty and Slack.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import parts as programs
from tests.standins import grafana, pagerduty, prometheus_page, slack
from tests.world import alertmanager, mesh, ports, prometheus, service, staging

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
WEBHOOK_TOKEN = "a-token-for-this-run-only"
CHANNELS = {
    "incidents-secret": "#phantommesh-incidents",
    "ops-secret": "#phantommesh-ops",
    "info-secret": "#phantommesh-info",
}
_WEBHOOK_NAMES = {
    "#phantommesh-incidents": "SLACK_INCIDENTS_WEBHOOK",
    "#phantommesh-ops": "SLACK_OPS_WEBHOOK",
    "#phantommesh-info": "SLACK_INFO_WEBHOOK",
}
# A scrape interval of 15 s, and Prometheus spreads the first scrapes over it.
_HEALTHY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    mesh: mesh.Mesh
    prometheus: prometheus.Prometheus
    alertmanager: alertmanager.Alertmanager
    service: service.Service
    pagerduty: pagerduty.PagerDuty
    slack: slack.Slack
    prometheus_pages: str
    """Where people look at Prometheus, whatever its build has: a base URL."""


@asynccontextmanager
async def run(
    parts: programs.Parts,
    folder: Path,
    *,
    told: Callable[[str], None] = lambda _: None,
    make: Callable[..., service.Service] = service.Service,
) -> AsyncIterator[Stack]:
    """All parts running, and every target scraped once in health. Data and logs are under `folder`.

    `told` hears what is being started, for people who wait. `make` makes the service: a process, if not told otherwise.

    Raises:
        process.ProgramFailedError: a part did not start. The text holds its log.
        staging.StagingError: the shipped configuration cannot run here with other addresses alone.
        TimeoutError: a target stayed down.
    """
    alertmanager_port, prometheus_port, service_port = ports.free(), ports.free(), ports.free()
    async with AsyncExitStack() as running:
        the_mesh = await running.enter_async_context(mesh.run())
        the_pagerduty = await running.enter_async_context(
            pagerduty.serve(keys={ROUTING_KEY: "PhantomMesh production"})
        )
        the_slack = await running.enter_async_context(slack.serve(channels=CHANNELS))
        prometheus_pages = await running.enter_async_context(
            prometheus_page.serve(f"http://127.0.0.1:{prometheus_port}")
        )
        the_grafana_url = await running.enter_async_context(grafana.serve())
        told("PhantomMesh Alerts")
        the_service = await running.enter_async_context(
            service.run(
                state_dir=folder / "state",
                port=service_port,
                make=make,
                env={
                    **environment(
                        service_url=f"http://127.0.0.1:{service_port}",
                        prometheus_url=prometheus_pages,
                        pagerduty_at=the_pagerduty,
                        slack_at=the_slack,
                    ),
                    "GRAFANA_URL": the_grafana_url,
                },
            )
        )
        staged = staging.stage(
            folder,
            service_url=the_service.url,
            webhook_token=WEBHOOK_TOKEN,
            pagerduty_url=the_pagerduty.url,
            pagerduty_key=ROUTING_KEY,
            alertmanagers=[f"127.0.0.1:{alertmanager_port}"],
            prometheus=f"127.0.0.1:{prometheus_port}",
            telemetry=the_mesh.targets(),
        )
        told("Alertmanager")
        the_alertmanager = await running.enter_async_context(
            alertmanager.run(parts, staged.alertmanager_config, folder=folder, port=alertmanager_port)
        )
        told("Prometheus")
        the_prometheus = await running.enter_async_context(
            prometheus.run(parts, staged.prometheus_config, folder=folder, port=prometheus_port)
        )
        told("the first scrape of every target")
        await the_prometheus.wait_all_up(timeout_seconds=_HEALTHY_SECONDS)
        yield Stack(
            mesh=the_mesh,
            prometheus=the_prometheus,
            alertmanager=the_alertmanager,
            service=the_service,
            pagerduty=the_pagerduty,
            slack=the_slack,
            prometheus_pages=prometheus_pages,
        )


def environment(
    *,
    service_url: str,
    prometheus_url: str,
    pagerduty_at: pagerduty.PagerDuty,
    slack_at: slack.Slack,
) -> Mapping[str, str]:
    """The service's environment with every destination live.

    Without ALERTMANAGER_URL: an Alertmanager that just started is not believed for 5 minutes, and so long would the
    resolve of a P1 wait.
    """
    return {
        "PAGERDUTY_SERVICE_KEY": ROUTING_KEY,
        "PAGERDUTY_EVENTS_URL": pagerduty_at.url,
        **{name: slack_at.webhook(channel) for channel, name in _WEBHOOK_NAMES.items()},
        "WEBHOOK_TOKEN": WEBHOOK_TOKEN,
        "EXTERNAL_URL": service_url,
        "PROMETHEUS_URL": prometheus_url,
    }
