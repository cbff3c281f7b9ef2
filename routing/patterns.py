r"""Regular expressions as Alertmanager reads them: RE2's syntax, the whole text, in time linear to the text.

Python's `re` backtracks, so an innocent `(a+)+b` and an alert with the wrong label would stop the service.
Here an expression becomes a program of small instructions, and all its alternatives are followed at once,
one character after the other; single characters and classes are left to `re`. What RE2 lacks is refused
(lookaround, back-references), and so is what RE2 has and a route hardly needs: `\b`, `\p{..}`, `[:alpha:]`,
`\Q`, and the flags m and U.
"""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

LONGEST_REPEAT = 1000
"""RE2's own bound of a counted repetition."""

_LARGEST_PROGRAM = 10_000
_DEEPEST_GROUP = 100
_REMEMBERED_MOVES = 10_000


class Unreadable(ValueError):
    """Not an expression that can be used here.

    Attributes:
        position: of the offending character, from 0.
    """

    def __init__(self, text: str, position: int) -> None:
        super().__init__(text)
        self.position = position


@dataclass(frozen=True, slots=True)
class _Character:
    fits: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class _Edge:
    """The beginning or the end of the text."""

    end: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Choice:
    branches: "tuple[_Node, ...]"


@dataclass(frozen=True, slots=True)
class _Repeat:
    part: "_Node"
    least: int
    most: int | None


_Node = _Character | _Edge | _Sequence | _Choice | _Repeat


@dataclass(frozen=True, slots=True)
class _Fork:
    """Go on at every one of these instructions."""

    targets: tuple[int, ...]


_Instruction = _Character | _Edge | _Fork | None
"""None is the last one: all has been read."""


@dataclass(slots=True, eq=False)
class _State:
    """Where the program stands after some text: at several instructions at once."""

    at: frozenset[int]
    accepts: bool
    moves: "dict[str, _State]" = field(default_factory=dict)


class Pattern:
    """A compiled expression."""

    def __init__(self, program: list[_Instruction]) -> None:
        self._program = program
        self._states: dict[frozenset[int], _State] = {}
        self._remembered = 0
        self._start = self._state((0,), begin=True)

    def fullmatch(self, text: str) -> bool:
        """Whether the expression describes the whole text."""
        state = self._start
        for character in text:
            state = state.moves.get(character) or self._move(state, character)
            if not state.at:
                return False
        return state.accepts

    def _move(self, state: _State, character: str) -> _State:
        if self._remembered >= _REMEMBERED_MOVES:  # labels are anybody's text: remember a bounded part of it
            self._states.clear()
            self._start.moves.clear()
            state.moves.clear()
            self._remembered = 0
        program = self._program
        after = [
            index + 1
            for index in state.at
            if isinstance(instruction := program[index], _Character) and instruction.fits(character)
        ]
        following = self._state(after, begin=False)
        state.moves[character] = following
        self._remembered += 1
        return following

    def _state(self, after: Iterable[int], *, begin: bool) -> _State:
        at = self._reach(after, begin=begin, end=False)
        if begin or at not in self._states:
            last = len(self._program) - 1
            state = _State(at, accepts=last in self._reach(at, begin=begin, end=True))
            if begin:
                return state
            self._states[at] = state
        return self._states[at]

    def _reach(self, indices: Iterable[int], *, begin: bool, end: bool) -> frozenset[int]:
        """All instructions that can be come to from these without reading a character."""
        found: set[int] = set()
        waiting = list(indices)
        while waiting:
            index = waiting.pop()
            if index in found:
                continue
            found.add(index)
            instruction = self._program[index]
            if isinstance(instruction, _Fork):
                waiting.extend(instruction.targets)
            elif isinstance(instruction, _Edge) and (end if instruction.end else begin):
                waiting.append(index + 1)
        return frozenset(found)


@functools.lru_cache(maxsize=1024)
def compile_(source: str) -> Pattern:
    """Compile an expression.

    Raises:
        Unreadable: it is none, or needs what is not offered here.
    """
    tree = _Parser(source).parse()
    program: list[_Instruction] = []
    _emit(tree, program)
    program.append(None)
    return Pattern(program)


def _emit(node: _Node, program: list[_Instruction]) -> None:
    if len(program) > _LARGEST_PROGRAM:
        raise Unreadable("its repetitions make it too large; use smaller counts", 0)
    match node:
        case _Character() | _Edge():
            program.append(node)
        case _Sequence():
            for part in node.parts:
                _emit(part, program)
        case _Choice():
            _emit_choice(node.branches, program)
        case _Repeat():
            _emit_repeat(node, program)


def _emit_repeat(node: _Repeat, program: list[_Instruction]) -> None:
    for _ in range(node.least):
        before = len(program)
        _emit(node.part, program)
        if len(program) == before:  # an empty part is empty however often it is repeated
            return
    if node.most is None:
        _emit_loop(node.part, program)
    else:
        for _ in range(node.most - node.least):
            _emit_choice((node.part, _Sequence(())), program)


def _emit_choice(branches: tuple[_Node, ...], program: list[_Instruction]) -> None:
    fork = len(program)
    program.append(None)
    starts, ends = [], []
    for branch in branches:
        starts.append(len(program))
        _emit(branch, program)
        ends.append(len(program))
        program.append(None)
    program[fork] = _Fork(tuple(starts))
    for end in ends:
        program[end] = _Fork((len(program),))


def _emit_loop(part: _Node, program: list[_Instruction]) -> None:
    fork = len(program)
    program.append(None)
    _emit(part, program)
    program.append(_Fork((fork,)))
    program[fork] = _Fork((fork + 1, len(program)))


_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_MISSING = {
    **dict.fromkeys("123456789", "back-references are not in RE2, and so not here"),
    **dict.fromkeys("bB", "word boundaries are not read here; name the characters around the word instead"),
    **dict.fromkeys("pP", "Unicode classes are not read here; list the characters, as in [A-Za-z]"),
    "Q": "\\Q is not read here; put a backslash before each special character",
    "Z": "\\Z is not in RE2; the expression always describes the whole value, so leave it out",
}
_GROUP = re.compile(r"\?(?:P?<(?P<name>\w+)>|(?P<flags>[a-zA-Z-]*)(?P<end>[:)]))")
_LOOKAROUND = re.compile(r"\?<?[=!]")
_COUNT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_QUANTIFIERS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_FLAGS = {"i": re.IGNORECASE, "s": re.DOTALL}


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._flags = re.NOFLAG

    def parse(self) -> _Node:
        tree = self._choice(depth=0)
        if self._at < len(self._source):
            raise Unreadable('a ")" closes nothing; write "\\)" for the character itself', self._at)
        return tree

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _choice(self, depth: int) -> _Node:
        if depth > _DEEPEST_GROUP:
            raise Unreadable(f"groups are nested deeper than {_DEEPEST_GROUP}", self._at)
        branches = [self._sequence(depth)]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._sequence(depth))
        return branches[0] if len(branches) == 1 else _Choice(tuple(branches))

    def _sequence(self, depth: int) -> _Node:
        parts: list[_Node] = []
        while (character := self._peek()) and character not in "|)":
            part = self._group(depth) if character == "(" else self._single(character)
            parts.append(self._repeated(part))
        return _Sequence(tuple(parts))

    def _single(self, character: str) -> _Node:
        start = self._at
        if character in _QUANTIFIERS:
            raise Unreadable(f'"{character}" has nothing before it to repeat', start)
        if character == "[":
            return self._character(self._class(), start)
        self._at += 1
        if character == ".":
            return self._character(".", start)
        if character in "^$":
            return _Edge(end=character == "$")
        if character == "\\":
            if self._peek() in ("A", "z"):
                self._at += 1
                return _Edge(end=self._source[start + 1] == "z")
            return self._character(self._escape(), start)
        return self._character(re.escape(character), start)

    def _character(self, source: str, start: int) -> _Character:
        # \d, \w and \s mean ASCII in RE2. Only they need the flag, and with it letters fold in ASCII only.
        flags = self._flags | (re.ASCII if re.search(r"\\[dws]", source, re.IGNORECASE) else re.NOFLAG)
        try:
            return _Character(re.compile(source, flags).fullmatch)
        except re.error as error:
            raise Unreadable(f"a character class is wrong: {error.msg}", start) from error

    def _escape(self) -> str:
        r"""Read what follows a backslash; returns it as `re` writes it."""
        start = self._at - 1
        letter = self._peek()
        self._at += 1
        if not letter:
            raise Unreadable('it ends with a backslash; write "\\\\" for the character itself', start)
        if letter in "dDwWsS":
            return f"\\{letter}"
        if letter in _CONTROLS:
            return re.escape(_CONTROLS[letter])
        if letter == "x" and (
            code := re.compile(r"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\}").match(self._source, self._at)
        ):
            self._at = code.end()
            number = int(code[1] or code[2], 16)
            if number <= 0x10FFFF:  # noqa: PLR2004 - the last code point of Unicode
                return re.escape(chr(number))
        if letter.isalnum() or not letter.isascii():
            raise Unreadable(_MISSING.get(letter, f'"\\{letter}" has no meaning in RE2'), start)
        return re.escape(letter)

    def _class(self) -> str:
        start = self._at
        self._at += 1
        parts = ["["]
        if self._peek() == "^":
            self._at += 1
            parts.append("^")
        first = True
        while (character := self._peek()) != "]" or first:
            if not character:
                raise Unreadable('a "[" is never closed; write "\\[" for the character itself', start)
            if self._source.startswith("[:", self._at):
                raise Unreadable("classes like [:alpha:] are not read here; write [A-Za-z]", self._at)
            if self._source.startswith("--", self._at):
                raise Unreadable('"--" in a class is ambiguous; write "\\-" for the character', self._at)
            first = False
            self._at += 1
            if character == "\\":
                parts.append(self._escape())
            else:
                parts.append(f"\\{character}" if character in "[]^&~|" else character)
        self._at += 1
        return "".join(parts) + "]"

    def _group(self, depth: int) -> _Node:
        start = self._at
        self._at += 1
        outside = self._flags
        if self._peek() == "?":
            if _LOOKAROUND.match(self._source, self._at):
                raise Unreadable(
                    "lookaround is not in RE2, and so not here; use a second matcher with != or !~", start
                )
            head = _GROUP.match(self._source, self._at)
            if head is None:
                raise Unreadable("this kind of group is not in RE2; write (?:...)", start)
            self._at = head.end()
            if head["flags"]:
                self._set_flags(head["flags"], start)
            if head["end"] == ")":
                return _Sequence(())
        inside = self._choice(depth + 1)
        if self._peek() != ")":
            raise Unreadable('a "(" is never closed; write "\\(" for the character itself', start)
        self._at += 1
        self._flags = outside
        return inside

    def _set_flags(self, letters: str, start: int) -> None:
        on, _, off = letters.partition("-")
        for letter in on + off:
            if letter not in _FLAGS:
                raise Unreadable(f'the flag "{letter}" is not read here; i and s are', start)
        for letter in on:
            self._flags |= _FLAGS[letter]
        for letter in off:
            self._flags &= ~_FLAGS[letter]

    def _repeated(self, part: _Node) -> _Node:
        start = self._at
        counts = self._counts()
        if counts is None:
            return part
        least, most = counts
        if max(least, most or 0) > LONGEST_REPEAT:
            raise Unreadable(f"a repetition above {LONGEST_REPEAT}", start)
        if most is not None and most < least:
            raise Unreadable("a repetition whose end is below its beginning", start)
        if self._peek() == "?":  # "as few as possible" does not change whether the whole text fits
            self._at += 1
        again = self._at
        if self._counts() is not None:
            raise Unreadable("two repetitions in a row; put the inner one in (?:...)", again)
        return _Repeat(part, least, most)

    def _counts(self) -> tuple[int, int | None] | None:
        """Read a quantifier, if one stands here: the least and the most times."""
        if (character := self._peek()) in _QUANTIFIERS:
            self._at += 1
            return _QUANTIFIERS[character]
        count = _COUNT.match(self._source, self._at)
        if count is None:
            return None
        self._at = count.end()
        least = int(count[1])
        if not count[2]:
            return least, least
        return least, int(count[3]) if count[3] else None
