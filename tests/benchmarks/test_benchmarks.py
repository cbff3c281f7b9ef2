"""The benchmarks run. What they measure is asserted nowhere: a test machine is shared, and its figures say nothing."""

import asyncio
import re
import sys
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from tests import parts
from tests.benchmarks import bodies, drawing, measures, posting, report, subjects
from webhook import payload

DEADLINE_SECONDS = 300


@pytest.mark.real
async def test_every_one_of_them_runs_to_its_end() -> None:
    if len(measures.alertmanagers()) < 2:
        pytest.skip("./dev parts has not brought the oldest and the newest Alertmanager here")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks", "--quick",
        cwd=parts.CHECKOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_SECONDS):
        output = (await child.communicate())[0].decode()
    assert child.returncode == 0, output
    figures = re.findall(r"^  (\S.*?)  ", output, re.MULTILINE)
    for subject in (measures.OURS, measures.BARE, measures.RAW, *measures.alertmanagers(), "idle"):
        assert subject in figures, output
    assert len(re.findall(r"^  (held|MISSED)", output, re.MULTILINE)) >= 10, output


async def test_a_load_keeps_its_rate_and_its_count() -> None:
    async with subjects.limit() as bare:
        counted = await posting.post(bare.address, bodies.message(1), groups=3, count=100)
        slow = await posting.post(bare.address, bodies.message(1), groups=3, count=20, rate=100.0)
    assert counted.answered == 100
    assert slow.seconds >= 19 / 100


async def test_a_load_that_is_refused_is_no_figure() -> None:
    async with subjects.limit() as bare:
        with pytest.raises(posting.WrongAnswer, match="413"):
            await posting.post(bare.address, "x" * 3_000_000, groups=1, count=1)


def test_what_is_posted_is_a_message_that_the_service_takes() -> None:
    heard = payload.decode(bodies.message(3, group="one", priority="P1").encode(), now=datetime.now(UTC))
    assert [alert.labels["service"] for alert in heard.alerts] == ["one"] * 3
    assert len({alert.fingerprint for alert in heard.alerts}) == 3


def test_the_picture_says_each_figure_as_text() -> None:
    rates = [
        measures.Rate(subject=measures.OURS, alerts=1, rate=12_345.0, cpu_seconds=1e-4, load_busy=0.5),
        measures.Rate(subject="Alertmanager <0.33>", alerts=1, rate=7_112.0, cpu_seconds=1e-4, load_busy=0.5),
    ]
    shown = [each.text for each in ET.fromstring(drawing.svg(rates, measured_on="it")).iter()]
    assert {"12,345", "7,112", "Alertmanager <0.33>"} <= set(shown)


def test_a_bar_is_said_to_be_missed() -> None:
    found = report.Found()
    for subject, rate in ((measures.OURS, 39.0), (measures.RAW, 100.0)):
        found.rates.append(
            measures.Rate(subject=subject, alerts=1, rate=rate, cpu_seconds=1e-4, load_busy=0.5)
        )
    assert report.verdicts(found) == "  MISSED  1 alert: at least 40 % of raw and durable: 39%"
