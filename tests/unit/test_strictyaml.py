"""YAML is read without surprises, and everything has its place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook import strictyaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("22:00", "22:00"),
        ("2026-01-15", "2026-01-15"),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("10", 10),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("1.2.3", "1.2.3"),
        ("9" * 5000, "9" * 5000),
        ("'10'", "10"),
        ('"true"', "true"),
        ("=", "="),
        ("P1", "P1"),
        ("16MiB", "16MiB"),
    ],
)
def test_what_a_word_means(text: str, value: Any) -> None:
    read = strictyaml.read(f"key: {text}".encode()).data["key"]
    assert (type(read), read) == (type(value), value)


def test_an_empty_file_is_nothing() -> None:
    assert strictyaml.read(b"# only a comment\n").data is None


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert strictyaml.read(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_an_anchor_is_written_once_and_used_twice() -> None:
    assert strictyaml.read(b"a: &names [log]\nb: *names\n").data == {"a": ["log"], "b": ["log"]}


def test_a_merge_key_is_a_key_like_any_other() -> None:
    assert strictyaml.read(b"a: &a {x: 1}\nb: {<<: *a}\n").data["b"] == {"<<": {"x": 1}}


def test_keys_and_values_have_their_places() -> None:
    document = strictyaml.read(b"# comment\nroute:\n  routes:\n    - to: [log,\n           ops]\n")
    place = strictyaml.Place

    assert document.keys["route", "routes"] == place(line=3, column=3)
    assert document.values["route", "routes"] == place(line=4, column=5)
    assert document.values["route", "routes", 0, "to", 1] == place(line=5, column=12)
    assert document.place(("route", "routes", 0, "to")) == place(line=4, column=7)
    assert document.place(("route", "routes", 0)) == place(line=4, column=7)
    assert document.place(()) == place(line=2, column=1)


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"a: 1\nb: 2\na: 3\nb: 4\n", [
            (3, 1, '"a" stands twice, first in line 1; keep one'),
            (4, 1, '"b" stands twice, first in line 2; keep one'),
        ]),
        (b"1: a\n'1': b\n", [(2, 1, '"1" stands twice, first in line 1; keep one')]),
        (b"a:\n\tb: 1\n", [(2, 1, "a tab in the indentation; use spaces")]),
        (b"a: @x\n", [(1, 4, '"@" begins nothing in YAML; put quotes around the text')]),
        (b"a: b: c\n", [(1, 5, 'a ": " that belongs to no key here; check the indentation, or quote the text')]),
        (b"a:\n  b: 1\n c: 2\n", [(3, 2, "this line does not fit what stands above it; check the indentation")]),
        (b"a: 1\nb\n", [(3, 1, 'a ":" is missing after this key')]),
        (b"a: {b: 1\n", [(1, 4, 'a mapping that is opened with "{" is not closed; a "," or "}" is missing')]),
        (b"a: &x [*x]\n", [(1, 4, "an alias inside of what it stands for")]),
        (b"? [a]\n: b\n", [(1, 3, "a key must be a word")]),
        (b"a: !!int 5\n", [(1, 4, "the tag tag:yaml.org,2002:int is not read here; leave it out")]),
        ("ä: ö\nb: \x07\n".encode(), [(2, 4, "the control character U+0007 must not stand in YAML")]),
        ("ä: ö".encode("latin-1"), [(1, 1, "byte 0xe4 is not UTF-8; save the file as UTF-8")]),
        ("ä: 1\nb: ö".encode()[:-1], [(2, 4, "byte 0xc3 is not UTF-8; save the file as UTF-8")]),
        (b"[" * 102 + b"]" * 102, [(1, 102, "it is nested deeper than 100")]),
        (b"- " * 5000, [(1, 1999, "it is nested deeper than 100")]),
    ],
)  # fmt: skip
def test_what_is_not_strict_is_refused_with_its_place(
    content: bytes, faults: list[tuple[int, int, str]]
) -> None:
    with pytest.raises(strictyaml.Unreadable) as refused:
        strictyaml.read(content)
    told = [(fault.place.line, fault.place.column, fault.text) for fault in refused.value.faults]
    assert told == faults


@given(st.binary(max_size=60) | st.text(alphabet="a:-[]{}&*!?|>'\"%@`#, \n\t1", max_size=30).map(str.encode))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    try:
        told = len(strictyaml.read(content).values)
    except strictyaml.Unreadable as refused:
        told = len(refused.faults)

    assert told >= 1
