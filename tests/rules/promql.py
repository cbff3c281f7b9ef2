"""Where the parts of a PromQL expression stand: enough of the language to change one of them at a time.

promtool is the judge of what is valid PromQL; this only finds places in text that it has already accepted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*)
  | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
  | (?P<duration>(?:\d+(?:ms|[smhdwy]))+)
  | (?P<number>0x[0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?:Inf|NaN)\b)
  | (?P<name>[a-zA-Z_][a-zA-Z0-9_:]*)
  | (?P<operator>==|!=|>=|<=|=~|!~|[-+*/%^<>=(){}\[\],@:])
    """,
    re.VERBOSE,
)

_BINDING = {
    "or": 1,
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 6,
}
_LABEL_LISTS = ("by", "without", "on", "ignoring", "group_left", "group_right")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One word of the text; `start` and `end` are offsets into it."""

    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """A binary operation: its operator, where its operands stand, and whether it has the modifier `bool`."""

    operator: Token
    left: tuple[int, int]
    right: tuple[int, int]
    bool_modifier: Token | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Matcher:
    """`name operator value` inside braces."""

    name: Token
    operator: Token
    value: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelList:
    """`by (a, b)` and its like: the keyword, the labels, and the offsets of the parentheses' inside."""

    keyword: Token
    labels: tuple[Token, ...]
    inside: tuple[int, int]


@dataclass(slots=True, kw_only=True)
class Parts:
    """Everything that was found in one expression, in the order of the text."""

    binaries: list[Binary] = field(default_factory=list)
    matchers: list[list[Matcher]] = field(default_factory=list)
    label_lists: list[LabelList] = field(default_factory=list)
    calls: list[Token] = field(default_factory=list)
    selectors: list[Token] = field(default_factory=list)
    numbers: list[Token] = field(default_factory=list)
    durations: list[Token] = field(default_factory=list)


class NotUnderstood(ValueError):
    """The expression is not PromQL, or more of PromQL than is known here."""


def parts(text: str) -> Parts:
    """Take an expression apart.

    Raises:
        NotUnderstood: it names the place.
    """
    parser = _Parser(list(_tokens(text)), len(text))
    parser.expression(0)
    if parser.next is not None:
        raise NotUnderstood(f"{parser.next.text!r} at {parser.next.start}")
    return parser.found


def _tokens(text: str) -> Iterator[Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise NotUnderstood(f"{text[at]!r} at {at}")
        if match.lastgroup != "space":
            yield Token(kind=match.lastgroup, text=match[0], start=at, end=match.end())
        at = match.end()


class _Parser:
    """Precedence climbing over the tokens; each method returns the offsets of what it read."""

    def __init__(self, tokens: list[Token], length: int) -> None:
        self._tokens = tokens
        self._at = 0
        self._length = length
        self.found = Parts()

    @property
    def next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, *texts: str) -> bool:
        return self.next is not None and self.next.kind != "string" and self.next.text in texts

    def _take(self, *texts: str) -> Token:
        token = self.next
        if token is None or (texts and token.text not in texts):
            raise NotUnderstood(f"{' or '.join(texts) or 'something'} is expected at {token and token.start}")
        self._at += 1
        return token

    def expression(self, least: int) -> tuple[int, int]:
        left = self._operand()
        while self.next is not None and least <= _BINDING.get(self.next.text, -1):
            operator = self._take()
            binding = _BINDING[operator.text]
            bool_modifier = self._take() if self._is("bool") else None
            while self._is(*_LABEL_LISTS):
                self._label_list()
            right = self.expression(binding + (operator.text != "^"))
            found = Binary(operator=operator, left=left, right=right, bool_modifier=bool_modifier)
            self.found.binaries.append(found)
            left = (left[0], right[1])
        return left

    def _operand(self) -> tuple[int, int]:
        start = self._take()
        match start:
            case Token(text="+" | "-", kind="operator"):
                end = self.expression(_BINDING["*"] + 1)[1]
            case Token(text="(", kind="operator"):
                self.expression(0)
                end = self._take(")").end
            case Token(kind="number"):
                self.found.numbers.append(start)
                end = start.end
            case Token(kind="string"):
                end = start.end
            case Token(text="{", kind="operator"):
                end = self._matchers()
            case Token(kind="name"):
                end = self._named(start)
            case _:
                raise NotUnderstood(f"{start.text!r} at {start.start}")
        return start.start, self._after(end)

    def _named(self, name: Token) -> int:
        """A selector, a function or an aggregation."""
        if self._is("by", "without"):
            self._label_list()
        if not self._is("("):
            self.found.selectors.append(name)
            if self._is("{"):
                self._take("{")
                return self._matchers()
            return name.end
        self.found.calls.append(name)
        self._take("(")
        while not self._is(")"):
            self.expression(0)
            if self._is(","):
                self._take(",")
        end = self._take(")").end
        return self._label_list() if self._is("by", "without") else end

    def _after(self, end: int) -> int:
        """Ranges, subqueries, offsets and `@`."""
        while self._is("[", "offset", "@"):
            word = self._take()
            if word.text == "[":
                while not self._is("]"):
                    self._duration()
                end = self._take("]").end
            elif word.text == "offset":
                end = self._duration().end
            else:
                end = self.expression(_BINDING["^"])[1]
        return end

    def _duration(self) -> Token:
        token = self._take()
        if token.kind == "duration":
            self.found.durations.append(token)
        elif token.text not in (":", "-"):
            raise NotUnderstood(f"a duration is expected at {token.start}")
        elif token.text == "-":
            return self._duration()
        return token

    def _matchers(self) -> int:
        found: list[Matcher] = []
        while not self._is("}"):
            found.append(
                Matcher(name=self._take(), operator=self._take("=", "!=", "=~", "!~"), value=self._take())
            )
            if self._is(","):
                self._take(",")
        self.found.matchers.append(found)
        return self._take("}").end

    def _label_list(self) -> int:
        keyword = self._take()
        if not self._is("("):
            return keyword.end
        opening = self._take("(")
        labels: list[Token] = []
        while not self._is(")"):
            labels.append(self._take())
            if self._is(","):
                self._take(",")
        closing = self._take(")")
        inside = (opening.end, closing.start)
        self.found.label_lists.append(LabelList(keyword=keyword, labels=tuple(labels), inside=inside))
        return closing.end
