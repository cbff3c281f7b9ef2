"""`phantommesh-alerts incidents`: what is open and who was told, read beside the process that owns the store."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click import testing

from routing import model
from tests.unit import build
from webhook import cli
from webhook.store import contract, sqlite

SHOWN = model.Shown(episode=1, firing=frozenset({"0" * 16}), priority=model.Priority.P1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[contract.Store]:
    opened = await sqlite.open_store(tmp_path)
    yield opened
    await opened.close()


def incidents(tmp_path: Path, *options: str) -> testing.Result:
    return testing.CliRunner().invoke(cli.main, ["incidents", "--state-dir", str(tmp_path), *options])


async def test_an_open_incident_is_listed_with_what_each_destination_was_told(
    store: contract.Store, tmp_path: Path
) -> None:
    (incident_id,) = await store.record(
        build.message(build.alert()), datetime.now(UTC) - timedelta(minutes=12)
    )
    await store.expect(incident_id, ["pagerduty", "slack-ops"], 1, datetime.now(UTC))
    await store.settle(incident_id, "pagerduty", SHOWN, datetime.now(UTC))
    await store.fail(incident_id, "slack-ops", "HTTP 503", outcome_known=True)

    result = incidents(tmp_path)

    assert result.exit_code == 0
    assert "P1 ServiceDown" in result.output
    assert "open for 12 min" in result.output
    assert "pagerduty: told, it shows as firing" in result.output
    assert "slack-ops: failing, 1 attempt failed, goes on trying: HTTP 503" in result.output
    assert incident_id in result.output


async def test_json_has_the_same_for_scripts(store: contract.Store, tmp_path: Path) -> None:
    (incident_id,) = await store.record(build.message(build.alert()), datetime.now(UTC))
    await store.expect(incident_id, ["pagerduty"], 1, datetime.now(UTC))

    (listed,) = json.loads(incidents(tmp_path, "--output", "json").output)

    assert (listed["id"], listed["priority"], listed["open"], listed["episode"]) == (
        incident_id,
        "P1",
        True,
        1,
    )
    assert listed["group_labels"] == dict(build.GROUP)
    assert listed["destinations"]["pagerduty"]["state"] == "waiting"
    assert [one["fingerprint"] for one in listed["firing"]] == [build.alert().fingerprint]


async def test_a_closed_incident_is_listed_on_request_only(store: contract.Store, tmp_path: Path) -> None:
    await store.record(build.message(build.alert()), datetime.now(UTC) - timedelta(minutes=9))
    await store.record(build.message(build.alert(ends=60)), datetime.now(UTC) - timedelta(minutes=2))

    assert incidents(tmp_path).output == "no incidents\n"
    assert "closed 2 min" in incidents(tmp_path, "--closed").output


async def test_hostile_text_cannot_forge_a_line(store: contract.Store, tmp_path: Path) -> None:
    await store.record(
        build.message(build.alert(), group={"alertname": "a\n\x1b[31mP1 forged"}), datetime.now(UTC)
    )
    lines = incidents(tmp_path).output.splitlines()
    assert not any(line.startswith(("\x1b", "P1 forged")) for line in lines)


def test_without_a_store_it_says_where_it_looked(tmp_path: Path) -> None:
    result = incidents(tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path}/phantommesh-alerts.sqlite3: there is no store here" in result.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_store_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "phantommesh-alerts.sqlite3").write_bytes(b"something else, and long enough to be read" * 50)
    result = incidents(tmp_path)
    assert result.exit_code == 1
    assert "cannot be read: file is not a database" in result.output
