"""deploy/compose.yaml: names, ports and paths fit the files that it runs, and each option is one of its program's.

No registry is at hand here, so the images of others are not started; what is ours is run by test_container.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
KEYS = {
    "build", "cap_drop", "command", "environment", "image", "network_mode", "read_only", "restart", "security_opt",
    "stop_grace_period", "tmpfs", "volumes",
}  # fmt: skip
"""Of the Compose specification, those that are used. A misspelt one would be silently of no effect in some tools."""


def mounts() -> list[tuple[str, str]]:
    """Of each service, what it mounts."""
    return [
        (name, volume.split(":")[0])
        for name, entry in SERVICES.items()
        for volume in entry.get("volumes", [])
    ]


def words(name: str) -> list[str]:
    found: list[str] = SERVICES[name]["command"]
    return found


def test_it_says_nothing_that_compose_does_not_know() -> None:
    assert COMPOSE.keys() == {"name", "x-hardened", "services", "volumes"}
    assert {name: entry.keys() - KEYS for name, entry in SERVICES.items() if entry.keys() - KEYS} == {}


def test_what_it_mounts_is_in_the_repository_or_a_volume_that_it_names() -> None:
    named = set()
    for name, source in mounts():
        if source.startswith("."):
            assert (DEPLOY / source).exists(), f"{name} mounts {source}"
        else:
            named.add(source)
    assert named == COMPOSE["volumes"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_hardened_and_listens_on_loopback(name: str) -> None:
    entry = SERVICES[name]
    assert (entry["read_only"], entry["cap_drop"]) == (True, ["ALL"])
    assert entry["security_opt"] == ["no-new-privileges:true"]
    listens = re.findall(r"(?:listen-address=|--listen )(\S+?):\d+", " ".join(entry.get("command", [])))
    listens += [value for key, value in entry.get("environment", {}).items() if key == "GF_SERVER_HTTP_ADDR"]
    assert listens
    assert set(listens) == {"127.0.0.1"}


def test_no_secret_stands_in_it() -> None:
    given = SERVICES["phantommesh-alerts"]["environment"]
    secrets = {name for name in given if re.search("KEY|TOKEN|WEBHOOK", name)}
    assert all(
        name.endswith("_FILE") and given[name].startswith("/etc/phantommesh-alerts/") for name in secrets
    )
    assert {"PAGERDUTY_SERVICE_KEY_FILE", "WEBHOOK_TOKEN_FILE"} <= secrets


def test_ports_are_the_manuals_and_those_of_the_shipped_configuration() -> None:
    assert "--web.listen-address=127.0.0.1:24540" in words("prometheus")
    assert SERVICES["grafana"]["environment"]["GF_SERVER_HTTP_PORT"] == "24541"
    assert "http://localhost:9095/" in (DEPLOY / "alertmanager.yml").read_text()
    assert "127.0.0.1:9095" in words("phantommesh-alerts")
    assert "replacement: localhost:9115" in (DEPLOY / "prometheus.yml").read_text()
    assert "--web.listen-address=127.0.0.1:9115" in words("blackbox")


def test_the_pair_knows_each_other_and_the_service_knows_both() -> None:
    first, second = words("alertmanager-1"), words("alertmanager-2")

    def value(of: list[str], option: str) -> str:
        return next(word.partition("=")[2] for word in of if word.startswith(f"--{option}="))

    assert value(first, "cluster.peer") == value(second, "cluster.listen-address")
    assert value(second, "cluster.peer") == value(first, "cluster.listen-address")
    pages = [
        value(one, "web.listen-address").replace("127.0.0.1", "http://localhost") for one in (first, second)
    ]
    assert SERVICES["phantommesh-alerts"]["environment"]["ALERTMANAGER_URL"].split(",") == pages


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "program"), [("prometheus", "prometheus"), ("alertmanager-1", "alertmanager")]
)
def test_each_option_is_one_of_its_program(name: str, program: str) -> None:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    done = subprocess.run(
        [getattr(here, program), "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    known = set(re.findall(r"--(?:\[no-\])?([a-z.-]+)", done.stdout + done.stderr))
    assert {word.split("=")[0].removeprefix("--") for word in words(name)} <= known
