"""A PhantomMesh in which everything that a P1 or P2 watches goes wrong at once, and the past that makes it visible.

Cluster `a` is the make-believe mesh of the end-to-end tests, broken. Cluster `b` has what cannot be broken beside that:
what is down as a whole, and a database that answers slowly.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import web

from tests.world import mesh_series
from tests.world.mesh_series import Sample, sample

REQUESTS_PER_SECOND = 20.0
FLOOD_PER_SECOND = 5_000.0
INGRESS_LABELS = {
    "cluster": "a",
    "exported_namespace": mesh_series.NAMESPACE,
    "instance": "ingress-nginx",
    "job": "ingress-nginx",
    "namespace": "ingress-nginx",
    "status": "200",
}
_FAST = ("0.05", "0.1", "0.2")
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# What a gauge or a counter shows once everything is broken, by its name and those of its labels that tell it apart.
_BROKEN: tuple[tuple[str, Mapping[str, str], float], ...] = (
    ("kube_deployment_status_replicas_available", {"deployment": "vpn-core"}, 0),
    ("kube_pod_container_status_restarts_total", {"pod": "redis-0"}, 6),
    ("kube_node_status_condition", {"status": "true"}, 0),
    ("kube_node_status_condition", {"status": "false"}, 1),
    ("kube_pod_status_phase", {"pod": "redis-1", "phase": "Running"}, 0),
    ("kube_pod_status_phase", {"pod": "redis-1", "phase": "Pending"}, 1),
    ("kube_persistentvolumeclaim_status_phase", {"phase": "Bound"}, 0),
    ("kube_persistentvolumeclaim_status_phase", {"phase": "Pending"}, 1),
    ("node_memory_MemAvailable_bytes", {}, mesh_series.GIB),
    ("node_filesystem_avail_bytes", {}, mesh_series.GIB),
    ("kubelet_volume_stats_available_bytes", {}, mesh_series.GIB),
    ("container_memory_working_set_bytes", {"pod": "redis-0"}, 0.95 * mesh_series.GIB),
    ("phantommesh_data_integrity_check_failed", {"check": "ledger"}, 1),
    ("phantommesh_pg_checksum_failures", {}, 3),
    ("phantommesh_security_events_total", {}, 1),
    ("falcosecurity_falco_rules_matches_total", {"priority": "2"}, 1),
    ("pg_up", {"role": "primary"}, 0),
    ("pg_up", {"role": "replica", "at": "b"}, 0),
    ("pg_replication_lag_seconds", {"role": "replica"}, 5),
    ("pg_stat_activity_count", {"role": "replica"}, 45),
    ("probe_success", {}, 0),
    ("probe_ssl_earliest_cert_expiry", {}, time.time() + mesh_series.DAY_SECONDS),
    ("phantommesh_backup_last_success_timestamp_seconds", {}, time.time() - 27 * 3600),
    ("phantommesh_alerts_oldest_undelivered_seconds", {}, 90),
    ("phantommesh_alerts_dead_letters_total", {}, 2),
    ("phantommesh_alerts_lane_state", {}, 0),
    ("phantommesh_alerts_start_to_page_seconds_count", {}, 2),
    ("alertmanager_notifications_failed_total", {}, 5),
    ("alertmanager_cluster_failed_peers", {}, 1),
    ("prometheus_rule_evaluation_failures_total", {}, 5),
    ("prometheus_notifications_errors_total", {}, 5),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How long the mesh has run, and for how much of that it has been broken; seconds."""

    running: float
    broken: float


def own_parts(_: mesh_series.Moment) -> Iterator[Sample]:
    """What this service, Alertmanager and Prometheus tell of themselves, as far as a rule reads it."""
    pager = {"destination": "pagerduty"}
    yield sample("phantommesh_alerts_oldest_undelivered_seconds", 0, **pager, priority="P1")
    yield sample("phantommesh_alerts_dead_letters_total", 0, **pager, priority="P1")
    yield sample("phantommesh_alerts_deliveries_total", 0, **pager, outcome="sent")
    yield sample("phantommesh_alerts_lane_state", 1, **pager, state="working")
    yield sample("phantommesh_alerts_start_to_page_seconds_count", 0, **pager, priority="P1")
    yield sample("phantommesh_alerts_start_to_page_seconds_bucket", 0, **pager, priority="P1", le="120.0")
    yield sample("alertmanager_notifications_failed_total", 0, integration="pagerduty")
    yield sample("alertmanager_cluster_failed_peers", 0)
    yield sample("prometheus_rule_evaluation_failures_total", 0, rule_group="services")
    yield sample("prometheus_notifications_errors_total", 0, alertmanager="http://alertmanager:9093")


def slow_database(moment: mesh_series.Moment) -> Iterator[Sample]:
    """A primary whose statements take a tenth of a second."""
    yield sample("pg_up", 1)
    yield sample("pg_replication_is_replica", 0)
    calls = 40 * moment.running_seconds
    yield sample("pg_stat_statements_calls_total", calls, queryid="1")
    yield sample("pg_stat_statements_seconds_total", calls * 0.1, queryid="1")


def silent_application(moment: mesh_series.Moment) -> Iterator[Sample]:
    """One that tells nothing of its data."""
    yield sample("http_requests_total", REQUESTS_PER_SECOND * moment.running_seconds, code="200")


# Jobs of cluster b that answer no scrape.
_DOWN = ("redis", "falco", "phantommesh-alerts")
_OTHERS: Mapping[str, Mapping[str, Callable[[mesh_series.Moment], Iterator[Sample]]]] = {
    "a": {
        **{job: next(iter(there.values())) for job, there in mesh_series.EXPORTERS.items()},
        **dict.fromkeys(("prometheus", "alertmanager", "phantommesh-alerts"), own_parts),
    },
    "b": {"vpn-core": silent_application, **dict.fromkeys(_DOWN, own_parts)},
}
TARGETS: tuple[tuple[str, str, str], ...] = (
    *((cluster, job, job) for cluster, jobs in _OTHERS.items() for job in jobs if job != "postgres"),
    ("a", "postgres", "primary"),
    ("a", "postgres", "replica"),
    ("b", "postgres", "primary"),
    ("b", "postgres", "replica"),
)
"""Cluster, job and instance of everything that is scraped."""


def render(cluster: str, job: str, instance: str, state: State) -> str | None:
    """What a target shows; None where it does not answer."""
    if cluster == "b" and job in _DOWN:
        return None
    moment = mesh_series.Moment(running_seconds=state.running, started_unix_seconds=time.time())
    role = {"role": instance, "at": cluster}
    shown = (_shown(one, role, state) for one in _samples(cluster, job, instance)(moment))
    return "".join(f"{one.line()}\n" for one in shown)


def _samples(cluster: str, job: str, instance: str) -> Callable[[mesh_series.Moment], Iterator[Sample]]:
    if job != "postgres":
        return _OTHERS[cluster][job]
    if instance == "replica":
        return mesh_series.postgres_replica
    return mesh_series.postgres_primary if cluster == "a" else slow_database


def _shown(one: Sample, role: Mapping[str, str], state: State) -> Sample:
    """A healthy sample, as it is in this state."""
    changed = _COUNTERS.get(one.name)
    if changed is not None:
        return replace(one, value=changed(one, state))
    if state.broken:
        labels = {**one.labels, **role}
        for name, wanted, value in _BROKEN:
            if name == one.name and wanted.items() <= labels.items():
                return replace(one, value=value)
    return one


def _cpu(one: Sample, state: State) -> float:
    # Busy from the start: a counter that slows down is seen only when its window has passed.
    return 0.05 * state.running if one.labels["mode"] == "idle" else one.value


def _flood(one: Sample, state: State) -> float:
    # Above what the past ends with.
    return 20_000 + one.value + FLOOD_PER_SECOND * state.broken


def _errors(one: Sample, state: State) -> float:
    return one.value + 5 * state.broken * (one.labels["code"] == "500")


def _latency(one: Sample, state: State) -> float:
    if one.labels["le"] not in _FAST:
        return one.value
    return 0.9 * REQUESTS_PER_SECOND * (state.running - state.broken)


_COUNTERS: Mapping[str, Callable[[Sample, State], float]] = {
    "node_cpu_seconds_total": _cpu,
    "nginx_ingress_controller_requests": _flood,
    "http_requests_total": _errors,
    "http_request_duration_seconds_bucket": _latency,
}


def past(now: float) -> str:
    """What Prometheus remembers, as OpenMetrics: the ingress of yesterday's hour, and of the minutes before now."""
    labels = {"cluster": "a", "namespace": mesh_series.NAMESPACE}
    lines = [
        f"{Sample(name='namespace:ingress_requests:rate1m', value=20, labels=labels).line()} {now - age:.0f}"
        for age in range(90_000, 86_000, -60)
    ]
    lines += [
        f"{Sample(name='nginx_ingress_controller_requests', value=20 * (600 - age), labels=INGRESS_LABELS).line()}"
        f" {now - age:.0f}"
        for age in range(600, 15, -15)
    ]
    return "\n".join([*lines, "# EOF\n"])


class BrokenMesh:
    """Healthy until it is broken. `port` is where it answers scrapes, at `/cluster/job/instance`."""

    def __init__(self) -> None:
        self.port = 0
        self._started = time.monotonic()
        self._broken: float | None = None

    def break_everything(self) -> None:
        """From the next scrape on."""
        self._broken = time.monotonic()

    async def answer(self, request: web.Request) -> web.Response:
        """What one target shows now."""
        now = time.monotonic()
        state = State(running=now - self._started, broken=0.0 if self._broken is None else now - self._broken)
        place: Any = request.match_info
        text = render(place["cluster"], place["job"], place["instance"], state)
        if text is None:
            return web.Response(status=503)
        return web.Response(body=text.encode(), headers={"Content-Type": _CONTENT_TYPE})


@asynccontextmanager
async def serve() -> AsyncIterator[BrokenMesh]:
    """A healthy mesh that answers on a free port."""
    mesh = BrokenMesh()
    app = web.Application()
    app.router.add_get("/{cluster}/{job}/{instance}", mesh.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        mesh.port = runner.addresses[0][1]
        yield mesh
    finally:
        await runner.cleanup()
