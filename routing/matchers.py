r"""Alertmanager's matchers: `severity="critical"`, `!=`, `=~`, `!~`, in a comma-separated list, braces or not.

Names and values are bare words or stand in double quotes. Inside quotes `\"`, `\\` and `\n` are escapes and
every other backslash stays (`=~"web\.hook"` is fine), which is what Alertmanager does in its default mode.
A label that is missing is the empty string.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from routing import model, patterns


class Unreadable(ValueError):
    """Not a matcher. The text says what would be right.

    Attributes:
        position: of the offending character, from 0.
    """

    def __init__(self, text: str, position: int) -> None:
        super().__init__(f"at character {position + 1}: {text}")
        self.position = position


class Operator(enum.StrEnum):
    """How a label is compared with the matcher's value."""

    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


_REGEX = frozenset({Operator.REGEX, Operator.NOT_REGEX})
_NEGATIVE = frozenset({Operator.NOT_EQUAL, Operator.NOT_REGEX})
_PLAIN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """One condition on one label.

    Raises:
        routing.patterns.Unreadable: the value of `=~` or `!~` is no usable regular expression.
    """

    name: str
    operator: Operator
    value: str

    def __post_init__(self) -> None:
        if self.operator in _REGEX:
            patterns.compile_(self.value)

    def matches(self, labels: model.Labels) -> bool:
        """Whether these labels fulfil the condition."""
        actual = labels.get(self.name, "")
        regex = self.operator in _REGEX
        found = patterns.compile_(self.value).fullmatch(actual) if regex else actual == self.value
        return found is not (self.operator in _NEGATIVE)

    def __str__(self) -> str:
        """As `parse` reads it."""
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else _quote(self.name)
        return f"{name}{self.operator}{_quote(self.value)}"


def text(matchers: Iterable[Matcher]) -> str:
    """A list of matchers on one line, as `parse` reads it."""
    return ", ".join(map(str, matchers))


def parse(source: str) -> tuple[Matcher, ...]:
    """Read a list of matchers, with or without braces; `{}` is the empty list.

    Raises:
        Unreadable: with the position, and what would be right there.
    """
    return _Parser(source).matchers()


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<operator> =~ | !~ | != | = )
      | (?P<quoted> "(?: [^"\\] | \\. )*" )
      | (?P<mark> [{},] )
      | (?P<word> [^\s{}!=~,\\"'`]+ )
      | (?P<end> \Z )
      | (?P<odd> . )
    )""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = "=, !=, =~ or !~"


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


class _Parser:
    """Reads one list of matchers from left to right, one token ahead."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._next = self._scan()

    def matchers(self) -> tuple[Matcher, ...]:
        braces = self._next.text == "{"
        if braces:
            self._take()
        elif self._next.kind == "end":
            raise Unreadable('nothing stands here; write a matcher like severity="critical"', 0)
        closing = ("mark", "}") if braces else ("end", "")
        found: list[Matcher] = []
        while (self._next.kind, self._next.text) != closing:
            found.append(self._matcher())
            if self._next.text == "," and self._next.kind == "mark":
                self._take()
            elif (self._next.kind, self._next.text) != closing:
                expected = '"," or "}"' if braces else '"," or the end'
                raise self._surprise(f"expected {expected}")
        if braces:
            self._take()
            if self._next.kind != "end":
                raise self._surprise('expected nothing after "}"')
        return tuple(found)

    def _matcher(self) -> Matcher:
        if self._next.kind not in ("word", "quoted"):
            raise self._surprise("expected a label's name")
        name = self._take()
        if not _value(name):
            raise Unreadable("a label's name is empty", name.position)
        if self._next.kind != "operator":
            raise self._surprise(f'expected {_OPERATORS} after the label\'s name "{_value(name)}"')
        operator = Operator(self._take().text)
        if self._next.kind not in ("word", "quoted"):
            raise self._surprise(f'expected a value after "{operator}" (the empty one is "")')
        value = self._take()
        try:
            return Matcher(name=_value(name), operator=operator, value=_value(value))
        except patterns.Unreadable as error:
            # Escapes shift positions inside quotes, so the value's beginning is named, and the part after it.
            raise Unreadable(
                f"the regular expression {value.text} cannot be used, at its character {error.position + 1}: "
                f"{error}",
                value.position,
            ) from error

    def _take(self) -> _Token:
        token, self._next = self._next, self._scan()
        return token

    def _scan(self) -> _Token:
        found = _TOKEN.match(self._source, self._at)
        assert found is not None  # "odd" fits any character, and "end" the end
        assert found.lastgroup is not None
        self._at = found.end()
        return _Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup))

    def _surprise(self, expected: str) -> Unreadable:
        token = self._next
        if token.kind == "end":
            return Unreadable(f"{expected}, found the end", token.position)
        if token.text == '"':
            return Unreadable("this double quote is never closed", token.position)
        if token.text in "'`":
            return Unreadable(f"{token.text} does not quote here; use double quotes", token.position)
        if token.kind == "odd" or token.text in ("{", "}"):
            return Unreadable(
                f'"{token.text}" must stand in double quotes, as in name="a{token.text}b"', token.position
            )
        return Unreadable(f'{expected}, found "{token.text}"', token.position)


_ESCAPE = re.compile(r'\\(["\\n])')


def _value(token: _Token) -> str:
    if token.kind == "word":
        return token.text
    return _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], token.text[1:-1])


def _quote(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
