"""The real Prometheus raises every P1 and every P2, from series as exporters show them.

What is not as shipped, to take seconds: scrapes and evaluations each second, and no `for`. That an alert waits for its
`for` is what promtool's tests show.
"""

import re
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tests import parts
from tests.rules import broken_mesh
from tests.world import prometheus, web

RULES = Path(__file__).resolve().parents[2] / "rules"
# Alertmanager's address is one where nobody listens: what Prometheus raises is asked of Prometheus.
NOBODY = "127.0.0.1:9"
SCRAPED_TWICE = quote("count_over_time(up[1m]) >= 2")


def expected() -> set[tuple[str, str]]:
    """Every P1 and P2 that a rule raises, by name and priority."""
    return {
        (rule["alert"], rule["labels"]["priority"])
        for file in RULES.glob("*.rules.yml")
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if rule.get("labels", {}).get("priority") in ("P1", "P2")
    }


def lay_out(folder: Path, port: int) -> Path:
    """The rules without their waiting, and a configuration that scrapes the broken mesh."""
    (folder / "rules").mkdir()
    for file in RULES.glob("*.rules.yml"):
        text = file.read_text("utf-8").replace("interval: 15s", "interval: 1s")
        text = re.sub(r"^( +for:) .*$", r"\1 0s", text, flags=re.MULTILINE)
        (folder / "rules" / file.name).write_text(text, "utf-8")
    jobs: dict[str, list[dict[str, Any]]] = {}
    for cluster, job, instance in broken_mesh.TARGETS:
        labels = {
            "cluster": cluster,
            "instance": instance,
            "__metrics_path__": f"/{cluster}/{job}/{instance}",
            **({"namespace": "ingress-nginx"} if job == "ingress-nginx" else {}),
        }
        jobs.setdefault(job, []).append({"targets": [f"127.0.0.1:{port}"], "labels": labels})
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules/*.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [NOBODY]}]}]},
        "scrape_configs": [
            {
                "job_name": job,
                "honor_labels": job in ("kube-state-metrics", "backup"),
                "static_configs": targets,
            }
            for job, targets in jobs.items()
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def remember(promtool: Path, folder: Path) -> None:
    """Put the past into Prometheus' storage."""
    (folder / "past.om").write_text(broken_mesh.past(time.time()), "utf-8")
    command: list[str | Path] = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        folder / "past.om",
        folder / "prometheus",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def seen_twice(answer: Any) -> bool:
    return len(answer["data"]["result"]) == len(broken_mesh.TARGETS)


def firing(answer: Any) -> set[tuple[str, str]]:
    return {
        (alert["labels"]["alertname"], alert["labels"]["priority"])
        for alert in answer["data"]["alerts"]
        if alert["state"] == "firing" and alert["labels"]["priority"] in ("P1", "P2")
    }


@pytest.mark.real
async def test_the_real_prometheus_raises_every_p1_and_every_p2(tmp_path: Path) -> None:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    wanted, seen = expected(), set[tuple[str, str]]()

    def all_raised(answer: Any) -> bool:
        # One that another one hides later was raised all the same.
        seen.update(firing(answer))
        return seen >= wanted

    remember(here.promtool, tmp_path)
    async with broken_mesh.serve() as mesh:
        config = lay_out(tmp_path, mesh.port)
        async with prometheus.run(here, config, folder=tmp_path) as running:
            # Events are seen only at a target that was scraped before them.
            await web.poll(
                f"{running.url}/api/v1/query?query={SCRAPED_TWICE}", seen_twice, timeout_seconds=30
            )
            mesh.break_everything()
            try:
                await web.poll(f"{running.url}/api/v1/alerts", all_raised, timeout_seconds=75)
            except TimeoutError:
                pytest.fail(f"not raised: {sorted(wanted - seen)}")
