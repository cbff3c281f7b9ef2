"""The README's picture: drawn from recorded times, readable by machines and in both colour schemes."""

from xml.etree import ElementTree as ET

import pytest

from tests.demo import drawing, picture
from tests.world import timeline

SVG = "{http://www.w3.org/2000/svg}"
TOOK: dict[timeline.Name, float] = {
    "fault": 0, "scraped": 9.1, "pending": 7.25, "firing": 15, "received": 5.04, "paged": 0.012, "told": 0.02,
    "mended": 0, "scraped again": 4, "ended": 7, "received again": 5, "resolved": 0.01, "told again": 0.01,
}  # fmt: skip


@pytest.fixture
def hops() -> list[timeline.Hop]:
    at, found = 1_795_478_400.0, []
    for name, took in TOOK.items():
        at += took
        found.append(timeline.Hop(name=name, at_unix_seconds=at, took_seconds=took))
    return found


def texts(svg: str) -> list[str]:
    return [str(one.text) for one in ET.fromstring(svg).iter(f"{SVG}text")]


def test_the_same_times_give_the_same_bytes(hops: list[timeline.Hop]) -> None:
    assert drawing.svg(hops, measured_on="it") == drawing.svg(list(hops), measured_on="it")


def test_it_says_every_hop_beside_its_budget_as_text(hops: list[timeline.Hop]) -> None:
    shown = texts(drawing.svg(hops, measured_on="it"))
    assert [text for text in shown if " of " in text] == [
        "9.1 s of 15 s",
        "7.2 s of 15 s",
        "15.0 s of 15 s",
        "5.0 s of 5 s",
        "12 ms of 10 s",
    ]


def test_it_says_the_sum_the_day_and_what_it_was_measured_on(hops: list[timeline.Hop]) -> None:
    shown = texts(drawing.svg(hops, measured_on="Prometheus <1>"))
    assert shown[0] == "Paged 36.4 s after the fault; the budget is 60 s"
    assert shown[-1] == "2026-11-24, by ./dev picture: Prometheus <1>."


def test_who_cannot_see_it_is_told(hops: list[timeline.Hop]) -> None:
    root = ET.fromstring(drawing.svg(hops, measured_on="it"))
    assert (root.get("role"), root.get("aria-labelledby")) == ("img", "title desc")
    assert "Prometheus scrapes it 9.1 s" in str(root.findtext(f"{SVG}desc"))
    assert "36.4 s" in str(root.findtext(f"{SVG}title"))


def test_every_bar_begins_where_the_one_before_ended(hops: list[timeline.Hop]) -> None:
    root = ET.fromstring(drawing.svg(hops, measured_on="it"))
    bars = [one for one in root.iter(f"{SVG}rect") if one.get("class") in ("bar", "ours")]
    begins = [float(str(one.get("x"))) for one in bars]
    ends = [float(str(one.get("x"))) + float(str(one.get("width"))) for one in bars]
    assert begins[1:] == pytest.approx(ends[:-1], abs=0.15)


def test_it_follows_the_readers_colours(hops: list[timeline.Hop]) -> None:
    assert "@media (prefers-color-scheme: dark)" in drawing.svg(hops, measured_on="it")


def test_the_one_in_the_repository_was_drawn_by_this() -> None:
    drawn = ET.fromstring(picture.FILE.read_text("utf-8"))
    assert drawn.get("viewBox") == f"0 0 {drawing.WIDTH} {drawing.HEIGHT}"
    assert "by ./dev picture: Prometheus" in texts(picture.FILE.read_text("utf-8"))[-1]
