"""`phantommesh-alerts serve` as an operator meets it: what it refuses, how it ends, how it changes its mind."""

import asyncio
import os
import re
import signal
import ssl
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.acceptance import serving
from tests.acceptance.serving import ROUTING
from tests.standins import faults
from tests.world import ports, process, service

# ruff: noqa: ASYNC240 - small files, and nothing else runs on the loop while they are written

TLS = Path(__file__).parents[1] / "fixtures" / "tls"
STORE = "phantommesh-alerts.sqlite3"


@pytest_asyncio.fixture
async def far() -> AsyncIterator[serving.Far]:
    async with serving.far_ends() as ends:
        yield ends


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    file = tmp_path / "routing.yml"
    file.write_text(ROUTING)
    return file


# What it refuses


async def test_it_refuses_to_start_when_no_p1_could_page(tmp_path: Path) -> None:
    status, said = await serving.refusal(tmp_path, "--listen", "127.0.0.1:0", env={})
    assert status == 1
    assert "set PAGERDUTY_SERVICE_KEY" in said
    assert "--dry-run" in said
    assert "Traceback" not in said


async def test_it_refuses_to_start_when_the_route_for_a_p1_leads_to_no_pager(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    routing.write_text(ROUTING.replace("destinations: [pagerduty]", "destinations: [slack-ops]"))
    line = 1 + ROUTING[: ROUTING.index('priority="P1"')].count("\n")
    options = ("--listen", "127.0.0.1:0", "--config", str(routing))
    status, said = await serving.refusal(tmp_path, *options, env=far.env)
    assert status == 1
    assert f"add a destination of kind pagerduty to the route at {routing}:{line}" in said


async def test_a_reload_after_which_no_p1_could_page_is_refused_at_its_line(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        routing.write_text(ROUTING.replace("destinations: [pagerduty]", "destinations: [slack-ops]"))
        line = 1 + ROUTING[: ROUTING.index('priority="P1"')].count("\n")
        status, text = await serving.ask(running, "/-/reload", method="POST")
        assert status == 500
        assert text.startswith(f"{routing}:{line}: no P1 could page anyone"), text


async def test_a_route_that_keeps_some_p1_from_paging_is_said_at_the_start(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    staging = "    - matchers: ['namespace=\"staging\"']\n      destinations: [slack-ops]\n"
    routing.write_text(ROUTING.replace("  routes:\n", f"  routes:\n{staging}"))
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        await running.wait_logged(
            re.compile(r"a P1 would page nobody.*namespace=.*staging", re.DOTALL), timeout_seconds=10
        )


async def test_its_metrics_tell_for_how_long_a_p1_waits(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    far.pagerduty.script(faults.server_error(503), times=None)
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        waits = re.compile(r'oldest_undelivered_seconds\{destination="pagerduty",priority="P1"\} (?!0\.0)\d')
        async with asyncio.timeout(20):
            while not waits.search(metrics := (await serving.ask(running, "/metrics"))[1]):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.2)
    for quiet in ('destination="pagerduty",priority="P2"', 'destination="slack-ops",priority="P1"'):
        assert f"oldest_undelivered_seconds{{{quiet}}} 0.0" in metrics


async def test_a_dry_run_starts_without_any_secret_and_prints_everything(tmp_path: Path) -> None:
    async with service.run(state_dir=tmp_path / "state", env={}, options=("--dry-run",)) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        for destination in ("pagerduty", "slack-incidents", "log"):
            await running.wait_logged(
                re.compile(f"phantommesh.log: .*{destination}.*vpn-core is down"), timeout_seconds=10
            )


async def test_a_dry_run_sends_nothing_though_every_secret_is_set(tmp_path: Path, far: serving.Far) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env, options=("--dry-run",)) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        assert await serving.post(running, "vpn-core", "P1", resolved=True) == 200
        await running.wait_logged(
            re.compile(r"phantommesh\.log: .*slack-incidents.*resolved"), timeout_seconds=10
        )
        assert await running.stop() == 0
    assert far.pagerduty.requests + far.slack.requests == []


async def test_it_refuses_to_listen_beyond_this_machine_without_a_token(
    tmp_path: Path, far: serving.Far
) -> None:
    status, said = await serving.refusal(tmp_path, "--listen", "0.0.0.0:0", env=far.env)
    assert status == 1
    assert "set WEBHOOK_TOKEN" in said
    assert "--allow-anonymous" in said


@pytest.mark.parametrize("how", ["--allow-anonymous", "WEBHOOK_TOKEN"])
async def test_it_listens_beyond_this_machine_where_that_was_allowed(
    how: str, tmp_path: Path, far: serving.Far
) -> None:
    options = ("--listen", "0.0.0.0:0", *([how] if how.startswith("--") else []))
    env = far.env | ({} if how.startswith("--") else {how: "a-token-of-some-length"})
    async with service.run(state_dir=tmp_path / "state", env=env, options=options) as running:
        assert running.url.startswith("http://0.0.0.0:")
        anonymous = await serving.post(running, "vpn-core", "P1")
        assert anonymous == (200 if how.startswith("--") else 401)


async def test_a_second_process_on_the_same_state_is_refused(tmp_path: Path, far: serving.Far) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
        status, said = await serving.refusal(tmp_path, "--listen", "127.0.0.1:0", env=far.env)
        assert status == 1
        assert str(tmp_path / "state") in said
        assert await serving.post(running, "vpn-core", "P1") == 200, "the first one goes on"


async def test_a_corrupt_store_is_named_and_left_untouched(tmp_path: Path, far: serving.Far) -> None:
    store = tmp_path / "state" / STORE
    async with service.run(state_dir=store.parent, env=far.env) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
    whole = store.read_bytes()
    store.write_bytes(whole[:4096] + b"\xff" * 4096 + whole[8192:])
    broken = store.read_bytes()
    status, said = await serving.refusal(tmp_path, "--listen", "127.0.0.1:0", env=far.env)
    assert status == 1
    assert str(store) in said
    assert "Traceback" not in said
    assert store.read_bytes() == broken


@contextmanager
def _only_to_be_read(folder: Path) -> Iterator[None]:
    """A mount of the folder over itself that takes no writes, from root either."""
    mounted = subprocess.run(
        f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}",
        shell=True, check=False, capture_output=True, text=True,
    )  # fmt: skip
    if mounted.returncode:
        assert os.geteuid() != 0, f"root cannot mount: {mounted.stderr}"
        pytest.skip("only root can mount a directory so that it may only be read")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_store_that_may_only_be_read_is_named_and_left_untouched(
    tmp_path: Path, far: serving.Far
) -> None:
    state = tmp_path / "state"
    async with service.run(state_dir=state, env=far.env) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
    with _only_to_be_read(state):
        whole = (state / STORE).read_bytes()
        status, said = await serving.refusal(tmp_path, "--listen", "127.0.0.1:0", env=far.env)
        assert (state / STORE).read_bytes() == whole
    assert status == 1
    assert str(state) in said
    assert "Read-only file system" in said
    assert "Traceback" not in said


async def test_files_of_the_state_are_for_their_owner_only(tmp_path: Path, far: serving.Far) -> None:
    before = os.umask(0)
    try:
        async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
            assert await serving.post(running, "vpn-core", "P1") == 200
            files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in running.state_dir.iterdir()}
    finally:
        os.umask(before)
    assert STORE in files
    assert set(files.values()) == {0o600}, files


# How it ends


async def test_sigterm_ends_it_with_0_and_finishes_the_send_under_way(
    tmp_path: Path, far: serving.Far
) -> None:
    slow = faults.Drip(interval_seconds=0.02, status=202, body=" " * 50 + '{"dedup_key": "x"}', recorded=True)
    far.pagerduty.script(slow)
    async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        await far.paged("vpn-core")
        assert await running.stop() == 0
        await running.start()
        await running.wait_logged(re.compile(r"told .*destination=pagerduty "), timeout_seconds=10)
        assert await serving.post(running, "redis", "P1") == 200
        await far.paged("redis")
    assert [event.outcome for event in far.pagerduty.events] == ["opened", "opened"], "it was recorded"


async def test_sigterm_under_load_loses_nothing_that_was_accepted(tmp_path: Path, far: serving.Far) -> None:
    accepted: dict[serving.Priority, set[str]] = {"P1": set(), "P3": set()}

    async def keep_posting(worker: int) -> None:
        for number in range(10_000):
            # Few enough pages for PagerDuty's limit, which the service keeps.
            priority: serving.Priority = "P1" if number % 50 == 0 else "P3"
            name = f"service-{worker}-{number}"
            try:
                status = await serving.post(running, name, priority)
            except aiohttp.ClientError:
                return
            if status == 200:
                accepted[priority].add(name)

    async with service.run(state_dir=tmp_path / "state", env=far.env) as running:
        load = [asyncio.create_task(keep_posting(worker)) for worker in range(4)]
        await far.paged("service-0-50")
        assert await running.stop() == 0
        await asyncio.gather(*load)
        await running.start()
        await far.pagerduty.wait_for(
            lambda pager: accepted["P1"] <= {one.opened.payload["component"] for one in pager.incidents},
            timeout_seconds=60,
        )
        assert await open_incidents(running, "P3") >= len(accepted["P3"]) > 0
    assert {event.outcome for event in far.pagerduty.events} == {"opened"}, "nobody was paged twice"


async def open_incidents(running: service.Service, priority: serving.Priority) -> int:
    _, exposed = await serving.ask(running, "/metrics")
    (line,) = re.findall(
        rf'^phantommesh_alerts_open_incidents{{priority="{priority}"}} (\S+)$', exposed, re.MULTILINE
    )
    return int(float(line))


# How it changes its mind

Reload = Callable[[service.Service], Awaitable[None]]


async def by_post(running: service.Service) -> None:
    assert await serving.ask(running, "/-/reload", method="POST") == (200, "Reloaded.\n")


async def by_signal(running: service.Service) -> None:
    os.kill(running.pid, signal.SIGHUP)
    await running.wait_logged(re.compile("configuration reloaded"), timeout_seconds=10)


@pytest.mark.parametrize("reload", [by_post, by_signal])
async def test_a_changed_configuration_is_used_from_its_reload_on(
    reload: Reload, tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        routing.write_text(ROUTING.replace("destinations: [log]", "destinations: [slack-ops]"))
        await reload(running)
        assert await serving.post(running, "backup", "P3") == 200
        await far.told("#phantommesh-ops", "backup")


async def test_reloads_under_load_lose_nothing_and_page_nobody_twice(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    names = [f"service-{number}" for number in range(12)]  # few enough for PagerDuty to take them at once

    async def post_all(running: service.Service, worker: int) -> None:
        for name in names[worker::3] * 8:
            assert await serving.post(running, name, "P1") == 200, "a reload refuses nobody"

    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        load = [asyncio.create_task(post_all(running, worker)) for worker in range(3)]
        reloads = 0
        while not all(task.done() for task in load):
            routing.write_text(f"{ROUTING}max_body_bytes: {1_000_000 + reloads}\n")
            await by_post(running)
            reloads += 1
        await asyncio.gather(*load)
        assert reloads > 1
        await far.pagerduty.wait_for(
            lambda pager: {one.opened.payload["component"] for one in pager.incidents} == set(names),
            timeout_seconds=60,
        )
    assert {event.outcome for event in far.pagerduty.events} == {"opened"}, "nobody was paged twice"


async def test_a_broken_configuration_is_refused_and_the_old_one_stays(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        routing.write_text(ROUTING.replace("[slack-ops]", "[slack-opps]"))
        line = 1 + ROUTING[: ROUTING.index("[slack-ops]")].count("\n")
        status, text = await serving.ask(running, "/-/reload", method="POST")
        assert status == 500
        assert re.fullmatch(rf"{re.escape(str(routing))}:{line}: .*slack-opps.*\n", text), text
        os.kill(running.pid, signal.SIGHUP)
        await running.wait_logged(
            re.compile(r"configuration refused(.*\n)+.*configuration refused"), timeout_seconds=10
        )
        assert await serving.post(running, "api-gateway", "P2") == 200
        await far.told("#phantommesh-ops", "api-gateway")


async def test_a_destination_with_open_incidents_is_not_dropped_and_the_incident_is_named(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    dropped = re.sub(r"  slack-ops:\n(    .*\n)+", "", ROUTING).replace("[slack-ops]", "[log]")
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "api-gateway", "P2") == 200
        await far.told("#phantommesh-ops", "api-gateway")
        routing.write_text(dropped)
        status, text = await serving.ask(running, "/-/reload", method="POST")
        assert status == 500
        _, page = await serving.ask(running, "/")
        open_id = re.findall("/incidents/([0-9a-f]{32})", page)[0]
        assert "slack-ops" in text
        assert open_id in text
        assert "retired: true" in text
        assert await serving.post(running, "api-gateway", "P2", resolved=True) == 200
        await running.wait_logged(re.compile(r"told .*destination=slack-ops .*act=close"), timeout_seconds=10)
        await by_post(running)
    assert far.summaries("#phantommesh-ops") == ["api-gateway", "api-gateway"], "the old one stayed in force"


async def test_a_retired_destination_is_told_that_it_is_told_elsewhere_and_nothing_new(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    retired = ROUTING.replace("[slack-ops]", "[log]").replace(
        "    kind: slack\n", "    kind: slack\n    retired: true\n"
    )
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "api-gateway", "P2") == 200
        await far.told("#phantommesh-ops", "api-gateway")
        routing.write_text(retired)
        await by_post(running)
        await far.told("#phantommesh-ops", "rerouted", "api-gateway")
        assert await serving.post(running, "redis", "P2") == 200
        await running.wait_logged(re.compile(r"phantommesh\.log: .*redis is down"), timeout_seconds=10)
    assert far.summaries("#phantommesh-ops") == ["api-gateway", "api-gateway"]


async def test_a_new_destination_is_told_what_is_open_but_not_the_p3(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    extra = '  slack-info:\n    kind: slack\n    channel: "#phantommesh-info"\n    webhook: {env: SLACK_INFO_WEBHOOK}\n'
    added = (
        ROUTING.replace("  log:\n", f"{extra}  log:\n")
        .replace("[log]", "[slack-info]")
        .replace("[pagerduty]", "[pagerduty, slack-info]")
        .replace("[slack-ops]", "[slack-ops, slack-info]")
    )
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "backup", "P3") == 200
        assert await serving.post(running, "api-gateway", "P2") == 200
        assert await serving.post(running, "vpn-core", "P1") == 200
        await far.told("#phantommesh-ops", "api-gateway")
        await far.paged("vpn-core")
        routing.write_text(added)
        await by_post(running)
        await far.told("#phantommesh-info", "vpn-core")
        await far.told("#phantommesh-info", "api-gateway")
        assert await serving.post(running, "certificate", "P3") == 200
        await far.told("#phantommesh-info", "certificate")
    assert sorted(far.summaries("#phantommesh-info")) == ["api-gateway", "certificate", "vpn-core"]
    assert [event.outcome for event in far.pagerduty.events] == ["opened"], "nobody is paged again"


async def test_what_was_dry_is_told_what_is_open_once_its_secret_is_set(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    env = {name: value for name, value in far.env.items() if name != "SLACK_OPS_WEBHOOK"}
    async with service.run(state_dir=tmp_path / "state", env=env, config_path=routing) as running:
        assert await serving.post(running, "api-gateway", "P2") == 200
        await running.wait_logged(re.compile(r"phantommesh\.log: .*api-gateway is down"), timeout_seconds=10)
        (tmp_path / "slack-ops").write_text(far.slack.webhook("#phantommesh-ops"))
        routing.write_text(ROUTING.replace("{env: SLACK_OPS_WEBHOOK}", "{file: slack-ops}"))
        await by_post(running)
        await far.told("#phantommesh-ops", "api-gateway")
        assert await serving.post(running, "api-gateway", "P2", resolved=True) == 200
        await far.told("#phantommesh-ops", "resolved", "api-gateway")
    assert far.summaries("#phantommesh-ops") == ["api-gateway", "api-gateway"]


# Rotation and TLS


async def test_a_token_is_rotated_by_its_files_and_reloads_without_a_restart(
    tmp_path: Path, far: serving.Far
) -> None:
    new, previous = tmp_path / "token", tmp_path / "previous"
    new.write_text("first-token\n")
    previous.write_text("token-before-that\n")
    env = far.env | {"WEBHOOK_TOKEN_FILE": str(new), "WEBHOOK_TOKEN_PREVIOUS_FILE": str(previous)}
    taken = ("token-before-that", "first-token", "second-token")
    async with service.run(state_dir=tmp_path / "state", env=env) as running:

        async def answers() -> list[int]:
            return [await serving.post(running, "redis", "P2", token=token) for token in taken]

        assert await answers() == [200, 200, 401]
        previous.write_text("first-token\n")
        new.write_text("second-token\n")
        assert await answers() == [200, 200, 401], "not before the reload"
        os.kill(running.pid, signal.SIGHUP)
        await running.wait_logged(re.compile("configuration reloaded"), timeout_seconds=10)
        assert await answers() == [401, 200, 200]
        new.unlink()
        os.kill(running.pid, signal.SIGHUP)
        await running.wait_logged(re.compile("configuration refused"), timeout_seconds=10)
        assert await answers() == [401, 200, 200], "a file that is gone changes nothing"


async def test_it_asks_for_client_certificates_from_the_reload_on_that_names_their_authority(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    port = ports.free()
    with_tls = f"{ROUTING}tls:\n  cert: {TLS}/server.crt\n  key: {TLS}/server.key\n"
    routing.write_text(with_tls)
    child = await process.start(
        service.CONSOLE_SCRIPT, "serve", "--config", routing, "--listen", f"127.0.0.1:{port}",
        "--state-dir", tmp_path / "state",
        name="phantommesh-alerts", url="", log_path=tmp_path / "log", env=far.env,
    )  # fmt: skip
    reload = f"https://127.0.0.1:{port}/-/reload"
    async with process.supervised(child):
        stranger, known = (ssl.create_default_context(cafile=TLS / "server.crt") for _ in range(2))
        known.load_cert_chain(TLS / "client.crt", TLS / "client.key")
        assert await answered(f"https://127.0.0.1:{port}/-/ready", stranger) == 200
        routing.write_text(f"{with_tls}  client_ca: {TLS}/clients.crt\n")
        assert await answered(reload, stranger, method="POST") == 200
        assert await answered(reload, stranger, method="POST") == 401
        assert await answered(reload, known, method="POST") == 200
        routing.write_text(ROUTING)
        assert await answered(reload, known, method="POST") == 500, "TLS cannot be turned off so"


async def test_it_serves_https_with_the_certificate_of_a_file(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    for name in ("server.crt", "server.key"):
        (tmp_path / name).write_bytes((TLS / name).read_bytes())
    port = ports.free()
    routing.write_text(f"{ROUTING}tls:\n  cert: server.crt\n  key: server.key\n")
    child = await process.start(
        service.CONSOLE_SCRIPT, "serve", "--config", routing, "--listen", f"127.0.0.1:{port}",
        "--state-dir", tmp_path / "state",
        name="phantommesh-alerts", url="", log_path=tmp_path / "log", env=far.env,
    )  # fmt: skip
    async with process.supervised(child):
        trusted = ssl.create_default_context(cafile=TLS / "server.crt")
        assert await answered(f"https://127.0.0.1:{port}/-/ready", trusted) == 200


async def answered(address: str, trusted: ssl.SSLContext, *, method: str = "GET") -> int:
    """The status of the first answer; the process says nothing that could be awaited before it listens."""
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.request(method, address, ssl=trusted) as answer:
                    return answer.status
            except aiohttp.ClientConnectorCertificateError:
                raise
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
