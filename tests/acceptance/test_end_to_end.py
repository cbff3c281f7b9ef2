"""A P1 from the exporter to the page and back, on the real Prometheus and Alertmanager, oldest and newest.

Rules and configuration are this repository's, unchanged but for addresses (tests/world/staging.py sees to that), with
the shipped intervals: nothing here is sped up.
"""

import re
from collections.abc import Callable

import pytest

from tests import parts
from tests.acceptance import recording
from tests.world import timeline

pytestmark = [
    pytest.mark.real,
    pytest.mark.parametrize("generation", [parts.GENERATIONS[0], parts.GENERATIONS[-1]]),
]

Recorded = Callable[[str], recording.Recording]

TITLE = "[P1] ServiceDown: vpn-core (phantommesh/phantommesh-prod)"
FIRST_COMMAND = "kubectl get pods -n phantommesh-prod -l app=vpn-core -o wide"


def test_the_page_comes_within_the_budget(
    recorded: Recorded, generation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded(generation)
    with capsys.disabled():
        print(
            f"\n{generation}: fault to page {run.fault_to_page_seconds:.1f} s of {timeline.BUDGET_SECONDS:g} s"
        )
        for hop in run.hops:
            print(
                f"  {hop.name:14} +{hop.took_seconds:6.2f} s of {timeline.HOP_SECONDS.get(hop.name, 0):g} s"
            )
    assert run.fault_to_page_seconds <= timeline.BUDGET_SECONDS


def test_pagerduty_gets_one_trigger_and_one_resolve_of_one_incident(
    recorded: Recorded, generation: str
) -> None:
    told = [(event.action, event.outcome) for event in recorded(generation).events]
    assert told == [("trigger", "opened"), ("resolve", "resolved")]


def test_the_trigger_says_what_is_down_how_bad_it_is_and_what_to_do(
    recorded: Recorded, generation: str
) -> None:
    run = recorded(generation)
    trigger = run.events[0]
    assert trigger.dedup_key.startswith("phantommesh-alerts/")
    assert trigger.payload["severity"] == "critical"
    assert trigger.payload["summary"].startswith(TITLE)
    assert trigger.payload["custom_details"]["first_command"] == FIRST_COMMAND
    assert {"href": f"{run.service_url}/runbooks/ServiceDown", "text": "Runbook"} in trigger.links


def test_slack_gets_one_message_and_one_resolve_in_the_incidents_channel(
    recorded: Recorded, generation: str
) -> None:
    told = [(message.channel, message.text) for message in recorded(generation).messages]
    assert [channel for channel, _ in told] == ["#phantommesh-incidents"] * 2
    assert told[0][1].startswith(TITLE)
    assert told[1][1].startswith(TITLE.replace("[P1]", "[P1 resolved]"))


def test_the_slack_message_has_the_runbook_the_first_command_and_the_graph(
    recorded: Recorded, generation: str
) -> None:
    run = recorded(generation)
    message = run.messages[0]
    assert f"{run.service_url}/runbooks/ServiceDown" in message.links
    assert any("/graph?g0.expr=" in link for link in message.links)
    assert FIRST_COMMAND in str(message.blocks)


def test_no_link_of_a_message_leads_nowhere(recorded: Recorded, generation: str) -> None:
    run = recorded(generation)
    assert sum(address.startswith(f"{run.service_url}/") for address in run.links) >= 3, run.links
    assert {address: status for address, status in run.links.items() if status != 200} == {}


def test_the_watchdog_is_heard_and_is_no_incident(recorded: Recorded, generation: str) -> None:
    run = recorded(generation)
    assert "Watchdog" in run.firing_at_the_end
    assert re.search(r"<b>phantommesh</b>\s*<span class=\"word\">alive</span>", run.page)
    assert len(set(re.findall(r"/incidents/[0-9a-f]{32}", run.page))) == 1, "only ServiceDown"


def test_nothing_is_told_in_health(recorded: Recorded, generation: str) -> None:
    run = recorded(generation)
    assert run.told_in_health == 0
    assert [name for name in run.firing_at_the_end if name != "Watchdog"] == []


def test_prometheus_can_evaluate_every_rule(recorded: Recorded, generation: str) -> None:
    assert recorded(generation).broken_rules == {}


def test_nothing_that_was_sent_was_refused(recorded: Recorded, generation: str) -> None:
    assert recorded(generation).refused == []
