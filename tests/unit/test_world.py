"""The world around the service: shipped files stay as shipped, the mesh breaks on command, programs end with us."""

import asyncio
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml
from prometheus_client import parser

from tests.world import mesh, mesh_series, process, service, staging, unpacked

SHIPPED = staging.CHECKOUT / "deploy"
VPN_CORE_AVAILABLE = ("kube_deployment_status_replicas_available", "vpn-core")


def stage(folder: Path, **changed: Any) -> staging.Staged:
    given: dict[str, Any] = {
        "service_url": "http://127.0.0.1:1",
        "webhook_token": "token",
        "pagerduty_url": "http://127.0.0.1:2",
        "pagerduty_key": "k" * 32,
        "alertmanagers": ["127.0.0.1:3"],
        "prometheus": "127.0.0.1:4",
        "telemetry": mesh.Mesh().targets(),
    }
    return staging.stage(folder, **{**given, **changed})


def test_prometheus_and_the_rules_run_on_the_shipped_bytes(tmp_path: Path) -> None:
    staged = stage(tmp_path)
    assert staged.prometheus_config.read_bytes() == (SHIPPED / "prometheus.yml").read_bytes()
    for path in (staging.CHECKOUT / "rules").rglob("*.yml"):
        copied = staged.rules / path.relative_to(staging.CHECKOUT / "rules")
        assert copied.read_bytes() == path.read_bytes()


def test_alertmanager_differs_from_the_shipped_file_in_addresses_only(tmp_path: Path) -> None:
    shipped = (SHIPPED / "alertmanager.yml").read_text().splitlines()
    staged = stage(tmp_path).alertmanager_config.read_text().splitlines()
    changed = [new.strip() for old, new in zip(shipped, staged, strict=False) if old != new]
    assert changed == [
        "- url: http://127.0.0.1:1/webhook/alertmanager",
        f"- routing_key_file: {tmp_path}/deploy/secrets/pagerduty_routing_key",
    ]
    assert [line for line in staged[len(shipped) :] if line] == [
        "global:",
        "  pagerduty_url: http://127.0.0.1:2/v2/enqueue",
    ]


def test_secrets_are_files_that_only_their_owner_reads(tmp_path: Path) -> None:
    stage(tmp_path)
    secrets = list((tmp_path / "deploy" / "secrets").iterdir())
    assert {path.name: path.read_text() for path in secrets} == {
        "webhook_token": "token",
        "pagerduty_routing_key": "k" * 32,
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_every_shipped_job_gets_its_targets(tmp_path: Path) -> None:
    stage(tmp_path)
    written = {path.name for path in (tmp_path / "deploy" / "targets").glob("*.yml")}
    assert written == {path.name for path in (SHIPPED / "targets").glob("*.yml")}


def test_the_own_parts_are_found_at_their_addresses(tmp_path: Path) -> None:
    stage(tmp_path)
    found = {
        job: yaml.safe_load((tmp_path / "deploy" / "targets" / f"{job}.yml").read_text())
        for job in ("prometheus", "alertmanager", "phantommesh-alerts")
    }
    assert found == {
        "prometheus": [{"targets": ["127.0.0.1:4"]}],
        "alertmanager": [{"targets": ["127.0.0.1:3"]}],
        "phantommesh-alerts": [{"targets": ["127.0.0.1:1"]}],
    }


BROKEN_SHIPPED: dict[str, tuple[str, str, str, str]] = {
    "another address": ("alertmanager.yml", "send_resolved: true", "x: https://example.com", "not on this"),
    "another path": ("alertmanager.yml", "send_resolved: true", "x: /etc/x", "outside of the staged folder"),
    "no service address": ("alertmanager.yml", "http://localhost:9095/", "http://else/", "0 times"),
    "its own PagerDuty": ("alertmanager.yml", "route:", "global: {}\nroute:", "replace it there"),
    "static targets": ("prometheus.yml", "scrape_configs:", "# static_configs\nscrape_configs:", "targets/"),
}


@pytest.mark.parametrize("name", BROKEN_SHIPPED)
def test_what_would_need_another_change_is_an_error(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, old, new, text = BROKEN_SHIPPED[name]
    _copy_checkout(tmp_path / "checkout")
    monkeypatch.setattr(staging, "CHECKOUT", tmp_path / "checkout")
    path = tmp_path / "checkout" / "deploy" / file
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(staging.StagingError, match=text):
        stage(tmp_path / "staged")


def test_a_job_that_nobody_plays_is_an_error(tmp_path: Path) -> None:
    telemetry = mesh.Mesh().targets()
    del telemetry["falco"]
    with pytest.raises(staging.StagingError, match="falco"):
        stage(tmp_path, telemetry=telemetry)


@pytest_asyncio.fixture
async def running_mesh() -> AsyncIterator[mesh.Mesh]:
    async with mesh.run() as one:
        yield one


@pytest.mark.parametrize("job", mesh_series.EXPORTERS)
async def test_every_target_of_the_mesh_answers_with_series(job: str, running_mesh: mesh.Mesh) -> None:
    for target in running_mesh.targets()[job]:
        assert await _scrape(target)


async def test_a_healthy_service_has_its_replicas(running_mesh: mesh.Mesh) -> None:
    series = await _kube_state_metrics(running_mesh)
    assert series[VPN_CORE_AVAILABLE] == mesh_series.REPLICAS


async def test_a_broken_service_has_none_and_the_others_keep_theirs(running_mesh: mesh.Mesh) -> None:
    running_mesh.break_service("vpn-core")
    series = await _kube_state_metrics(running_mesh)
    assert series[VPN_CORE_AVAILABLE] == 0
    assert series["kube_deployment_spec_replicas", "vpn-core"] == mesh_series.REPLICAS
    assert series["kube_deployment_status_replicas_available", "api-gateway"] == mesh_series.REPLICAS


async def test_a_service_that_is_gone_has_no_series(running_mesh: mesh.Mesh) -> None:
    running_mesh.break_service("vpn-core", how="gone")
    assert VPN_CORE_AVAILABLE not in await _kube_state_metrics(running_mesh)


async def test_a_mended_service_has_its_replicas_again(running_mesh: mesh.Mesh) -> None:
    running_mesh.break_service("vpn-core")
    running_mesh.mend("vpn-core")
    assert (await _kube_state_metrics(running_mesh))[VPN_CORE_AVAILABLE] == mesh_series.REPLICAS


async def test_a_fault_notes_when_a_scrape_first_saw_it(running_mesh: mesh.Mesh) -> None:
    fault = running_mesh.break_service("vpn-core")
    assert fault.first_scraped_unix_seconds is None
    await _kube_state_metrics(running_mesh)
    first = await fault.wait_scraped(timeout_seconds=5)
    await _kube_state_metrics(running_mesh)
    assert fault.at_unix_seconds <= first == fault.first_scraped_unix_seconds


async def test_a_stopped_exporter_fails_its_scrapes_until_it_starts(running_mesh: mesh.Mesh) -> None:
    target = running_mesh.targets()["redis"][0]
    running_mesh.stop_exporter("redis")
    with pytest.raises(aiohttp.ClientResponseError, match="503"):
        await _scrape(target)
    running_mesh.start_exporter("redis")
    assert await _scrape(target)


def test_the_mesh_has_no_other_services() -> None:
    with pytest.raises(ValueError, match="no service 'mail'"):
        mesh.Mesh().break_service("mail")


def test_an_unpacked_alertmanager_looks_for_its_templates_where_it_was_unpacked(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "bin" / "prometheus-alertmanager"
    template = tmp_path / "usr" / "share" / "prometheus" / "alertmanager" / "default.tmpl"
    for path, content in ((program, b"..../usr/share/prometheus/alertmanager/ui/"), (template, b"")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    moved, cwd = unpacked.startable(program)
    assert moved.read_bytes() == b"....usr/share/prometheus/alertmanager//ui/"
    assert (tmp_path / "usr/share/prometheus/alertmanager//default.tmpl").exists()
    assert cwd == tmp_path
    assert program.read_bytes() == b"..../usr/share/prometheus/alertmanager/ui/"


def test_an_alertmanager_without_such_templates_is_started_as_it_is(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "bin" / "alertmanager"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"")
    assert unpacked.startable(program) == (program, None)


STAND_IN_SERVICE = f"""#!{sys.executable}
import http.server, os, sys
address = sys.argv[sys.argv.index("--listen") + 1]
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(address.rpartition(":")[2])), Ready)
print("started", os.getpid(), os.environ.get("GREETING"), os.environ.get("SECRET_OF_THE_TESTER"), flush=True)
print(f"listening on http://127.0.0.1:{{server.server_port}}", file=sys.stderr, flush=True)
server.serve_forever()
"""


@pytest.fixture
def executable(tmp_path: Path) -> Path:
    path = tmp_path / "service"
    path.write_text(STAND_IN_SERVICE)
    path.chmod(0o755)
    return path


async def test_a_service_says_where_it_listens_and_is_ready_there(tmp_path: Path, executable: Path) -> None:
    async with (
        service.run(state_dir=tmp_path / "state", env={}, executable=executable) as running,
        aiohttp.ClientSession() as session,
        session.get(f"{running.url}/-/ready") as answer,
    ):
        assert answer.status == 200


async def test_a_killed_service_comes_back_at_its_address(tmp_path: Path, executable: Path) -> None:
    async with service.run(state_dir=tmp_path / "state", env={}, executable=executable) as running:
        first = running.url, running.pid
        await running.kill()
        with pytest.raises(process.ProgramFailedError, match="not running"):
            _ = running.pid
        await running.restart()
        assert running.url == first[0]
        assert running.pid != first[1]
        assert running.log().count("started") == 2


async def test_a_service_sees_what_it_is_given_and_nothing_of_ours(
    tmp_path: Path, executable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_TESTER", "x")
    async with service.run(
        state_dir=tmp_path / "state", env={"GREETING": "hello"}, executable=executable
    ) as running:
        pass
    assert "hello None" in running.log()


async def test_a_service_that_ends_at_once_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no configuration\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(process.ProgramFailedError, match=r"ended with 3[\s\S]*no configuration"):
        async with service.run(state_dir=tmp_path / "state", env={}, executable=broken):
            pass


async def test_a_program_that_ends_before_it_is_ready_says_why(tmp_path: Path) -> None:
    program = await process.start(
        "sh", "-c", "echo bad flag; exit 2", name="it", url="http://127.0.0.1:9", log_path=tmp_path / "it.log"
    )
    with pytest.raises(process.ProgramFailedError, match=r"ended with 2[\s\S]*bad flag"):
        await program.wait_answer("/", timeout_seconds=10)


async def test_a_failure_inside_carries_the_programs_log(tmp_path: Path) -> None:
    async def fail() -> None:
        program = await process.start(
            "sh", "-c", "echo what went wrong", name="it", url="", log_path=tmp_path / "it.log"
        )
        async with process.supervised(program):
            await program.child.wait()
            raise ValueError("of the test")

    with pytest.raises(ValueError, match="of the test") as caught:
        await fail()
    assert "what went wrong" in caught.value.__notes__[0]


PARENT = """
import asyncio, os, sys
from pathlib import Path
from tests.world import process
async def main():
    fifo = Path(sys.argv[1], "up")
    os.mkfifo(fifo)
    one = await process.start(
        "sh", "-c", f"echo > {fifo}; exec sleep 600", name="it", url="", log_path=Path(sys.argv[1], "log")
    )
    fifo.read_text()  # it runs, so the tie is made
    print(one.child.pid, flush=True)
    await one.child.wait()
asyncio.run(main())
"""


@pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="util-linux's setpriv ties a program to its parent"
)
async def test_a_program_dies_with_its_parent(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        tmp_path,
        cwd=staging.CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    program = os.pidfd_open(int(await parent.stdout.readline()))
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(program, ended.set)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        await ended.wait()
    asyncio.get_running_loop().remove_reader(program)
    os.close(program)


async def _scrape(target: mesh.Target) -> Mapping[tuple[str, str], float]:
    url = f"http://{target.address}{target.labels.get('__metrics_path__')}"
    if "__exporter__" in target.labels:
        url = f"http://{target.labels['__exporter__']}/probe?target={target.address}"
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as answer:
        text = await answer.text()
    return {
        (sample.name, sample.labels.get("deployment", "")): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


async def _kube_state_metrics(running: mesh.Mesh) -> Mapping[tuple[str, str], float]:
    return await _scrape(running.targets()["kube-state-metrics"][0])


def _copy_checkout(folder: Path) -> None:
    for path in [*SHIPPED.rglob("*.yml"), *(staging.CHECKOUT / "rules").rglob("*.yml")]:
        copied = folder / path.relative_to(staging.CHECKOUT)
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
