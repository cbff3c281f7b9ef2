"""Dead letters: listed from the store, sent again through the running service, and shown before they are sent."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from click import testing

from routing import alarms, model
from tests.contract import served
from tests.unit import build
from webhook import auth, cli

KEY = "0123456789abcdef0123456789abcdef"
WEBHOOK = "https://hooks.slack.example/services/T0/B0/s3cretTail"
ROUTING = """\
destinations:
  pagerduty: {kind: pagerduty, routing_key: {env: KEY}}
  slack-ops: {kind: slack, channel: "#ops", webhook: {env: OPS}}
  log: {kind: log}
route:
  destinations: [pagerduty, slack-ops, log]
"""
TOKEN = "a-token-of-the-tests"
ID = model.incident_id(build.GROUP)
ENV = {"KEY": KEY, "OPS": WEBHOOK, "PAGERDUTY_EVENTS_URL": "https://pagerduty.example"}


def shows(*alerts: model.Alert) -> model.Shown:
    return model.Shown(
        episode=1, firing=frozenset(one.fingerprint for one in alerts), priority=model.Priority.P1
    )


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[served.Served]:
    async with served.serve(tmp_path / "state", access=auth.Access(token=TOKEN)) as running:
        yield running


@pytest.fixture
async def refused(service: served.Served) -> served.Served:
    """A P1 that Slack refused for good and PagerDuty took, and the alarm about it."""
    store = service.store
    await store.record(build.message(build.alert()), service.now)
    await store.expect(ID, ["pagerduty", "slack-ops"], 1, service.now)
    await store.settle(ID, "pagerduty", shows(build.alert()), service.now)
    await store.bury(ID, "slack-ops", shows(build.alert()), "Slack answered 400: invalid_blocks", service.now)
    labels = alarms.labels(alarms.REFUSED, "slack-ops", model.Priority.P2, ID)
    await store.record(alarms.firing(labels, "invalid_blocks", service.now), service.now)
    return service


async def run(folder: Path, *words: str, token: str = TOKEN) -> testing.Result:
    """A command as an operator types it, beside the service."""
    config = folder / "routing.yml"
    await asyncio.to_thread(config.write_text, ROUTING, "utf-8")
    options = ["--config", str(config), "--state-dir", str(folder / "state")]
    runner = testing.CliRunner(env={**ENV, "WEBHOOK_TOKEN": token})
    return await asyncio.to_thread(runner.invoke, cli.main, [*words, *options])


async def delivery(service: served.Served) -> model.Delivery:
    return (await service.store.situations([ID]))[ID].deliveries["slack-ops"]


async def alarm_open(service: served.Served) -> bool:
    alarm = model.incident_id(alarms.group_labels(alarms.REFUSED, "slack-ops"))
    return (await service.store.situations([alarm]))[alarm].incident.open


@pytest.mark.usefixtures("refused")
async def test_a_dead_letter_is_listed_with_what_was_missed_and_why(tmp_path: Path) -> None:
    result = await run(tmp_path, "dead-letters")
    assert result.exit_code == 1
    assert result.output == (
        "P1 ServiceDown (eu-1)\n"
        "   slack-ops refused at 2026-11-25 03:00:00 UTC: Slack answered 400: invalid_blocks\n"
        "   not shown there: 1 alert firing, episode 1, P1\n"
        f"   {ID}\n"
    )


async def test_json_has_the_same_for_scripts(refused: served.Served, tmp_path: Path) -> None:
    (listed,) = json.loads((await run(tmp_path, "dead-letters", "--output", "json")).output)
    assert listed == {
        "incident": ID,
        "destination": "slack-ops",
        "priority": "P1",
        "title": "ServiceDown (eu-1)",
        "refused_at": "2026-11-25T03:00:00+00:00",
        "error": "Slack answered 400: invalid_blocks",
        "missed": "1 alert firing, episode 1, P1",
    }
    status, text, _ = await refused.get("/api/v1/dead-letters")
    assert (status, json.loads(text)) == (200, {"dead_letters": [listed]})


@pytest.mark.usefixtures("service")
async def test_nothing_refused_is_status_0(tmp_path: Path) -> None:
    result = await run(tmp_path, "dead-letters")
    assert (result.exit_code, result.output) == (0, "no dead letters\n")
    assert (await run(tmp_path, "dead-letters", "--destination", "pagerduty")).exit_code == 0


async def test_a_replay_lets_the_service_tell_it_again(refused: served.Served, tmp_path: Path) -> None:
    result = await run(tmp_path, "replay", ID, "--url", refused.url)
    assert (result.exit_code, result.output) == (0, f"replayed: {ID} at slack-ops: ServiceDown (eu-1)\n")
    assert (await delivery(refused)).dead is None
    assert refused.woken == [ID]
    assert await refused.store.due(None, refused.now) != []
    assert await alarm_open(refused)  # until the receipt


async def test_a_replay_of_another_destination_changes_nothing(
    refused: served.Served, tmp_path: Path
) -> None:
    result = await run(tmp_path, "replay", "--all", "--destination", "pagerduty", "--url", refused.url)
    assert (result.exit_code, result.output) == (0, "")
    assert (await delivery(refused)).dead is not None


async def test_what_a_person_saw_to_is_taken_off_the_list_and_ends_the_alarm(
    refused: served.Served, tmp_path: Path
) -> None:
    result = await run(tmp_path, "replay", "--all", "--drop", "--url", refused.url)
    assert result.output.startswith(f"dropped: {ID} at slack-ops")
    assert (await delivery(refused)).dead is None
    assert (await run(tmp_path, "dead-letters")).exit_code == 0
    assert not await alarm_open(refused)


async def test_an_id_that_is_no_dead_letter_is_said(refused: served.Served, tmp_path: Path) -> None:
    for option in (["--url", refused.url], ["--dry-run"]):
        result = await run(tmp_path, "replay", "f" * 32, *option)
        assert result.exit_code == 1
        assert f"{'f' * 32}: no such dead letter" in result.stderr


async def test_a_replay_needs_the_token(refused: served.Served, tmp_path: Path) -> None:
    result = await run(tmp_path, "replay", "--all", "--url", refused.url, token="wrong")
    assert result.exit_code == 1
    assert "answered 401" in result.stderr
    assert "set WEBHOOK_TOKEN" in result.stderr
    assert (await delivery(refused)).dead is not None


async def test_a_replay_without_a_service_says_what_to_do(tmp_path: Path, unused_tcp_port: int) -> None:
    result = await run(tmp_path, "replay", "--all", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert result.exit_code == 1
    assert "is `serve` running there? Name another address with --url" in result.stderr


@pytest.mark.parametrize("words", [[], ["--all", ID], ["--all", "--dry-run", "--drop"]])
async def test_what_cannot_be_meant_is_used_wrongly(words: list[str], tmp_path: Path) -> None:
    assert (await run(tmp_path, "replay", *words)).exit_code == 2


async def test_a_dry_run_prints_each_request_and_changes_nothing(
    refused: served.Served, tmp_path: Path
) -> None:
    before = await delivery(refused)
    result = await run(tmp_path, "replay", "--all", "--dry-run")
    assert result.exit_code == 0
    head, _, again = result.output.partition("# if that is refused again:\n")
    lines = head.splitlines()
    assert lines[0] == f"# {ID} at slack-ops: open: fired"
    assert lines[1] == "POST https://hooks.slack.example/services/T0/B0/(webhook)"
    assert "Content-Type: application/json;charset=utf-8" in lines
    assert json.loads(lines[-1])["text"].startswith("[P1] ServiceDown (eu-1)")
    assert json.loads(again.splitlines()[-1]).keys() == {"text"}
    assert "s3cretTail" not in result.output
    assert await delivery(refused) == before


async def test_a_dry_run_of_a_page_masks_its_key(refused: served.Served, tmp_path: Path) -> None:
    await refused.store.bury(ID, "pagerduty", shows(), "PagerDuty answered 400", refused.now)
    result = await run(tmp_path, "replay", ID, "--destination", "pagerduty", "--dry-run", "--output", "json")
    (printed,) = json.loads(result.output)
    request = printed["request"]
    assert (request["method"], request["url"]) == ("POST", "https://pagerduty.example/v2/enqueue")
    assert request["body"]["routing_key"] == "(routing key)"
    assert request["body"]["dedup_key"] == model.dedup_key(ID)
    assert int(request["headers"]["Content-Length"]) > 100
    assert KEY not in result.output


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"[", "the body is not JSON"),
        (b"[]", 'the body must be an object, like {"incidents": "all"}'),
        (b"{}", '"incidents" must be a list of ids, or "all"'),
        (b'{"incidents": []}', '"incidents" must be a list of ids, or "all"'),
        (b'{"incidents": "all", "drop": 1}', '"destination" must be a text and "drop" true or false'),
        (b'{"incidents": "all", "ids": 1}', "unknown key 'ids'; there is incidents, destination, drop"),
    ],
)
async def test_what_cannot_be_understood_is_refused(refused: served.Served, body: bytes, error: str) -> None:
    assert await post(refused, body) == (400, {"error": error, "pointer": ""})
    assert (await delivery(refused)).dead is not None


async def test_only_json_of_a_known_length_is_taken(refused: served.Served) -> None:
    assert (await post(refused, b"{}", content_type="text/plain"))[0] == 415
    large = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    assert (await refused.send("/api/v1/dead-letters/replay", io.BytesIO(b"x" * 1_048_577), large))[0] == 413


async def test_the_open_ones_are_counted(refused: served.Served) -> None:
    _, text, _ = await refused.get("/metrics")
    assert "phantommesh_alerts_dead_letters_open 1.0" in text


async def post(
    service: served.Served, body: bytes, *, content_type: str = "application/json"
) -> tuple[int, Any]:
    headers = {"Content-Type": content_type, "Authorization": f"Bearer {TOKEN}"}
    return await service.send("/api/v1/dead-letters/replay", body, headers)
