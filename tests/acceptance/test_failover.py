"""A far end goes down and comes back while a P1 is open: the whole service, over real sockets."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance import serving
from tests.standins import blocks, faults, messages, mrkdwn
from tests.standins import pagerduty as pagerduty_standin
from tests.standins import slack as slack_standin
from tests.world import service, stack

ROUTING = """\
destinations:
  pagerduty:
    kind: pagerduty
    routing_key: {env: PAGERDUTY_SERVICE_KEY}
    routing_key_previous: {env: PAGERDUTY_SERVICE_KEY_PREVIOUS}
    failover: {to: slack-incidents, after_seconds: 3}
  slack-incidents:
    kind: slack
    channel: "#phantommesh-incidents"
    webhook: {env: SLACK_INCIDENTS_WEBHOOK}
    failover: {to: pagerduty, after_seconds: 3}
escalation:
  - {who: On-call engineer, reach: "+49 30 1234"}
  - {who: Engineering lead}
route:
  destinations: [pagerduty, slack-incidents]
"""
INCIDENTS = "#phantommesh-incidents"
NEW_KEY = stack.ROUTING_KEY[::-1]
SECONDS = 40


@pytest_asyncio.fixture
async def far() -> AsyncIterator[serving.Far]:
    async with serving.far_ends() as ends:
        yield ends


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    file = tmp_path / "routing.yml"
    file.write_text(ROUTING)
    return file


def read(one: messages.Message) -> str:
    """A message as people read it."""
    return "\n".join(mrkdwn.plain(text) for text, _ in blocks.texts(one.blocks))


async def test_a_p1_that_pagerduty_does_not_take_calls_the_channel_and_pages_when_it_is_back(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    far.pagerduty.script(faults.server_error(503), times=None)
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        await far.slack.wait_for(
            lambda slack: any(one.mentions for one in slack.posted(INCIDENTS)), timeout_seconds=SECONDS
        )
        far.pagerduty.clear_faults()
        await far.paged("vpn-core")
        await far.slack.wait_for(
            lambda slack: "has been paged now, at" in read(slack.posted(INCIDENTS)[-1]),
            timeout_seconds=SECONDS,
        )
    opened, summons, back = far.slack.posted(INCIDENTS)
    assert (opened.mentions, back.mentions) == ([], [])
    assert [one.target for one in summons.mentions] == ["channel"]
    assert "@channel PagerDuty has not taken this page for" in read(summons)
    assert "PagerDuty answered 503" in read(summons)
    assert "1. On-call engineer: +49 30 1234" in read(summons)
    assert len(far.pagerduty.incidents) == 1


async def test_a_p1_that_slack_does_not_take_is_said_in_pagerduty_and_told_when_it_is_back(
    tmp_path: Path, far: serving.Far, routing: Path
) -> None:
    far.slack.script(faults.server_error(500), times=None)
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        await far.pagerduty.wait_for(lambda pager: len(pager.events) == 2, timeout_seconds=SECONDS)
        far.slack.clear_faults()
        await far.pagerduty.wait_for(lambda pager: len(pager.events) == 3, timeout_seconds=SECONDS)
    notes = [event.payload["custom_details"].get("notes", [""])[0] for event in far.pagerduty.events]
    assert [event.outcome for event in far.pagerduty.events] == ["opened", "appended", "appended"]
    assert notes[1].startswith(f"Slack's {INCIDENTS} has not taken this P1 for")
    assert notes[2].startswith(f"Slack's {INCIDENTS} has been told now, at")
    assert not any(one.mentions for one in far.slack.posted(INCIDENTS))


async def test_a_broken_pager_is_not_waited_for_and_gets_all_of_it_after_a_reload(
    tmp_path: Path, far: serving.Far
) -> None:
    """The key in the file is a wrong one at first; no process is restarted."""
    key = tmp_path / "key"
    key.write_text("f" * 32)
    file = tmp_path / "routing.yml"
    file.write_text(
        ROUTING.replace("{env: PAGERDUTY_SERVICE_KEY}", "{file: key}").replace("seconds: 3", "seconds: 3600")
    )
    async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=file) as running:
        assert await serving.post(running, "vpn-core", "P1") == 200
        await far.slack.wait_for(
            lambda slack: any(one.mentions and "vpn-core" in one.text for one in slack.posted(INCIDENTS)),
            timeout_seconds=SECONDS,
        )
        key.write_text(stack.ROUTING_KEY)
        assert (await serving.ask(running, "/-/reload", method="POST"))[0] == 200
        await far.paged("vpn-core")
        await far.told(INCIDENTS, "resolved", "DestinationBroken")
    broken = [one for one in far.slack.posted(INCIDENTS) if "DestinationBroken" in one.text]
    assert len(broken) == 2  # raised once, resolved once


async def test_a_key_that_is_rotated_while_a_p1_is_open_resolves_it_with_the_old_one(
    tmp_path: Path, routing: Path
) -> None:
    keys = {stack.ROUTING_KEY: "PhantomMesh", NEW_KEY: "PhantomMesh"}
    async with (
        pagerduty_standin.serve(keys=keys, rate_per_minute=None) as pager,
        slack_standin.serve(channels=stack.CHANNELS, burst=None) as chat,
    ):
        far = serving.Far(pagerduty=pager, slack=chat)
        rotated = {
            **far.env,
            "PAGERDUTY_SERVICE_KEY": NEW_KEY,
            "PAGERDUTY_SERVICE_KEY_PREVIOUS": stack.ROUTING_KEY,
        }
        async with service.run(state_dir=tmp_path / "state", env=far.env, config_path=routing) as running:
            assert await serving.post(running, "vpn-core", "P1") == 200
            await far.paged("vpn-core")
        async with service.run(state_dir=tmp_path / "state", env=rotated, config_path=routing) as running:
            assert await serving.post(running, "vpn-core", "P1", resolved=True) == 200
            await pager.wait_for(lambda one: not one.open_incidents(), timeout_seconds=SECONDS)
            assert await serving.post(running, "api", "P1") == 200
            await far.paged("api")
        (reopened,) = pager.open_incidents()
        assert reopened.routing_key == NEW_KEY
