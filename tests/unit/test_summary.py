"""What one message says instead of many, and how often it is said."""

import dataclasses
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from routing import message, model, summary
from routing.destinations import slack
from tests.standins import blocks, messages, mrkdwn
from tests.unit import build, told

URL = "https://alerts.example"


def line(number: int, name: str = "DiskFilling", **changes: object) -> summary.Line:
    base = summary.Line(
        incident_id=f"{number:032x}",
        name=name,
        title=f"[P3] {name}: disk {number}",
        text=f"disk {number} is filling",
        page=f"{URL}/incidents/{number}",
        priority=model.Priority.P3,
        since=build.at(number),
        alerts=1,
        begins=True,
        closes=False,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type] # the caller names real fields


def lines(count: int, name: str = "DiskFilling", **changes: object) -> list[summary.Line]:
    return [line(number, name, **changes) for number in range(count)]


def compose(told_lines: list[summary.Line], storm: summary.Storm | None = None) -> summary.Summary:
    return (storm or summary.Storm()).compose(told_lines, external_url=URL)


def test_many_names_are_counted_and_the_worst_are_named() -> None:
    warnings = [
        line(100 + number, "HighCPU", priority=model.Priority.P2, title=f"cpu {number}")
        for number in range(7)
    ]
    shown = compose([*lines(30), *warnings])
    assert shown.title == "[P2] 37 alerts: the 5 worst, the rest on the page"
    assert shown.facts == ("DiskFilling ×30, HighCPU ×7",)
    assert [one.title for one in shown.worst] == [f"cpu {number}" for number in range(5)]
    assert (shown.priority, shown.open, shown.page) == (model.Priority.P2, 37, f"{URL}/")


def test_a_burst_of_one_name_is_one_message_with_a_count() -> None:
    shown = compose(lines(40))
    assert shown.title == "[P3] DiskFilling ×40: the 5 worst, the rest on the page"
    assert shown.facts == ()


def test_a_summary_is_kept_up_to_date() -> None:
    storm = summary.Storm().after(lines(6), 0)
    news = [line(number) for number in range(6, 16)] + [line(2, closes=True, begins=False)]
    shown = compose(news, storm)
    assert shown.title == "[P3] DiskFilling ×15: the 5 worst, the rest on the page"
    assert shown.facts == ("10 new since the last summary, 1 resolved.",)
    assert line(2).title not in [one.title for one in shown.worst]


def test_closings_collapse_too() -> None:
    storm = summary.Storm().after(lines(40), 0)
    shown = compose(lines(40, closes=True, begins=False), storm)
    assert shown.title == "[P3 resolved] DiskFilling ×40: the 5 worst, the rest on the page"
    assert shown.open == 0
    assert storm.after(lines(40, closes=True), 1).standing == {}


def test_what_was_told_as_closed_by_itself_stands_no_more() -> None:
    storm = summary.Storm().after(lines(6), 0).without(line(3).incident_id).without("unknown")
    assert len(storm.standing) == 5


def test_what_may_repeat_an_earlier_message_says_so() -> None:
    some = compose([*lines(6), line(9, repeats=True)])
    assert some.facts == ("1 of these may repeat an earlier message, whose arrival is not certain.",)
    assert compose(lines(6, repeats=True)).facts[0].startswith("All of this may repeat")


def test_an_incident_of_many_alerts_counts_as_many() -> None:
    shown = compose([*lines(6), line(9, alerts=12)])
    assert shown.title.startswith("[P3] DiskFilling ×18")


def test_names_beyond_the_first_five_are_counted_together() -> None:
    shown = compose([line(number, f"Name{number}") for number in range(8)])
    assert shown.facts[0].endswith("others ×3")


def test_the_first_summary_goes_at_once_and_the_next_ever_later() -> None:
    storm, sent = summary.Storm(), []
    now = 1000.0
    for _ in range(8):
        now = max(now, storm.next_seconds)
        sent.append(now)
        storm = storm.at(now).after(lines(6), now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert gaps == [5, 10, 20, 40, 60, 60, 60]


def test_after_a_long_quiet_a_new_storm_begins() -> None:
    storm = summary.Storm().after(lines(6), 0)
    assert storm.at(100) is storm
    assert storm.at(121) == summary.Storm()


def test_a_line_says_what_its_incident_says() -> None:
    about = told.incident(told.down("a"), told.down("b"))
    one = summary.line(about, told.step(about), external_url=URL)
    assert (one.name, one.alerts, one.begins, one.closes) == ("ServiceDown", 2, True, False)
    assert one.text == "No replica of vpn-core is ready"
    assert one.page == f"{URL}/incidents/{about.id}"
    over = told.incident(told.down("a", ends=9))
    last = summary.line(over, told.step(over, model.Act.CLOSE, model.Reason.RESOLVED), external_url="")
    assert (last.alerts, last.closes, last.page) == (1, True, "")


def read(shown: summary.Summary) -> str:
    """What people read in the channel; Slack's limits hold."""
    body = slack.render_summary(shown)
    every = messages.all_blocks(body)
    faults = [
        fault for part in (body["blocks"], body["attachments"][0]["blocks"]) for fault in blocks.faults(part)
    ]
    assert faults == []
    assert blocks.characters(every) <= blocks.ALL_BLOCKS_TEXT
    return "\n".join(mrkdwn.plain(text) for text, _ in blocks.texts(every))


def test_a_channel_reads_the_title_the_worst_and_where_the_rest_is() -> None:
    text = read(compose(lines(40)))
    assert text.startswith("[P3] DiskFilling ×40: the 5 worst, the rest on the page")
    assert "disk 0 is filling" in text
    assert "disk 7" not in text
    assert "All of it is on the page" in text


@given(hostile=st.lists(told.hostile_messages(), min_size=1, max_size=8), url=st.sampled_from(["", URL]))
def test_no_text_in_an_alert_can_break_a_summary(hostile: list[message.Message], url: str) -> None:
    found = [summary.line(one.incident, one.step, external_url=url) for one in hostile]
    shown = summary.Storm().compose(found, external_url=url)
    assert read(shown)
    assert "<!channel>" not in json.dumps(slack.render_summary(shown))
