"""`./dev demo --once`, as somebody without a terminal runs it. It shares its time with the end-to-end runs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import parts
from tests.acceptance import conftest

pytestmark = pytest.mark.real

STORY = (
    r"PhantomMesh Alerts: a service breaks, you are paged, it recovers\.",
    r"  Prometheus [\d.]+ and Alertmanager [\d.]+ run, and all is healthy\.",
    r"    this service   http://127\.0\.0\.1:\d+/",
    r"    PagerDuty      http://127\.0\.0\.1:\d+/",
    r"    Slack          http://127\.0\.0\.1:\d+/",
    r"  \d\d:\d\d:\d\d           vpn-core breaks: none of its replicas is available",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  Prometheus sees it",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  ServiceDown is pending: its condition holds",
    r"  \d\d:\d\d:\d\d +\+1\d\.\d s  ServiceDown fires: it held for 15 s",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  Alertmanager posts it, and it is safe on disk",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  PagerDuty pages the on-call engineer",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  Slack tells #phantommesh-incidents",
    r"  │ First command: kubectl get pods -n phantommesh-prod -l app=vpn-core -o wide",
    r"  \d\d:\d\d:\d\d           vpn-core is mended",
    r"  \d\d:\d\d:\d\d +\+[\d.]+ m?s  PagerDuty closes the incident",
    r"  in all +\d\d\.\d s +60 s",
    r"Paged \d\d\.\d s after the fault, within the budget of 60 s; then resolved\.",
)


def test_it_ends_by_itself_with_status_0(demo: conftest.DemoRun) -> None:
    assert demo.status == 0, demo.output


def test_it_tells_the_whole_story_in_order(demo: conftest.DemoRun) -> None:
    following = iter(demo.output.splitlines())
    missing = [wanted for wanted in STORY if not any(re.fullmatch(wanted, line) for line in following)]
    assert missing == [], f"the first of these is missing, or out of order:\n{demo.output}"


def test_every_line_fits_a_terminal_of_80_columns(demo: conftest.DemoRun) -> None:
    assert [line for line in demo.output.splitlines() if len(line) > 80] == []


def test_a_file_gets_neither_colours_nor_cursor_movements(demo: conftest.DemoRun) -> None:
    assert not set("\033\r") & set(demo.output)


def test_in_a_terminal_it_stays_until_it_is_stopped_and_then_ends_with_status_0(
    in_a_terminal: conftest.TerminalRun,
) -> None:
    assert in_a_terminal.status == 0, in_a_terminal.output
    assert "Everything stays open until Ctrl-C." in in_a_terminal.output
    assert "Traceback" not in in_a_terminal.output


def test_what_it_prints_can_be_opened_while_it_stays(in_a_terminal: conftest.TerminalRun) -> None:
    assert len(in_a_terminal.pages) >= 5, "this service, PagerDuty, Slack, Prometheus and Alertmanager"
    assert set(in_a_terminal.pages.values()) == {200}, in_a_terminal.pages


def test_in_a_terminal_one_line_says_what_is_waited_for_and_is_written_over(
    in_a_terminal: conftest.TerminalRun,
) -> None:
    assert re.search(r"\r\033\[K.*… the next scrape, at most 15 s  \d+ s", in_a_terminal.output)


def test_a_page_that_does_not_come_in_time_ends_it_with_status_1_and_says_what_is_missing(
    late_demo: conftest.DemoRun,
) -> None:
    assert late_demo.status == 1
    assert "./dev demo: in 1 s it did not come to this: " in late_demo.output
    assert "Traceback" not in late_demo.output
    for program in ("Prometheus", "Alertmanager", "phantommesh-alerts"):
        assert f"--- the last lines of {program}\n" in late_demo.output


def programs_with(word: str) -> int:
    """How many programs run that have this in their command line."""
    found = 0
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it ended since it was listed
            found += word.encode() in command.read_bytes()
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_at_once_and_leaves_nothing_behind(number: signal.Signals, tmp_path: Path) -> None:
    if parts.generation(parts.GENERATIONS[-1]) is None:
        pytest.skip("./dev parts has not brought the newest Prometheus and Alertmanager here")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.demo", "--once"],
        cwd=parts.CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    ) as child:
        assert child.stdout is not None, "a pipe"
        for line in child.stdout:
            if "first scrape" in line:
                break
        assert programs_with(str(tmp_path)) > 2, "Prometheus, Alertmanager and the service"
        child.send_signal(number)
        rest = child.stdout.read()
    assert child.returncode == 130, rest
    assert rest == "Ending Prometheus, Alertmanager and the service.\n"
    assert programs_with(str(tmp_path)) == 0
    assert list(tmp_path.iterdir()) == []
