"""What a healthy PhantomMesh exposes: the series of RULES.md's telemetry, as functions of the time since its start.

Counters grow evenly and gauges stand still, well inside every threshold, so that a healthy mesh raises nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

NAMESPACE = "phantommesh-prod"
DEPLOYMENTS = ("vpn-core", "api-gateway")
STATEFUL_SETS = ("postgres", "redis")
SERVICES = (*DEPLOYMENTS, *STATEFUL_SETS)
REPLICAS = 2
NODE = "node-1"
PUBLIC_URL = "https://phantommesh.example.com/health"

GIB = 2.0**30
DAY_SECONDS = 86_400.0
_REQUESTS_PER_SECOND = 20.0
_ERROR_SHARE = 0.0005
# The share of requests that are within each bound, in seconds.
_LATENCY_SHARES = {"0.05": 0.9, "0.1": 0.99, "0.2": 0.999, "0.5": 1.0, "1": 1.0, "+Inf": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    name: str
    value: float
    labels: Mapping[str, str]

    def line(self) -> str:
        """One line of Prometheus' text format. Label values here need no escaping."""
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {float(self.value)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the series depend on: how long the mesh has run, the wall clock at its start, and what is broken."""

    running_seconds: float
    started_unix_seconds: float
    unavailable: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def sample(name: str, value: float, **labels: str) -> Sample:
    return Sample(name=name, value=value, labels=labels)


def kube_state_metrics(moment: Moment) -> Iterator[Sample]:
    for kind, names, wanted, ready in (
        (
            "deployment",
            DEPLOYMENTS,
            "kube_deployment_spec_replicas",
            "kube_deployment_status_replicas_available",
        ),
        ("statefulset", STATEFUL_SETS, "kube_statefulset_replicas", "kube_statefulset_status_replicas_ready"),
    ):
        for name in names:
            if name in moment.gone:
                continue
            labels = {"namespace": NAMESPACE, kind: name}
            available = 0 if name in moment.unavailable else REPLICAS
            yield sample(wanted, REPLICAS, **labels)
            yield sample(ready, available, **labels)
    for service in SERVICES:
        for pod in pods(service):
            yield from _pod(service, pod)
    for status in ("true", "false", "unknown"):
        yield sample(
            "kube_node_status_condition", status == "true", node=NODE, condition="Ready", status=status
        )
    for phase in ("Bound", "Lost", "Pending"):
        yield sample(
            "kube_persistentvolumeclaim_status_phase",
            phase == "Bound",
            namespace=NAMESPACE,
            persistentvolumeclaim="data-postgres-0",
            phase=phase,
        )


def _pod(service: str, pod: str) -> Iterator[Sample]:
    labels = {"namespace": NAMESPACE, "pod": pod, "container": service}
    yield sample("kube_pod_container_status_restarts_total", 0, **labels)
    yield sample(
        "kube_pod_container_resource_limits", GIB, **labels, resource="memory", unit="byte", node=NODE
    )
    for phase in ("Running", "Pending", "Succeeded", "Failed", "Unknown"):
        yield sample("kube_pod_status_phase", phase == "Running", namespace=NAMESPACE, pod=pod, phase=phase)


def node_exporter(moment: Moment) -> Iterator[Sample]:
    yield sample("node_memory_MemTotal_bytes", 16 * GIB)
    yield sample("node_memory_MemAvailable_bytes", 10 * GIB)
    for cpu in ("0", "1"):
        for mode, share in (("idle", 0.8), ("user", 0.15), ("system", 0.05)):
            yield sample("node_cpu_seconds_total", 1_000 + share * moment.running_seconds, cpu=cpu, mode=mode)
    disk = {"device": "/dev/vda1", "fstype": "ext4", "mountpoint": "/"}
    yield sample("node_filesystem_size_bytes", 100 * GIB, **disk)
    yield sample("node_filesystem_avail_bytes", 60 * GIB, **disk)


def kubelet(_: Moment) -> Iterator[Sample]:
    volume = {"namespace": NAMESPACE, "persistentvolumeclaim": "data-postgres-0"}
    yield sample("kubelet_volume_stats_capacity_bytes", 50 * GIB, **volume)
    yield sample("kubelet_volume_stats_available_bytes", 30 * GIB, **volume)


def cadvisor(_: Moment) -> Iterator[Sample]:
    for service in SERVICES:
        for pod in pods(service):
            yield sample(
                "container_memory_working_set_bytes",
                0.4 * GIB,
                namespace=NAMESPACE,
                pod=pod,
                container=service,
            )


def application(moment: Moment) -> Iterator[Sample]:
    requests = _REQUESTS_PER_SECOND * moment.running_seconds
    yield sample("http_requests_total", requests * (1 - _ERROR_SHARE), code="200")
    yield sample("http_requests_total", requests * _ERROR_SHARE, code="500")
    for bound, share in _LATENCY_SHARES.items():
        yield sample("http_request_duration_seconds_bucket", requests * share, le=bound)
    yield sample("http_request_duration_seconds_sum", requests * 0.03)
    yield sample("http_request_duration_seconds_count", requests)
    for check in ("ledger", "sessions"):
        yield sample("phantommesh_data_integrity_check_failed", 0, check=check)
    yield sample("phantommesh_pg_checksum_failures", 0, datname="phantommesh")
    for event in ("unauthorized_access", "malware"):
        yield sample("phantommesh_security_events_total", 0, type=event)


def postgres_primary(moment: Moment) -> Iterator[Sample]:
    yield sample("pg_replication_is_replica", 0)
    yield sample("pg_replication_lag_seconds", 0)
    calls = 40 * moment.running_seconds
    for query in ("1001", "1002"):
        labels = {"datname": "phantommesh", "user": "app", "queryid": query}
        yield sample("pg_stat_statements_calls_total", calls, **labels)
        yield sample("pg_stat_statements_seconds_total", calls * 0.005, **labels)
    yield from _postgres()


def postgres_replica(_: Moment) -> Iterator[Sample]:
    yield sample("pg_replication_is_replica", 1)
    yield sample("pg_replication_lag_seconds", 0.02)
    yield from _postgres()


def _postgres() -> Iterator[Sample]:
    yield sample("pg_up", 1)
    yield sample("pg_stat_activity_count", 12, datname="phantommesh", state="active")
    yield sample("pg_stat_activity_count", 20, datname="phantommesh", state="idle")
    yield sample("pg_settings_max_connections", 100)
    yield sample("pg_settings_superuser_reserved_connections", 3)


def redis(_: Moment) -> Iterator[Sample]:
    yield sample("redis_up", 1)


def blackbox(moment: Moment) -> Iterator[Sample]:
    yield sample("probe_success", 1)
    yield sample("probe_ssl_earliest_cert_expiry", moment.started_unix_seconds + 90 * DAY_SECONDS)


def falco(_: Moment) -> Iterator[Sample]:
    for priority in ("2", "4", "6"):
        yield sample("falcosecurity_falco_rules_matches_total", 0, priority=priority)


def ingress_nginx(moment: Moment) -> Iterator[Sample]:
    requests = _REQUESTS_PER_SECOND * moment.running_seconds
    yield sample("nginx_ingress_controller_requests", requests, namespace=NAMESPACE, status="200")


def backup(moment: Moment) -> Iterator[Sample]:
    # The pushgateway's scrape honours these two labels. Old enough to be no news, young enough to be no fault.
    pushed = {"job": "backup", "instance": ""}
    finished = moment.started_unix_seconds - DAY_SECONDS / 4
    yield sample("phantommesh_backup_last_success_timestamp_seconds", finished, **pushed)
    yield sample("phantommesh_backup_last_size_bytes", 5 * GIB, **pushed)


def pods(service: str) -> list[str]:
    return [f"{service}-{index}" for index in range(REPLICAS)]


Exporter = Callable[[Moment], Iterator[Sample]]

# Each job's instances, and what each of them exposes.
EXPORTERS: Mapping[str, Mapping[str, Exporter]] = {
    "kube-state-metrics": {"kube-state-metrics": kube_state_metrics},
    "node-exporter": {NODE: node_exporter},
    "kubelet": {NODE: kubelet},
    "cadvisor": {NODE: cadvisor},
    "vpn-core": dict.fromkeys(pods("vpn-core"), application),
    "api-gateway": dict.fromkeys(pods("api-gateway"), application),
    "postgres": {"postgres-0": postgres_primary, "postgres-1": postgres_replica},
    "redis": {"redis-0": redis},
    "blackbox": {PUBLIC_URL: blackbox},
    "falco": {"falco": falco},
    "ingress-nginx": {"ingress-nginx": ingress_nginx},
    "backup": {"pushgateway": backup},
}
