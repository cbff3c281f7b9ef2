"""The shipped configuration, laid out for a run on this machine: same files, other addresses.

The folder has the checkout's own shape, so deploy/prometheus.yml and the rules are byte for byte the shipped ones.
What differs: the addresses in deploy/alertmanager.yml, the place of its secrets, and the target files, which are an
administrator's to write anyway. Anything else that would leave this machine is an error, not a quiet change.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.world import mesh

CHECKOUT = Path(__file__).resolve().parents[2]

_SERVICE_ADDRESS = "http://localhost:9095/"
_KEY_PATH = "/etc/phantommesh-alerts/pagerduty_routing_key"


class StagingError(RuntimeError):
    """The shipped files need more than other addresses to run here. The text says where and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """Where the laid-out files are."""

    alertmanager_config: Path
    prometheus_config: Path
    rules: Path


def stage(
    folder: Path,
    *,
    service_url: str,
    webhook_token: str,
    pagerduty_url: str,
    pagerduty_key: str,
    alertmanagers: Sequence[str],
    prometheus: str,
    telemetry: Mapping[str, Sequence[mesh.Target]],
) -> Staged:
    """Lay out rules and configuration under `folder`. `alertmanagers` and `prometheus` are host:port.

    Raises:
        StagingError: see there.
    """
    deploy = folder / "deploy"
    (deploy / "targets").mkdir(parents=True)
    (deploy / "secrets").mkdir()
    shutil.copytree(CHECKOUT / "rules", folder / "rules")
    _secret(deploy / "secrets" / "webhook_token", webhook_token)
    _secret(deploy / "secrets" / "pagerduty_routing_key", pagerduty_key)

    shipped = (CHECKOUT / "deploy" / "alertmanager.yml").read_text()
    own_key_path = deploy / "secrets" / "pagerduty_routing_key"
    addressed = _replace(
        shipped, {_SERVICE_ADDRESS: f"{service_url.rstrip('/')}/", _KEY_PATH: str(own_key_path)}
    )
    addressed += _native_pagerduty(shipped, pagerduty_url)
    _refuse_outside(addressed, folder=folder, name="deploy/alertmanager.yml")
    (deploy / "alertmanager.yml").write_text(addressed)

    prometheus_config = deploy / "prometheus.yml"
    shutil.copyfile(CHECKOUT / "deploy" / "prometheus.yml", prometheus_config)
    _refuse_static_targets(prometheus_config.read_text())
    own = {
        "prometheus": [prometheus],
        "alertmanager": list(alertmanagers),
        "phantommesh-alerts": [service_url.removeprefix("http://").rstrip("/")],
    }
    _write_targets(deploy / "targets", own=own, telemetry=telemetry)
    return Staged(
        alertmanager_config=deploy / "alertmanager.yml",
        prometheus_config=prometheus_config,
        rules=folder / "rules",
    )


def _secret(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


def _replace(text: str, addresses: Mapping[str, str]) -> str:
    for old, new in addresses.items():
        if text.count(old) != 1:
            raise StagingError(f"deploy/alertmanager.yml has {old} {text.count(old)} times, expected once")
        text = text.replace(old, new)
    return text


def _native_pagerduty(shipped: str, pagerduty_url: str) -> str:
    # PagerDuty's address has a default in Alertmanager itself, so there is none in the file to replace.
    if re.search(r"^global:|pagerduty_url|events\.pagerduty\.com", shipped, re.MULTILINE):
        raise StagingError("deploy/alertmanager.yml sets PagerDuty's address itself: replace it there")
    return f"\nglobal:\n  pagerduty_url: {pagerduty_url.rstrip('/')}/v2/enqueue\n"


def _refuse_outside(config: str, *, folder: Path, name: str) -> None:
    for text in _strings(yaml.safe_load(config)):
        if "{{" in text:
            continue
        if "://" in text and not text.startswith("http://127.0.0.1:"):
            raise StagingError(f"{name}: {text} is not on this machine")
        if text.startswith("/") and not text.startswith(str(folder)):
            raise StagingError(f"{name}: {text} is outside of the staged folder")


def _refuse_static_targets(config: str) -> None:
    if "static_configs" in config:
        raise StagingError("deploy/prometheus.yml: addresses belong to targets/, not to static_configs")


def _write_targets(
    targets: Path, *, own: Mapping[str, Sequence[str]], telemetry: Mapping[str, Sequence[mesh.Target]]
) -> None:
    shipped = {path.stem for path in (CHECKOUT / "deploy" / "targets").glob("*.yml")}
    staged = {*own, *telemetry}
    if shipped != staged:
        raise StagingError(f"deploy/targets and the world differ: {', '.join(sorted(shipped ^ staged))}")
    for job, addresses in own.items():
        _write_groups(targets / f"{job}.yml", [{"targets": list(addresses)}])
    for job, found in telemetry.items():
        groups = [{"targets": [one.address], "labels": dict(one.labels)} for one in found]
        _write_groups(targets / f"{job}.yml", groups)


def _write_groups(path: Path, groups: Sequence[Mapping[str, object]]) -> None:
    # JSON is YAML, and quotes everything.
    path.write_text(json.dumps(groups, indent=1))


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
