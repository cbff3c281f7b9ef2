"""What is posted: what Alertmanager sends to a webhook, and what Prometheus sends to Alertmanager.

A body is a template. Where NUMBER stands the load writes a number that is new with every request, as measured values
are: no two bodies are the same, and whoever keeps bodies or alerts has something to write each time. Where GROUP
stands it writes which group a request is about, in turn.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

NUMBER = "0123456789"
GROUP = "svc-99999"

_SEVERITIES = {"P1": "critical", "P2": "warning", "P3": "info"}
_GROUPED = ("alertname", "cluster", "namespace", "service")
_STARTED = datetime(2026, 11, 25, 3, 0, tzinfo=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message(alerts: int, *, group: str = GROUP, priority: str = "P3") -> str:
    """A webhook message of version 4 about one group, whose alerts all fire."""
    each = [_alert(group, number, priority) for number in range(alerts)]
    common = {name: value for name, value in each[0]["labels"].items() if name not in ("pod", "instance")}
    return json.dumps(
        {
            "version": "4",
            "groupKey": f'{{}}:{{alertname="ElevatedCPU", service="{group}"}}',
            "truncatedAlerts": 0,
            "status": "firing",
            "receiver": "phantommesh-alerts",
            "groupLabels": {name: common[name] for name in _GROUPED},
            "commonLabels": common,
            "commonAnnotations": {"runbook_url": each[0]["annotations"]["runbook_url"]},
            "externalURL": "http://alertmanager.example:9093",
            "alerts": [
                {"status": "firing", **alert, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "0" * 16}
                for alert in each
            ],
        }
    )


def alerts(count: int, *, group: str = GROUP, priority: str = "P3") -> str:
    """What Prometheus posts to `/api/v2/alerts`: firing alerts of one group."""
    return json.dumps([_alert(group, number, priority) for number in range(count)])


def _alert(group: str, number: int, priority: str) -> Mapping[str, Any]:
    return {
        "labels": {
            "alertname": "ElevatedCPU",
            "cluster": "prod-eu",
            "namespace": "phantom-mesh",
            "service": group,
            "pod": f"{group}-{number:05d}",
            "instance": f"10.0.{number // 250}.{number % 250}:9100",
            "job": "kubernetes-pods",
            "severity": _SEVERITIES[priority],
            "priority": priority,
            "team": "platform",
        },
        "annotations": {
            "summary": f"CPU of {group}-{number:05d} is at 0.{NUMBER}",
            "description": f"The container has used 0.{NUMBER} of its limit for 10 minutes. "
            "Look whether the load is expected, and whether the limit still fits.",
            "runbook_url": "https://runbooks.example/runbooks/ElevatedCPU",
            "dashboard_url": "https://grafana.example/d/mesh/overview?var-cluster=prod-eu",
            "ruleset_version": "1.12.0",
        },
        "startsAt": _STARTED,
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=cpu%3Ause%3Aratio+%3E+0.7&g0.tab=1",
    }
