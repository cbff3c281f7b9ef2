"""deploy/alertmanager.yml as the two objects that Kubernetes takes it from.

The operator's AlertmanagerConfig has names of its own for the same fields; only what we use is translated, and
anything else is an error rather than left out.
"""

import re
from pathlib import Path
from typing import Any

import yaml

SECRET = "phantommesh-alerts"
MOUNTED = f"/etc/alertmanager/secrets/{SECRET}"
"""Where the operator mounts a Secret that an Alertmanager object lists under `secrets`."""
TOKEN = "webhook-token"
ROUTING_KEY = "pagerduty-routing-key"
URL = "http://phantommesh-alerts-intake:9095/webhook/alertmanager"

_LABELS = {
    "app.kubernetes.io/name": "phantommesh-alertmanager",
    "app.kubernetes.io/part-of": "phantommesh-alerts",
}
_MATCHER = re.compile(r'(?P<name>\w+)(?P<type>=~|!~|!=|=)"(?P<value>[^"\\]*)"')


def secret(alertmanager: Path) -> dict[str, Any]:
    """The configuration as a Secret's one file, with the Service's address and mounted secrets."""
    text = alertmanager.read_text("utf-8")
    for there, here in {
        "http://localhost:9095/webhook/alertmanager": URL,
        "credentials_file: secrets/webhook_token": f"credentials_file: {MOUNTED}/{TOKEN}",
        "routing_key_file: /etc/phantommesh-alerts/pagerduty_routing_key": (
            f"routing_key_file: {MOUNTED}/{ROUTING_KEY}"
        ),
    }.items():
        if text.count(there) != 1:
            raise ValueError(f"{alertmanager.name} has {text.count(there)} times {there!r}, and not once")
        text = text.replace(there, here)
    # Comments are for whoever reads the file in deploy/.
    kept = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "phantommesh-alertmanager", "labels": _LABELS},
        "type": "Opaque",
        "stringData": {"alertmanager.yaml": "\n".join(kept) + "\n"},
    }


def alertmanager_config(alertmanager: Path) -> dict[str, Any]:
    """The configuration as an AlertmanagerConfig, v1alpha1: the version that needs no conversion webhook."""
    read = yaml.safe_load(alertmanager.read_text("utf-8"))
    _expect(read, {"route", "receivers", "inhibit_rules"}, alertmanager.name)
    return {
        "apiVersion": "monitoring.coreos.com/v1alpha1",
        "kind": "AlertmanagerConfig",
        "metadata": {"name": "phantommesh-alerts", "labels": _LABELS},
        "spec": {
            "route": _route(read["route"]),
            "receivers": [_receiver(receiver) for receiver in read["receivers"]],
            "inhibitRules": [
                {
                    "sourceMatch": _matchers(rule["source_matchers"]),
                    "targetMatch": _matchers(rule["target_matchers"]),
                    "equal": rule["equal"],
                }
                for rule in read["inhibit_rules"]
                if _expect(rule, {"source_matchers", "target_matchers", "equal"}, "inhibit_rules")
            ],
        },
    }


_ROUTE = {
    "receiver": "receiver",
    "group_by": "groupBy",
    "group_wait": "groupWait",
    "group_interval": "groupInterval",
    "repeat_interval": "repeatInterval",
}


def _route(route: dict[str, Any]) -> dict[str, Any]:
    _expect(route, {*_ROUTE, "matchers", "routes"}, "route")
    translated = {_ROUTE[name]: value for name, value in route.items() if name in _ROUTE}
    if "matchers" in route:
        translated["matchers"] = _matchers(route["matchers"])
    if "routes" in route:
        translated["routes"] = [_route(child) for child in route["routes"]]
    return translated


def _matchers(sources: list[str]) -> list[dict[str, str]]:
    found = [_MATCHER.fullmatch(source) for source in sources]
    if None in found:
        raise ValueError(f"cannot translate all of the matchers {sources}")
    return [
        {"name": match["name"], "matchType": match["type"], "value": match["value"]}
        for match in found
        if match is not None
    ]


def _receiver(receiver: dict[str, Any]) -> dict[str, Any]:
    _expect(receiver, {"name", "webhook_configs", "pagerduty_configs"}, "receiver")
    translated: dict[str, Any] = {"name": receiver["name"]}
    if "webhook_configs" in receiver:
        translated["webhookConfigs"] = [_webhook(config) for config in receiver["webhook_configs"]]
    if "pagerduty_configs" in receiver:
        translated["pagerdutyConfigs"] = [_pagerduty(config) for config in receiver["pagerduty_configs"]]
    return translated


def _webhook(config: dict[str, Any]) -> dict[str, Any]:
    _expect(config, {"url", "send_resolved", "http_config"}, "webhook_configs")
    return {
        "url": URL,
        "sendResolved": config["send_resolved"],
        "httpConfig": {"authorization": {"type": "Bearer", "credentials": {"name": SECRET, "key": TOKEN}}},
    }


_SAME_IN_PAGERDUTY = ("severity", "client", "description")


def _pagerduty(config: dict[str, Any]) -> dict[str, Any]:
    _expect(
        config, {"routing_key_file", "send_resolved", "details", *_SAME_IN_PAGERDUTY}, "pagerduty_configs"
    )
    return {
        "routingKey": {"name": SECRET, "key": ROUTING_KEY},
        "sendResolved": config["send_resolved"],
        **{name: config[name] for name in _SAME_IN_PAGERDUTY},
        "details": [{"key": key, "value": value} for key, value in config["details"].items()],
    }


def _expect(entry: dict[str, Any], known: set[str], where: str) -> bool:
    """Complain of what this file would not translate."""
    unknown = set(entry) - known
    if unknown:
        raise ValueError(f"{where}: {', '.join(sorted(unknown))} has no translation in {Path(__file__).name}")
    return True
