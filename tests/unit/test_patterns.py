"""Regular expressions mean what Alertmanager's mean, and none of them can stop the service."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import patterns

# Small expressions over a small alphabet meet every rule and every boundary between them.
ATOMS = st.sampled_from(
    ["a", "b", "ab", ".", "[ab]", "[^a]", "[a-c]", r"\.", r"\d", r"\W", "-", "^", "$", "()", "(?:)", r"\n"]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join),
        st.tuples(
            inner, st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,}", "{0,2}", "{,2}"])
        ).map(lambda parts: f"(?:{parts[0]}){parts[1]}" if parts[1] != "{,2}" else f"(?:{parts[0]})"),
        inner.map(lambda part: f"({part})"),
        inner.map(lambda part: f"(?i:{part})"),
        inner.map(lambda part: f"(?P<n>{part})" if "?P<" not in part else part),
    ),
    max_leaves=8,
)
TEXTS = st.text(alphabet="abcAB.-1\né", max_size=8)


@settings(max_examples=1500, deadline=None)
@given(source=EXPRESSIONS, text=TEXTS)
def test_a_text_fits_where_python_says_so_too(source: str, text: str) -> None:
    try:
        expected = re.compile(source, re.ASCII).fullmatch(text)
    except re.error:  # two groups of one name
        return
    if "$" in source and text.endswith("\n"):
        return  # Python's $ also fits before a last line break; RE2's and ours do not
    assert patterns.compile_(source).fullmatch(text) is (expected is not None)


@pytest.mark.parametrize(
    ("source", "text", "fits"),
    [
        ("vpn|api", "vpn", True),
        ("vpn|api", "vpn-core", False),
        ("", "", True),
        ("", "a", False),
        ("a$", "a\n", False),
        (r"\Aa\z", "a", True),
        ("a*$^", "", True),  # the same places in the expression, but not the same place in the text
        ("a*$^", "a", False),
        (r"\x41\x{e9}", "Aé", True),
        (r"web\.hook", "web.hook", True),
        (r"web\.hook", "webxhook", False),
        (r"a\-b\_c", "a-b_c", True),
        (r"\d", "٣", False),  # digits are ASCII, as in RE2
        ("(?i)É", "é", True),
        ("(?i)a(?-i)b", "AB", False),
        ("(?i:a)b", "Ab", True),
        ("(?s).", "\n", True),
        (".", "\n", False),
        ("[]a]", "]", True),
        ("[^]a]", "]", False),
        ("[[&|~]+", "[&|~", True),
        ("a{,2}", "a{,2}", True),  # not a repetition, as in RE2
        ("a{2", "a{2", True),
        ("(?<name>a)", "a", True),
    ],
)
def test_the_details_are_those_of_re2(source: str, text: str, fits: bool) -> None:
    assert patterns.compile_(source).fullmatch(text) is fits


@pytest.mark.parametrize(
    ("source", "position", "text"),
    [
        ("a(?=b)", 1, "lookaround is not in RE2, and so not here; use a second matcher with != or !~"),
        ("(?<!a)b", 0, "lookaround is not in RE2, and so not here; use a second matcher with != or !~"),
        (r"(a)\1", 3, "back-references are not in RE2, and so not here"),
        ("(?P=name)", 0, "this kind of group is not in RE2; write (?:...)"),
        ("(?>a)", 0, "this kind of group is not in RE2; write (?:...)"),
        ("(?m)a", 0, 'the flag "m" is not read here; i and s are'),
        ("a++", 2, "two repetitions in a row; put the inner one in (?:...)"),
        ("a**", 2, "two repetitions in a row; put the inner one in (?:...)"),
        ("*a", 0, '"*" has nothing before it to repeat'),
        ("a{1001}", 1, "a repetition above 1000"),
        ("a{3,2}", 1, "a repetition whose end is below its beginning"),
        ("(?:a{1000}){1000}", 0, "its repetitions make it too large; use smaller counts"),
        ("(" * 200, 101, "groups are nested deeper than 100"),
        ("(a", 0, 'a "(" is never closed; write "\\(" for the character itself'),
        ("a)", 1, 'a ")" closes nothing; write "\\)" for the character itself'),
        ("[a", 0, 'a "[" is never closed; write "\\[" for the character itself'),
        ("[b-a]", 0, "a character class is wrong: bad character range b-a"),
        ("[[:alpha:]]", 1, "classes like [:alpha:] are not read here; write [A-Za-z]"),
        ("[a--b]", 2, '"--" in a class is ambiguous; write "\\-" for the character'),
        (r"\bvpn", 0, "word boundaries are not read here; name the characters around the word instead"),
        (r"\pL", 0, "Unicode classes are not read here; list the characters, as in [A-Za-z]"),
        (r"\Qa.b\E", 0, "\\Q is not read here; put a backslash before each special character"),
        (r"a\Z", 1, "\\Z is not in RE2; the expression always describes the whole value, so leave it out"),
        (r"\y", 0, '"\\y" has no meaning in RE2'),
        (r"\é", 0, '"\\é" has no meaning in RE2'),
        (r"\x{110000}", 0, '"\\x" has no meaning in RE2'),
        ("a\\", 1, 'it ends with a backslash; write "\\\\" for the character itself'),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_would_be_right(
    source: str, position: int, text: str
) -> None:
    with pytest.raises(patterns.Unreadable) as refused:
        patterns.compile_(source)
    assert (refused.value.position, str(refused.value)) == (position, text)


@pytest.mark.parametrize(
    "source", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(.*)(.*)(.*)(.*)(.*)b", "((a?){30}a{30})b"]
)
def test_an_expression_that_makes_python_backtrack_for_ever_is_answered(source: str) -> None:
    before = time.process_time()

    assert patterns.compile_(source).fullmatch("a" * 5000) is False

    # Python's own engine would need longer than the universe exists. The bound is generous for a slow machine.
    assert time.process_time() - before < 5


def test_what_is_remembered_of_texts_is_bounded() -> None:
    pattern = patterns.compile_("(?:.)*")

    assert all(pattern.fullmatch(chr(number) * 2) for number in range(0x4E00, 0x4E00 + 25_000))

    assert sum(len(state.moves) for state in pattern._states.values()) <= 10_000


def test_empty_repetitions_cost_nothing() -> None:
    assert patterns.compile_("((((){1000}){1000}){1000}){1000}").fullmatch("")
