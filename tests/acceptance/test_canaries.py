"""Secrets are printed nowhere: each has a value that is looked for in all that the service says, serves and stores.

The service and its commands run as processes, with every secret variable set. They are driven through what makes
programs talkative: far ends that echo what they were sent, broken configurations, wrong tokens, a crash.
"""

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance import serving
from tests.standins import faults, pagerduty, slack
from tests.world import process, service
from webhook import config, environment

# ruff: noqa: ASYNC240 - small files, and nothing else runs on the loop while they are read and written

CHECKOUT = Path(__file__).resolve().parents[2]
CANARIES = {
    "PAGERDUTY_SERVICE_KEY": "canary0pagerduty0key000000000000",
    "PAGERDUTY_SERVICE_KEY_PREVIOUS": "canary0pagerduty0previous0000000",
    "WEBHOOK_TOKEN": "canary-webhook-token-new",
    "WEBHOOK_TOKEN_PREVIOUS": "canary-webhook-token-previous",
    "SLACK_INCIDENTS_WEBHOOK": "canary-slack-incidents",
    "SLACK_OPS_WEBHOOK": "canary-slack-ops",
    "SLACK_INFO_WEBHOOK": "canary-slack-info",
    "HEARTBEAT_URL": "canary-heartbeat",
}
"""Of each variable that holds a secret: a word that occurs in its value, and nowhere else."""

NO_SECRETS = {
    "ALERTMANAGER_URL",
    "DATABASE_URL",
    "EXTERNAL_URL",
    "GRAFANA_URL",
    "LOKI_URL",
    "PAGERDUTY_EVENTS_URL",
    "PROMETHEUS_URL",
}
MISTYPED = "canary-of-a-person-who-mistyped"
CHANNELS = {
    "SLACK_INCIDENTS_WEBHOOK": "#incidents",
    "SLACK_OPS_WEBHOOK": "#ops",
    "SLACK_INFO_WEBHOOK": "#info",
}

CRASHING = """
import sys
from webhook import cli, delivering

secret = sys.argv.pop()

def crash(self):
    raise RuntimeError(f"no session for {secret}")

delivering.Delivering.lanes = crash
sys.exit(cli.main())
"""
"""The console script with a fault of ours in it, whose text has what its last argument is."""


@dataclass(slots=True, kw_only=True)
class World:
    """Far ends, an environment with every secret in it, and all that was seen so far."""

    folder: Path
    pagerduty: pagerduty.PagerDuty
    slack: slack.Slack
    seen: list[str] = field(default_factory=list)

    def value(self, name: str) -> str:
        if name in CHANNELS:
            return self.slack.webhook(CHANNELS[name])
        return (
            f"{self.slack.url}/beat/{CANARIES[name]}?key={CANARIES[name]}"
            if name == "HEARTBEAT_URL"
            else CANARIES[name]
        )

    def env(self, *, by_file: bool) -> dict[str, str]:
        env = {"PAGERDUTY_EVENTS_URL": self.pagerduty.url}
        for name in CANARIES:
            if by_file:
                file = self.folder / f"secret {name}"
                file.write_text(f"{self.value(name)}\n")
                env[f"{name}_FILE"] = str(file)
            else:
                env[name] = self.value(name)
        return env

    async def look(self, running: service.Service, path: str) -> None:
        self.seen.append((await serving.ask(running, path))[1])

    def look_at_state(self, folder: Path) -> None:
        """Every file as it is, and the store row by row: a long value may be torn over pages."""
        for file in folder.iterdir():
            self.seen.append(file.read_bytes().decode("latin-1"))
            if file.suffix == ".sqlite3":
                with closing(sqlite3.connect(file)) as database:
                    self.seen.extend(database.iterdump())

    def let_far_ends_echo(self) -> None:
        """Fail a few times, in all ways, with what each was sent in body, headers and errors."""
        keys = {name: self.value(name) for name in CANARIES if name in ("PAGERDUTY_SERVICE_KEY", *CHANNELS)}
        for name, value in keys.items():
            echo = f"no {value}, no {CANARIES[name]}"
            headers = {"X-Echo": echo, "Location": f"{self.slack.url}/{CANARIES[name]}"}
            json_body = json.dumps({"status": echo, "message": echo, "errors": [echo]})
            answers = [(503, echo), (302, echo), (400, json_body), (400, echo), (403, json_body)]
            for status, body in answers:
                answer = faults.Answer(status=status, body=body, headers=headers)
                if name in CHANNELS:
                    self.slack.script(answer, where=self.slack.to(CHANNELS[name]))
                else:
                    self.pagerduty.script(answer)

    def leaks(self) -> set[str]:
        """The canaries that were seen, each with where it stood."""
        secrets = (*CANARIES.values(), MISTYPED)
        return {
            text[max(0, at - 100) : at + 60]
            for text in self.seen
            for secret in secrets
            if (at := text.find(secret)) >= 0
        }


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    channels = {CANARIES[name]: channel for name, channel in CHANNELS.items()}
    keys = {CANARIES["PAGERDUTY_SERVICE_KEY"]: "PhantomMesh"}
    async with (
        pagerduty.serve(keys=keys, rate_per_minute=None) as pager,
        slack.serve(channels=channels, burst=None) as chat,
    ):
        yield World(folder=tmp_path, pagerduty=pager, slack=chat)


async def said_by(command: list[str], env: Mapping[str, str]) -> tuple[int | None, str]:
    """Run something to its end: its status and all that it printed."""
    child = await asyncio.create_subprocess_exec(
        *process.mortal(command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=process.environment(env),
    )
    async with asyncio.timeout(60):
        output, _ = await child.communicate()
    return child.returncode, output.decode()


def test_every_variable_that_is_read_is_here() -> None:
    """A new one has to be put where it belongs, and then the tests below hold for it."""
    packaged = config.PACKAGED.read_text()
    code = (CHECKOUT / "webhook" / "config.py").read_text()
    read = set(re.findall(r": \{env: (\w+)\}", packaged)) | set(re.findall(r'"([A-Z]+_[A-Z_]+)"', code))
    assert read == {*CANARIES, *NO_SECRETS}


async def test_every_secret_is_typed_as_one(world: World) -> None:
    found = {
        secret.reveal() for secret in environment.secrets_in(config.load(None, world.env(by_file=False)))
    }
    assert {name for name in CANARIES if world.value(name) not in found} == set()


@pytest.mark.parametrize(("style", "by_file"), [("text", True), ("json", False)])
async def test_far_ends_that_echo_what_they_were_sent_make_nothing_seen(
    world: World, style: str, by_file: bool
) -> None:
    world.let_far_ends_echo()
    state, token = world.folder / "state", CANARIES["WEBHOOK_TOKEN"]
    options = ("--log-format", style)
    async with service.run(state_dir=state, env=world.env(by_file=by_file), options=options) as running:
        incidents_of: dict[str, serving.Priority] = {
            "vpn-core": "P1",
            "redis": "P1",
            "api": "P2",
            "backup": "P3",
        }
        for name, priority in incidents_of.items():
            assert await serving.post(running, name, priority, token=token) == 200
        await running.wait_logged(re.compile("dead letter"), timeout_seconds=60)
        await running.wait_logged(re.compile("destination is broken"), timeout_seconds=60)
        for wrong in (MISTYPED, f"{token}x", CANARIES["PAGERDUTY_SERVICE_KEY"]):
            assert await serving.post(running, "vpn-core", "P1", token=wrong) == 401
            world.seen.append((await serving.ask(running, "/-/reload", method="POST", token=wrong))[1])
        _, page = await serving.ask(running, "/")
        incidents = set(re.findall("/incidents/[0-9a-f]{32}", page))
        assert len(incidents) >= 4, page
        for path in ("/", "/metrics", "/-/ready", "/runbooks/ServiceDown", *incidents):
            await world.look(running, path)
        _, listed = await said_by(
            [str(service.CONSOLE_SCRIPT), "incidents", "--state-dir", str(state), "--output", "json"],
            world.env(by_file=by_file),
        )
        assert "vpn-core" in listed
        assert await running.stop() == 0
        world.seen += [listed, running.log()]
    world.look_at_state(state)
    assert world.leaks() == set()


async def test_faulty_configurations_show_no_value(world: World) -> None:
    routing = world.folder / "routing.yml"
    routing.write_text(serving.ROUTING)
    pasted = [
        serving.ROUTING.replace("{env: SLACK_OPS_WEBHOOK}", world.value("SLACK_OPS_WEBHOOK")),
        serving.ROUTING.replace("{env: SLACK_OPS_WEBHOOK}", f"{{env: {world.value('SLACK_OPS_WEBHOOK')}}}"),
        serving.ROUTING.replace("PAGERDUTY_SERVICE_KEY", CANARIES["PAGERDUTY_SERVICE_KEY"]),
        serving.ROUTING.replace("{env: PAGERDUTY_SERVICE_KEY}", f"[{CANARIES['PAGERDUTY_SERVICE_KEY']}"),
    ]
    env, token = world.env(by_file=True), CANARIES["WEBHOOK_TOKEN"]
    async with service.run(state_dir=world.folder / "state", env=env, config_path=routing) as running:
        for text in pasted:
            routing.write_text(text)
            status, told = await serving.ask(running, "/-/reload", method="POST", token=token)
            assert status == 500, told
            world.seen.append(told)
        for name in CANARIES:
            file = Path(env[f"{name}_FILE"])
            former = file.read_text()
            for broken in (
                f"{former.strip()} and more",
                f"{former}\n{former}",
                f"ftp://{former}",
                f"\x00{former}",
            ):
                file.write_text(broken)
                world.seen.append((await serving.ask(running, "/-/reload", method="POST", token=token))[1])
            file.write_text(former)
        assert await running.stop() == 0
        world.seen.append(running.log())
    assert "configuration refused" in world.seen[-1]
    assert world.leaks() == set()


@pytest.mark.parametrize(
    "words",
    [
        ("check",),
        ("check", "--output", "json"),
        ("route", "test", "alertname=ServiceDown", "priority=P1"),
        ("version",),
        ("incidents", "--state-dir", "state"),
        ("serve", "--state-dir", "state", "--listen", "256.0.0.1:1"),
    ],
)
@pytest.mark.parametrize("broken", [False, True])
async def test_commands_show_no_value(world: World, words: tuple[str, ...], broken: bool) -> None:
    env = world.env(by_file=False)
    if broken:
        env = {name: f"{value} and more" for name, value in env.items()}
    _, said = await said_by([str(service.CONSOLE_SCRIPT), *words], env)
    assert said
    world.seen.append(said)
    assert world.leaks() == set()


async def test_a_crash_shows_no_value(world: World) -> None:
    state = str(world.folder / "state")
    words = ["serve", "--state-dir", state, "--listen", "127.0.0.1:0", world.value("SLACK_OPS_WEBHOOK")]
    status, said = await said_by([sys.executable, "-c", CRASHING, *words], world.env(by_file=False))
    assert status == 1
    assert "RuntimeError: no session for [redacted]" in said
    world.seen.append(said)
    assert world.leaks() == set()
