"""deploy/alertmanager.yml and deploy/prometheus.yml load in every generation, and say what the contract says."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ALERTMANAGER = DEPLOY / "alertmanager.yml"
PROMETHEUS = DEPLOY / "prometheus.yml"

SERVICE = "phantommesh-alerts"
NATIVE = "pagerduty-native"

JOBS = {
    "kube-state-metrics",
    "node-exporter",
    "kubelet",
    "cadvisor",
    "vpn-core",
    "api-gateway",
    "postgres",
    "redis",
    "blackbox",
    "falco",
    "ingress-nginx",
    "backup",
    "prometheus",
    "alertmanager",
    "phantommesh-alerts",
}


def brought(name: str) -> parts.Parts:
    found = parts.generation(name)
    if found is None:
        pytest.skip(f"the {name} generation is not here: `./dev parts` brings it")
    return found


@pytest.fixture(params=parts.GENERATIONS)
def here(request: pytest.FixtureRequest) -> parts.Parts:
    return brought(request.param)


# Discovery takes promtool a second each time, so the generation between is left out.
@pytest.fixture(params=[parts.GENERATIONS[0], parts.GENERATIONS[-1]])
def discovering(request: pytest.FixtureRequest) -> parts.Parts:
    return brought(request.param)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def keys(node: object) -> Iterator[str]:
    """Every key of every mapping in a YAML document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from keys(value)
    elif isinstance(node, list):
        for value in node:
            yield from keys(value)


def strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)


def scrape_job(name: str) -> dict[str, Any]:
    return next(job for job in load(PROMETHEUS)["scrape_configs"] if job["job_name"] == name)


# Alertmanager


@pytest.mark.real
def test_alertmanager_accepts_its_configuration(here: parts.Parts) -> None:
    assert "SUCCESS" in run(here.amtool, "check-config", ALERTMANAGER)


@pytest.mark.real
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (
            "alertname=ServiceDown severity=critical priority=P1 cluster=a namespace=n service=vpn-core",
            SERVICE,
        ),
        ("alertname=HighErrorRate severity=warning priority=P2 cluster=a service=api-gateway", SERVICE),
        ("alertname=BackupCompleted severity=info priority=P3 cluster=a service=backup", SERVICE),
        ("alertname=Watchdog severity=info priority=P3 cluster=a", SERVICE),
        ("alertname=NobodyExpectedThis", SERVICE),
        ("alertname=TelemetryMissing priority=P2 service=phantommesh-alerts", SERVICE),
        ("alertname=AlertsServiceDown severity=critical priority=P1 route=native", NATIVE),
        ("alertname=AlertsDeliveryFailing severity=warning priority=P2 route=native", NATIVE),
        ("alertname=ServiceDown priority=P1 route=somewhere-else", SERVICE),
    ],
)
def test_an_alert_reaches_its_receiver_and_no_other(here: parts.Parts, labels: str, receiver: str) -> None:
    told = run(here.amtool, "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels.split())
    assert told.split() == [receiver]


def test_the_root_tells_the_service_within_its_share_of_the_budget() -> None:
    root = load(ALERTMANAGER)["route"]
    assert root["receiver"] == SERVICE
    assert root["group_by"] == ["alertname", "cluster", "namespace", "service"]
    assert root["group_wait"] == "5s"
    assert root["group_interval"] == "10s"
    assert root["repeat_interval"] == "5m"


def test_the_watchdog_is_told_as_often_as_alertmanager_can() -> None:
    assert load(ALERTMANAGER)["route"]["routes"][0] == {
        "matchers": ['alertname="Watchdog"'],
        "receiver": SERVICE,
        "group_wait": "0s",
        "group_interval": "30s",
        "repeat_interval": "20s",
    }


def test_the_service_hears_firing_and_resolved_with_a_token_from_a_file() -> None:
    assert receiver(SERVICE)["webhook_configs"] == [
        {
            "url": "http://localhost:9095/webhook/alertmanager",
            "send_resolved": True,
            "http_config": {"authorization": {"type": "Bearer", "credentials_file": "secrets/webhook_token"}},
        }
    ]


def test_alerts_about_the_service_go_to_pagerduty_by_events_v2_and_are_resolved_there() -> None:
    (config,) = receiver(NATIVE)["pagerduty_configs"]
    assert config["send_resolved"] is True
    assert config["routing_key_file"] == "/etc/phantommesh-alerts/pagerduty_routing_key"
    assert not {"service_key", "service_key_file", "routing_key"} & set(config)


def receiver(name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in load(ALERTMANAGER)["receivers"] if one["name"] == name)
    return found


@pytest.mark.parametrize("old", ["match", "match_re", "source_match", "source_match_re", "target_match"])
def test_no_matcher_is_written_in_the_deprecated_form(old: str) -> None:
    assert old not in set(keys(load(ALERTMANAGER)))


@pytest.mark.parametrize("path", [ALERTMANAGER, PROMETHEUS], ids=lambda path: path.name)
def test_nothing_hopes_for_an_environment_variable_to_be_expanded(path: Path) -> None:
    assert [text for text in strings(load(path)) if "${" in text] == []


@pytest.mark.parametrize("path", [ALERTMANAGER, PROMETHEUS], ids=lambda path: path.name)
def test_secrets_come_from_files_only(path: Path) -> None:
    inline = {"credentials", "password", "bearer_token", "routing_key", "service_key", "api_url"}
    assert not inline & set(keys(load(path)))


@pytest.mark.skipif(shutil.which("git") is None, reason="asks git, which is not here")
def test_secrets_beside_the_configuration_are_never_committed() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "deploy/secrets/webhook_token"], cwd=ROOT, timeout=30, check=False
    )
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert ignored.returncode == 0


# Prometheus


@pytest.mark.real
def test_prometheus_accepts_its_configuration_and_the_rules_it_names(here: parts.Parts) -> None:
    run(here.promtool, "check", "config", PROMETHEUS)
    (pattern,) = load(PROMETHEUS)["rule_files"]
    assert sorted(DEPLOY.glob(pattern)) == sorted((DEPLOY / ".." / "rules").glob("*.rules.yml"))


def test_scrape_and_evaluation_keep_to_the_budget() -> None:
    settings = load(PROMETHEUS)["global"]
    assert (settings["scrape_interval"], settings["evaluation_interval"]) == ("15s", "15s")
    assert settings["external_labels"].keys() == {"cluster"}
    assert [job for job in load(PROMETHEUS)["scrape_configs"] if "scrape_interval" in job] == []


def test_every_job_of_the_contract_is_scraped_from_a_targets_file_of_its_own() -> None:
    found = {job["job_name"]: job["file_sd_configs"] for job in load(PROMETHEUS)["scrape_configs"]}
    assert found == {job: [{"files": [f"targets/{job}.yml"]}] for job in JOBS}
    assert {path.stem for path in (DEPLOY / "targets").iterdir()} == JOBS


def test_alerts_go_to_the_alertmanagers_of_the_targets_file() -> None:
    assert load(PROMETHEUS)["alerting"]["alertmanagers"] == [
        {"file_sd_configs": [{"files": ["targets/alertmanager.yml"]}]}
    ]
    assert load(DEPLOY / "targets/alertmanager.yml") == [{"targets": ["localhost:9093"]}]


def test_only_exporters_that_speak_for_others_keep_their_own_labels() -> None:
    honouring = {job["job_name"] for job in load(PROMETHEUS)["scrape_configs"] if job.get("honor_labels")}
    assert honouring == {"kube-state-metrics", "backup"}


def test_every_job_that_a_rule_reads_is_scraped() -> None:
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.rules.yml"))
    named = {name for value in re.findall(r'\bjob=~?"([^"]+)"', text) for name in value.split("|")}
    assert named <= JOBS


def discovered(here: parts.Parts, job: str, config: Path = PROMETHEUS) -> list[dict[str, str]]:
    """The labels of a job's targets after relabelling, as promtool works them out."""
    told = run(here.promtool, "check", "service-discovery", "--timeout=1s", config, job)
    return [target["labels"] for target in json.loads(told)]


@pytest.mark.real
@pytest.mark.parametrize("job", ["vpn-core", "api-gateway", "postgres", "redis"])
def test_phantommesh_targets_have_the_namespace_that_rules_expect(discovering: parts.Parts, job: str) -> None:
    assert {labels["namespace"] for labels in discovered(discovering, job)} == {"phantommesh-prod"}


@pytest.mark.real
def test_the_ingress_target_has_a_namespace_so_that_requests_keep_theirs_as_exported(
    discovering: parts.Parts,
) -> None:
    assert {labels["namespace"] for labels in discovered(discovering, "ingress-nginx")} == {"ingress-nginx"}


@pytest.mark.real
def test_the_public_url_is_probed_through_the_blackbox_exporter(discovering: parts.Parts) -> None:
    (labels,) = discovered(discovering, "blackbox")
    assert labels["__address__"] == "localhost:9115"
    assert labels["__metrics_path__"] == "/probe"
    assert labels["__param_target"] == labels["instance"] == "https://phantommesh.example.com/health"


@pytest.mark.real
def test_a_targets_file_may_name_another_namespace_and_another_exporter(
    discovering: parts.Parts, tmp_path: Path
) -> None:
    config = tmp_path / "deploy" / "prometheus.yml"
    (config.parent / "targets").mkdir(parents=True)
    config.write_text(PROMETHEUS.read_text())
    for job, target in {
        "redis": {"targets": ["127.0.0.1:1"], "labels": {"namespace": "staging"}},
        "blackbox": {"targets": ["https://b.example"], "labels": {"__exporter__": "127.0.0.1:2"}},
    }.items():
        (config.parent / "targets" / f"{job}.yml").write_text(yaml.safe_dump([target]))
    (redis,) = discovered(discovering, "redis", config)
    (blackbox,) = discovered(discovering, "blackbox", config)
    assert redis["namespace"] == "staging"
    assert (blackbox["__address__"], blackbox["instance"]) == ("127.0.0.1:2", "https://b.example")


@pytest.mark.real
def test_a_kubelet_is_read_on_the_path_that_its_targets_file_names(discovering: parts.Parts) -> None:
    paths = {job: discovered(discovering, job)[0]["__metrics_path__"] for job in ("kubelet", "cadvisor")}
    assert paths == {
        "kubelet": "/api/v1/nodes/node-1/proxy/metrics",
        "cadvisor": "/api/v1/nodes/node-1/proxy/metrics/cadvisor",
    }


def test_cadvisor_has_its_usual_path_where_a_targets_file_names_none() -> None:
    assert scrape_job("cadvisor")["metrics_path"] == "/metrics/cadvisor"
