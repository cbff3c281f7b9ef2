"""How text, times and counts read, and that no text is too strange for it."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from routing import wording
from tests.unit import build, told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, déjà vu 東京", "plain, déjà vu 東京"),
        ("nul \x00 bell \x07", "nul \ufffd bell \ufffd"),
        ("\u202ereversed", "\ufffdreversed"),
        ("zero\u200bwidth", "zero\ufffdwidth"),
        ("lone \ud800", "lone \ufffd"),
        ("tab\tand nbsp\xa0", "tab and nbsp "),
        ("two\r\nlines", "two\nlines"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("a\u0301\u0302\u0303\u0323 four", "a\u0301\u0302\u0303\u0323 four"),
        ("a" + "\u0301" * 100 + "b", "a" + "\u0301" * 4 + "\ufffdb"),
    ],
)
def test_what_does_not_show_is_made_visible(text: str, shown: str) -> None:
    assert wording.clean(text) == shown


def test_a_line_is_one_line() -> None:
    assert wording.line(" a \n\n b\t c\u2028d ") == "a b c d"


def test_what_fits_is_not_cut() -> None:
    assert wording.cut("12345", 5) == "12345"


def test_a_cut_shows() -> None:
    assert wording.cut("123456", 5) == "1234…"


def test_a_cut_leaves_no_letter_without_its_accent() -> None:
    assert wording.cut("abce\u0301f", 5) == "abc…"


@pytest.mark.parametrize(
    "sign",
    ["\U0001f44d\U0001f3fd", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea", "\u0915\u093e", "1\ufe0f\u20e3"],
    ids=["skin tone", "variant", "flag", "vowel sign", "keycap"],
)
def test_a_cut_splits_nothing_that_people_see_as_one(sign: str) -> None:
    text = sign * 4
    shown = [wording.cut(text, limit).removesuffix("…") for limit in range(1, len(text))]
    assert {one.replace(sign, "") for one in shown} == {""}
    assert len(max(shown, key=len)) == len(sign) * 3


def test_a_sign_without_end_is_cut_all_the_same() -> None:
    assert wording.cut("\u0915" + "\u093e" * 100, 50) == "\u0915" + "\u093e" * 48 + "…"


def test_only_white_space_before_the_limit_does_not_hide_that_there_is_more() -> None:
    assert wording.short(" " * 9_000 + "late", 100).endswith("…")


@given(told.texts, st.integers(2, 300))
def test_short_text_is_one_clean_line_within_its_limit(text: str, limit: int) -> None:
    shown = wording.short(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    shown.encode()


@given(told.texts, st.integers(2, 300))
def test_a_block_keeps_to_its_limit_and_shows_all_its_characters(text: str, limit: int) -> None:
    shown = wording.block(text, limit)
    assert len(shown) <= limit
    assert shown.replace("\n", "").isprintable()
    assert not unicodedata.combining(wording.ELLIPSIS)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (45, "45 s"),
        (60, "1 min 0 s"),
        (250, "4 min 10 s"),
        (7_500, "2 h 5 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_duration_names_its_two_largest_units(seconds: float, words: str) -> None:
    assert wording.duration(timedelta(seconds=seconds)) == words


def test_an_instant_of_the_same_day_is_a_clock_time() -> None:
    assert wording.instant(build.at(65), beside=build.at(0)) == "03:01:05 UTC"


def test_an_instant_of_another_day_has_its_date() -> None:
    assert wording.instant(build.at(65), beside=build.at(90_000)) == "2026-01-15 03:01:05 UTC"


def test_the_first_instant_that_there_is_can_be_told() -> None:
    assert wording.instant(datetime(1, 1, 1, tzinfo=UTC)).endswith("00:00:00 UTC")


def test_a_firing_alert_has_a_beginning() -> None:
    assert wording.period(build.alert(), beside=build.at(0)) == "since 03:00:00 UTC"


def test_a_resolved_alert_has_an_end_and_a_duration() -> None:
    alert = structs.replace(build.alert(ends=250), starts_at=build.at(0))
    assert wording.period(alert, beside=build.at(0)) == "03:00:00 UTC to 03:04:10 UTC, for 4 min 10 s"


def test_labels_are_listed_by_name() -> None:
    labels = {"pod": "x", "alertname": "A", "cluster": "eu"}
    assert wording.label_list(labels, leave_out=frozenset({"alertname"}), limit=100) == "cluster=eu, pod=x"


@given(told.label_sets, st.integers(2, 200))
def test_a_list_of_labels_keeps_to_its_limit(labels: dict[str, str], limit: int) -> None:
    shown = wording.label_list(labels, limit=limit)
    assert len(shown) <= limit
    assert shown.isprintable()


@pytest.mark.parametrize(("count", "words"), [(1, "1 alert"), (0, "0 alerts"), (4_990, "4,990 alerts")])
def test_counts_have_their_plural(count: int, words: str) -> None:
    assert wording.plural(count, "alert") == words
