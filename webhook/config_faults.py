"""What is wrong with a configuration, as sentences for the person who edits it.

JSON Schema finds what does not fit; here each of its findings becomes one line that says where it stands and
what would be right. A value is quoted only where the schema lists what is allowed: any other might be a secret
that was pasted into the wrong place.
"""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from webhook import strictyaml

SCHEMA: Mapping[str, Any] = json.loads(Path(__file__).with_name("config.schema.json").read_text("utf-8"))
"""The published schema of routing.yml."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong.

    Attributes:
        file: as the user named it; "environment" for a variable.
        line: from 1; None where there is none.
        text: what is wrong, and what would be right. Holds no secret.
    """

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        """As `FILE:LINE: text`."""
        return f"{self.file}: {self.text}" if self.line is None else f"{self.file}:{self.line}: {self.text}"


class ConfigFaults(Exception):
    """The configuration cannot be used. Its text has one fault a line."""

    def __init__(self, faults: Collection[Fault]) -> None:
        distinct = dict.fromkeys(faults)
        self.faults = tuple(sorted(distinct, key=lambda fault: (fault.line is None, fault.line or 0)))
        super().__init__("\n".join(map(str, self.faults)))


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a sentence: a question that names the likeliest of what is known, or else what there is."""
    likely = difflib.get_close_matches(word, known, n=1)
    if likely:
        return f'; did you mean "{likely[0]}"?'
    return f"; there is {', '.join(sorted(known))}" if known else "; there is none"


def spoken(path: strictyaml.Path) -> str:
    """A place in the document as people write it: `route.routes[2].matchers`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def of_document(document: strictyaml.Document) -> list[tuple[strictyaml.Path, str]]:
    """Everything in a document that does not fit the schema, and every `${NAME}`: where, and the sentence."""
    shell = _shell_variables(document)
    found: dict[tuple[strictyaml.Path, str], None] = dict.fromkeys(shell.items())
    for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document.data):
        path: strictyaml.Path = tuple(error.absolute_path)
        for below, text in _SENTENCES.get(str(error.validator), _not_fitting)(error):
            if (*path, *below) not in shell:  # one fault is enough for a mistake
                found[(*path, *below), text] = None
    return list(found)


def _shell_variables(document: strictyaml.Document) -> dict[strictyaml.Path, str]:
    """The places of every `${NAME}`, which Alertmanager's users expect to work."""
    return {
        path: f"${{{variable[1]}}} is not filled in here; a secret is written as {{env: {variable[1] or 'NAME'}}}"
        for path in document.values
        if isinstance(value := value_at(document.data, path), str)
        and (variable := re.search(r"\$\{(\w*)", value))
    }


def value_at(data: Any, path: strictyaml.Path) -> Any:
    """What stands at a place of a document's data."""
    for step in path:
        data = data[step]
    return data


_Error = jsonschema.ValidationError
_Sentences = Iterator[tuple[strictyaml.Path, str]]


def _not_fitting(error: _Error) -> _Sentences:
    yield (), f"must be {_what_is_right(error)}"


def _what_is_right(error: _Error) -> str:
    schema = error.schema
    assert isinstance(schema, Mapping)
    return str(schema["description"])


def _unknown_keys(error: _Error) -> _Sentences:
    assert isinstance(error.instance, dict)
    assert isinstance(error.schema, Mapping)
    known = error.schema.get("properties", {})
    for key in error.instance:
        if key not in known:
            yield (key,), f'unknown key "{key}"{did_you_mean(key, known)}'


def _missing_key(error: _Error) -> _Sentences:
    # jsonschema reports each missing key by itself, and names it only in its message.
    assert isinstance(error.instance, dict)
    assert isinstance(error.schema, Mapping)
    key = next(key for key in error.schema["required"] if error.message.startswith(repr(key)))
    unknown = error.instance.keys() - error.schema.get("properties", {}).keys()
    if not difflib.get_close_matches(key, unknown):  # its misspelling is told already
        yield (), f'"{key}" is missing'


def _not_listed(error: _Error) -> _Sentences:
    assert isinstance(error.validator_value, list)
    if isinstance(error.instance, str):
        hint = did_you_mean(error.instance, error.validator_value)
        yield (), f'"{error.instance}" is not {_what_is_right(error)}{hint}'
    else:
        yield from _not_fitting(error)


def _wrong_form(error: _Error) -> _Sentences:
    if "propertyNames" in error.absolute_schema_path:
        yield (str(error.instance),), f'the name "{error.instance}" must be {_what_is_right(error)}'
    else:
        yield from _not_fitting(error)


def _twice(error: _Error) -> _Sentences:
    assert isinstance(error.instance, list)
    for index, item in enumerate(error.instance):
        if item in error.instance[:index]:
            yield (index,), f'"{item}" stands twice in the list'


_SENTENCES: Mapping[str, Callable[[_Error], _Sentences]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_key,
    "enum": _not_listed,
    "pattern": _wrong_form,
    "uniqueItems": _twice,
}
