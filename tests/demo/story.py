"""The demo's run: start everything, break a service, see the page, mend it, see the resolve."""

import asyncio
import contextlib
import os
import sys
import webbrowser
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests import parts as programs
from tests.demo import words
from tests.demo.terminal import Style, Terminal
from tests.world import stack, timeline, web

HARD_LIMIT_SECONDS = 120.0
"""How long a page, or a resolve, is waited for at all."""

_READING_SECONDS = 6.0
_LONGER_SECONDS = HARD_LIMIT_SECONDS + 60
_LOG_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A whole story.

    Attributes:
        hops: of both ways.
        measured_on: the programs, in words.
    """

    hops: Sequence[timeline.Hop]
    measured_on: str

    @property
    def in_time(self) -> bool:
        return words.fault_to_page_seconds(self.hops) <= timeline.BUDGET_SECONDS


class Failed(Exception):
    """The page or the resolve did not come. The text says which hop is missing; the logs are printed already."""


async def run(terminal: Terminal, folder: Path, *, stays: bool) -> Told:
    """Tell the whole story. With `stays`, all runs on until this task is cancelled.

    Raises:
        Failed: the page or the resolve did not come.
        FileNotFoundError: Prometheus or Alertmanager is not here.
        process.ProgramFailedError, staging.StagingError, TimeoutError: it did not start, as `stack.run` says.
    """
    chosen = programs.for_demo()
    terminal.say("PhantomMesh Alerts: a service breaks, you are paged, it recovers.", "bold")
    terminal.say("Prometheus and Alertmanager are real. PagerDuty and Slack are stand-ins.", "quiet")
    terminal.say()
    async with contextlib.AsyncExitStack() as exits:
        async with terminal.waiting("Starting") as now:
            running = await exits.enter_async_context(
                stack.run(chosen, folder, told=lambda what: now(f"Starting: {what}"))
            )
        measured_on = await _programs(running)
        terminal.say(f"  {measured_on} run, and all is healthy.")
        terminal.say()
        _addresses(terminal, running)
        if stays and _has_display():
            await _open_pages(running)
        terminal.say("  UTC          took", "quiet")
        hops = await _tell(
            terminal,
            running,
            timeline.until_paged(running, words.SERVICE, timeout_seconds=_LONGER_SECONDS),
            words.UNTIL_PAGED,
        )
        _what_people_read(terminal, running)
        if stays:
            async with terminal.waiting(f"time to look; it is mended in {_READING_SECONDS:.0f} s"):
                await asyncio.sleep(_READING_SECONDS)
        hops += await _tell(
            terminal,
            running,
            timeline.until_resolved(running, words.SERVICE, timeout_seconds=_LONGER_SECONDS),
            words.UNTIL_RESOLVED,
        )
        told = Told(hops=hops, measured_on=measured_on)
        _verdict(terminal, told)
        if stays:
            terminal.say()
            terminal.say("Everything stays open until Ctrl-C.", "bold")
            # Being stopped by hand is how this ends well.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
    return told


async def _tell(
    terminal: Terminal,
    running: stack.Stack,
    hops: AsyncIterator[timeline.Hop],
    names: Sequence[timeline.Name],
) -> list[timeline.Hop]:
    told: list[timeline.Hop] = []
    try:
        async with asyncio.timeout(HARD_LIMIT_SECONDS):
            for name in names:
                async with terminal.waiting(words.WAITED_FOR[name]):
                    hop = await anext(hops)
                terminal.say(words.line(hop), _STYLES.get(name, "plain"))
                told.append(hop)
    except (TimeoutError, aiohttp.ClientError) as error:
        _print_logs(terminal, running)
        missing = words.HAPPENED[names[len(told)]]
        raise Failed(
            f'in {HARD_LIMIT_SECONDS:.0f} s it did not come to this: "{missing}". {error}'.rstrip()
        ) from error
    terminal.say()
    return told


_STYLES: Mapping[timeline.Name, Style] = {
    "fault": "bad",
    "paged": "bold",
    "mended": "good",
    "resolved": "bold",
}


async def _programs(running: stack.Stack) -> str:
    prometheus: Any = await web.get_json(f"{running.prometheus.url}/api/v1/status/buildinfo")
    alertmanager: Any = await web.get_json(f"{running.alertmanager.url}/api/v2/status")
    return (
        f"Prometheus {_version(prometheus['data'])} and Alertmanager {_version(alertmanager['versionInfo'])}"
    )


def _version(said: Mapping[str, str]) -> str:
    # Debian writes what it changed behind a plus.
    return said["version"].partition("+")[0]


def _addresses(terminal: Terminal, running: stack.Stack) -> None:
    terminal.say("  Open these to watch:")
    for name, address in {
        "this service": f"{running.service.url}/",
        "PagerDuty": f"{running.pagerduty.url}/",
        "Slack": f"{running.slack.url}/",
        "Prometheus": f"{running.prometheus_pages}/alerts",
        "Alertmanager": f"{running.alertmanager.url}/",
    }.items():
        terminal.say(f"    {name:14} {address}")
    terminal.say()


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _open_pages(running: stack.Stack) -> None:
    for address in (running.service.url, running.pagerduty.url, running.slack.url):
        # A browser's starter may take its time. Whether it worked is no matter: the addresses are printed.
        await asyncio.to_thread(webbrowser.open, address)


def _what_people_read(terminal: Terminal, running: stack.Stack) -> None:
    page = running.pagerduty.open_incidents()[0].latest
    runbook = next(link["href"] for link in page.links if link["text"] == "Runbook")
    lines = {
        "": page.payload["summary"],
        "First command": page.payload["custom_details"]["first_command"],
        "Runbook": runbook,
    }
    terminal.say("  What the page says:")
    for name, text in lines.items():
        terminal.paragraph(f"{name}: {text}" if name else text, indent="  │ ")
    terminal.say()


def _verdict(terminal: Terminal, told: Told) -> None:
    for line in words.table(told.hops):
        terminal.say(line)
    terminal.say()
    took = words.seconds(words.fault_to_page_seconds(told.hops))
    budget = f"{timeline.BUDGET_SECONDS:.0f} s"
    if told.in_time:
        terminal.say(f"Paged {took} after the fault, within the budget of {budget}; then resolved.", "good")
    else:
        terminal.say(f"Paged {took} after the fault. That is too late: the budget is {budget}.", "bad")


def _print_logs(terminal: Terminal, running: stack.Stack) -> None:
    for name, log_path in {
        "Prometheus": running.prometheus.log_path,
        "Alertmanager": running.alertmanager.log_path,
        "phantommesh-alerts": running.service.log_path,
    }.items():
        terminal.say()
        terminal.say(f"--- the last lines of {name}", "quiet")
        for line in log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:]:
            terminal.say(line)
    terminal.say()
