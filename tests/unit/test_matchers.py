"""Matchers are read as Alertmanager reads them, and a mistake is told with its place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing import matchers

EQUAL, NOT_EQUAL = matchers.Operator.EQUAL, matchers.Operator.NOT_EQUAL
REGEX, NOT_REGEX = matchers.Operator.REGEX, matchers.Operator.NOT_REGEX


def matcher(name: str, operator: matchers.Operator, value: str) -> matchers.Matcher:
    return matchers.Matcher(name=name, operator=operator, value=value)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('severity="critical"', [("severity", EQUAL, "critical")]),
        ("severity=critical", [("severity", EQUAL, "critical")]),
        ("severity != critical", [("severity", NOT_EQUAL, "critical")]),
        ("service=~vpn.*", [("service", REGEX, "vpn.*")]),
        ('service!~"a|b"', [("service", NOT_REGEX, "a|b")]),
        ('{a="b",c=~"d|e"}', [("a", EQUAL, "b"), ("c", REGEX, "d|e")]),
        ('a="b", c!="d"', [("a", EQUAL, "b"), ("c", NOT_EQUAL, "d")]),
        ('{a="b",}', [("a", EQUAL, "b")]),
        ("{}", []),
        (' { a = "b" } ', [("a", EQUAL, "b")]),
        ('a=""', [("a", EQUAL, "")]),
        ('"Übung mit Wort"="ja"', [("Übung mit Wort", EQUAL, "ja")]),
        ('Übung="ja"', [("Übung", EQUAL, "ja")]),
        ('a="{b,c}"', [("a", EQUAL, "{b,c}")]),
        (r'a="say \"no\""', [("a", EQUAL, 'say "no"')]),
        (r'a="C:\\x"', [("a", EQUAL, r"C:\x")]),
        (r'a="x\ny"', [("a", EQUAL, "x\ny")]),
        (r'a=~"web\.hook"', [("a", REGEX, r"web\.hook")]),
        (r'a=~"\d+"', [("a", REGEX, r"\d+")]),
    ],
)
def test_what_is_read(source: str, expected: list[tuple[str, matchers.Operator, str]]) -> None:
    assert matchers.parse(source) == tuple(matcher(*parts) for parts in expected)


@pytest.mark.parametrize(
    ("source", "labels", "fits"),
    [
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "bc"}, False),
        ("a=b", {}, False),
        ('a=""', {}, True),
        ('a!=""', {}, False),
        ('a!=""', {"a": "b"}, True),
        ("a!=b", {}, True),
        ("a=~b", {"a": "bc"}, False),  # the whole value
        ("a=~b.", {"a": "bc"}, True),
        ("a=~b|c", {"a": "c"}, True),
        ("a=~.*", {}, True),
        ("a=~.+", {}, False),
        ("a!~b.*", {"a": "bc"}, False),
        ("a!~b.*", {}, True),
        ('a=~".*"', {"a": "two\nlines"}, False),  # as in RE2, a dot is no line break
    ],
)
def test_which_labels_fit(source: str, labels: dict[str, str], fits: bool) -> None:
    (only,) = matchers.parse(source)
    assert only.matches(labels) is fits


@given(
    parts=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1),
            st.sampled_from([EQUAL, NOT_EQUAL]),
            st.text(st.characters(codec="utf-8")),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_written_is_read_as_the_same(parts: list[tuple[str, matchers.Operator, str]]) -> None:
    written = tuple(matcher(*part) for part in parts)
    assert matchers.parse(matchers.text(written)) == written


@pytest.mark.parametrize("value", [r"web\.hook", r"\d+", r"a\\b", 'a"b', "a|b", ""])
def test_an_expression_is_read_as_it_was_written(value: str) -> None:
    assert matchers.parse(str(matcher("a", REGEX, value))) == (matcher("a", REGEX, value),)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", 'at character 1: nothing stands here; write a matcher like severity="critical"'),
        (
            "severity",
            'at character 9: expected =, !=, =~ or !~ after the label\'s name "severity", found the end',
        ),
        ("a b", 'at character 3: expected =, !=, =~ or !~ after the label\'s name "a", found "b"'),
        ("a=", 'at character 3: expected a value after "=" (the empty one is ""), found the end'),
        ("a==b", 'at character 3: expected a value after "=" (the empty one is ""), found "="'),
        ("=b", 'at character 1: expected a label\'s name, found "="'),
        (",a=b", 'at character 1: expected a label\'s name, found ","'),
        ("a=b c=d", 'at character 5: expected "," or the end, found "c"'),
        ("{a=b", 'at character 5: expected "," or "}", found the end'),
        ("{a=b} c=d", 'at character 7: expected nothing after "}", found "c"'),
        ("a=b}", 'at character 4: "}" must stand in double quotes, as in name="a}b"'),
        ("a=b!c", 'at character 4: "!" must stand in double quotes, as in name="a!b"'),
        ("a=b~c", 'at character 4: "~" must stand in double quotes, as in name="a~b"'),
        ("a='b'", "at character 3: ' does not quote here; use double quotes"),
        ("a=`b`", "at character 3: ` does not quote here; use double quotes"),
        ('a="b', "at character 3: this double quote is never closed"),
        ('""=a', "at character 1: a label's name is empty"),
        (
            'a="b", c=~"(d"',
            (
                'at character 11: the regular expression "(d" cannot be used, at its character 1: '
                'a "(" is never closed; write "\\(" for the character itself'
            ),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place(source: str, text: str) -> None:
    with pytest.raises(matchers.Unreadable) as refused:
        matchers.parse(source)
    assert str(refused.value) == text


@given(st.text(alphabet="ab{}=!~,\"\\\n '`é", max_size=12))
def test_any_text_is_read_or_refused(source: str) -> None:
    try:
        read, position = matchers.parse(source), 0
    except matchers.Unreadable as refused:
        read, position = (), refused.position

    assert 0 <= position <= len(source)
    assert matchers.parse("{" + matchers.text(read) + "}") == read
