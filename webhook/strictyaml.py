"""YAML without its surprises, and with the place of everything in the file.

`22:00` and `2026-01-15` are strings, `no` and `on` are words, only `true` and `false` are booleans, `010` is
ten (YAML 1.2's core schema); a key that stands twice is a fault. Anchors and aliases work, but what they expand
to is bounded. There are no tags, no merge keys and no second document.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and indices from the top of the document."""

_MOST_VALUES = 100_000
"""An alias is expanded wherever it stands; nine lines of them can stand for a billion values."""

_DEEPEST_VALUE = 100
_TOO_DEEP = f"it is nested deeper than {_DEEPEST_VALUE}"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Place:
    """A line and a column, both from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and where."""

    place: Place
    text: str


class Unreadable(ValueError):
    """The text is not strict YAML."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"line {fault.place.line}: {fault.text}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document's data: dict, list, str, int, float, bool, None.

    Attributes:
        values: where each value begins.
        keys: where each key of a mapping begins, by the path of its value.
    """

    data: Any
    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]

    def place(self, path: Path) -> Place:
        """Where a reader should look for it: at its key, else at the value itself."""
        return self.keys.get(path) or self.values[path]


def read(content: bytes) -> Document:
    """Read one document; an empty one is None.

    Raises:
        Unreadable: with every key that stands twice, or with the first fault of another kind.
    """
    text = _decode(content)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        raise Unreadable(_forbidden_character(text, error)) from error
    except yaml.MarkedYAMLError as error:
        raise Unreadable(_syntax_fault(text, error)) from error
    if root is None:
        return Document(data=None, values={(): Place(line=1, column=1)}, keys={})
    reading = _Reading()
    data = reading.value(root, ())
    if reading.faults:
        raise Unreadable(*reading.faults)
    return Document(data=data, values=reading.values, keys=reading.keys)


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        raise Unreadable(
            Fault(
                place=_after(before),
                text=f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8",
            )
        ) from error


def _forbidden_character(text: str, error: yaml.reader.ReaderError) -> Fault:
    # The C reader counts bytes and the Python one characters, so look for the character itself.
    character = error.character if isinstance(error.character, str) else chr(error.character)
    before, _, _ = text.partition(character)
    return Fault(
        place=_after(before), text=f"the control character U+{ord(character):04X} must not stand in YAML"
    )


def _after(text: str) -> Place:
    return Place(line=text.count("\n") + 1, column=len(text) - text.rfind("\n"))


def _place(mark: Any) -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1)


_HINTS = (
    ("another document", 'a second document begins; keep one, without a "---" in the middle'),
    ("undefined alias", "this alias has no anchor before it; put quotes around a text that begins with *"),
    ("mapping values are not allowed", 'a ": " that belongs to no key here; check the indentation, or quote the text'),
    ("unexpected end of stream", "a quote is opened and never closed"),
    ("expected ',' or ']'", 'a list that is opened with "[" is not closed; a "," or "]" is missing'),
    ("expected ',' or '}'", 'a mapping that is opened with "{" is not closed; a "," or "}" is missing'),
    ("expected '-' indicator", 'this line is no part of the list above it; check the indentation, or add "- "'),
    ("did not find expected key", "this line does not fit what stands above it; check the indentation"),
    ("expected <block end>", "this line does not fit what stands above it; check the indentation"),
    ("could not find expected ':'", 'a ":" is missing after this key'),
    ("expected node content", "a value is missing here, or what was opened is never closed"),
    ("exceeded maximum nesting depth", _TOO_DEEP),
)  # fmt: skip


def _syntax_fault(source: str, error: yaml.MarkedYAMLError) -> Fault:
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    problem = error.problem or error.context or "not YAML"
    # An unclosed quote or bracket is noticed at the end of the file; what was opened is what helps.
    if error.context_mark is not None and (
        "end of stream" in problem or "did not find expected ','" in problem
    ):
        mark = error.context_mark
    text = next((hint for words, hint in _HINTS if words in problem), problem)
    if "cannot start any token" in problem:
        line = source.split("\n")[mark.line]
        text = f'"{line[mark.column : mark.column + 1]}" begins nothing in YAML; put quotes around the text'
        if "\t" in line[: len(line) - len(line.lstrip())]:
            text = "a tab in the indentation; use spaces"
    return Fault(place=_place(mark), text=text)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes and leaves what plain words mean to `_plain`. In C where libyaml is there: five times faster."""

    def resolve(self, kind: type[yaml.Node], value: str, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))


_PLAIN = "plain"
_DEFAULT_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "seq", "map"))
_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,400}"), int),
    (re.compile(r"0o[0-7]{1,400}|0x[0-9a-fA-F]{1,400}"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]{1,99}|[0-9]{1,99}(\.[0-9]{0,99})?)([eE][-+]?[0-9]{1,2})?"), float),
)


def _plain(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    return next((convert(text) for form, convert in _NUMBERS if form.fullmatch(text)), text)


@dataclass(slots=True)
class _Reading:
    """Turns nodes into data and notes where everything stands."""

    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    open_: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.values[path] = place = _place(node.start_mark)
        if len(self.values) > _MOST_VALUES:
            raise Unreadable(Fault(place=place, text=f"aliases make it larger than {_MOST_VALUES} values"))
        if len(path) > _DEEPEST_VALUE:
            raise Unreadable(Fault(place=place, text=_TOO_DEEP))
        if node.tag != _PLAIN and node.tag not in _DEFAULT_TAGS:
            raise Unreadable(Fault(place=place, text=f"the tag {node.tag} is not read here; leave it out"))
        if isinstance(node, yaml.ScalarNode):
            return _plain(node.value) if node.tag == _PLAIN else node.value
        if id(node) in self.open_:
            raise Unreadable(Fault(place=place, text="an alias inside of what it stands for"))
        self.open_.add(id(node))
        data = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self.open_.discard(id(node))
        return data

    def _list(self, node: yaml.Node, path: Path) -> list[Any]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, Place] = {}
        for key, value in node.value:
            place = _place(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                raise Unreadable(Fault(place=place, text="a key must be a word"))
            if key.value in first:
                text = f'"{key.value}" stands twice, first in line {first[key.value].line}; keep one'
                self.faults.append(Fault(place=place, text=text))
                continue
            first[key.value] = place
            self.keys[*path, key.value] = place
            data[key.value] = self.value(value, (*path, key.value))
        return data
