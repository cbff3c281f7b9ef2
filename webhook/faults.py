"""What is wrong with a body that the typed decoder refused: mended if the contract forgives it, explained if not."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from importlib import resources
from typing import Annotated, Any, NoReturn

import msgspec
from jsonschema import Draft202012Validator, FormatChecker, ValidationError, validators

SCHEMA_FILE = "alertmanager-webhook-v4.schema.json"

Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""An RFC 3339 time with an offset, as the typed decoder reads it: the schema's `date-time` is the same."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_QUOTE = 60
_MOST_DIGITS = 20


class Malformed(Exception):
    """The body is no message of version 4 and never will be.

    Attributes:
        error: what is wrong, for people, in one short line.
        pointer: where (RFC 6901): the first fault in document order, the parent of a key that is missing,
            "" for what is not JSON.
    """

    def __init__(self, error: str, pointer: str) -> None:
        super().__init__(error)
        self.error = error
        self.pointer = pointer


def schema() -> Any:
    """The published schema of a message."""
    return json.loads(resources.files("webhook").joinpath(SCHEMA_FILE).read_text(encoding="utf-8"))


def mend(body: bytes) -> Any:
    """The document in a body, valid by the schema.

    Broken UTF-8 and lone surrogates become U+FFFD; of a key that stands twice the last counts.

    Raises:
        Malformed: it is not JSON, or not by the schema.
    """
    try:
        document = _without_surrogates(_parse(body))
    except RecursionError:
        raise Malformed("not JSON that can be read: nested too deeply", "") from None
    fault = next(_validator.iter_errors(document), None)
    if fault is not None:
        raise Malformed(
            _EXPLANATIONS[fault.validator](fault.instance, fault.validator_value), _pointer(fault)
        )
    return document


def _parse(body: bytes) -> Any:
    text = body.decode("utf-8", errors="replace").removeprefix("\ufeff")
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_whole_if_possible,
            # An integer may have a million digits, and Python refuses to read those. No field takes one
            # of more than 20, so the rest of it can go.
            parse_int=lambda digits: int(digits[: _MOST_DIGITS + 1]),
            object_pairs_hook=_last_counts,
        )
    except ValueError as error:
        raise Malformed(f"not JSON: {error}", "") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole_if_possible(text: str) -> int | float:
    # JSON Schema takes 1.0 for an integer.
    number = float(text)
    return int(number) if number.is_integer() else number


def _last_counts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        # Removed first, so that a fault's place in the document is the place of the one that counts.
        document.pop(name, None)
        document[name] = value
    return document


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return _last_counts([(_without_surrogates(key), _without_surrogates(v)) for key, v in value.items()])
    return value


def _properties_in_document_order(
    validator: Any, properties: Mapping[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    # jsonschema's own keyword goes by the schema's order. This one makes the first error the first in the body.
    if isinstance(instance, dict):
        for name, value in instance.items():
            if name in properties:
                yield from validator.descend(value, properties[name], path=name, schema_path=name)


_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=msgspec.ValidationError)
def _is_time(value: object) -> bool:
    if isinstance(value, str):
        msgspec.convert(value, Time)
    return True


_Validator = validators.extend(  # type: ignore[no-untyped-call]  # the stubs leave its arguments open
    Draft202012Validator, {"properties": _properties_in_document_order}
)
_validator: Draft202012Validator = _Validator(schema(), format_checker=_formats)

_KINDS: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a fraction",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
_SCHEMA_KINDS = {"string": "text", "integer": "a whole number", "array": "a list", "object": "an object"}


def _quote(value: Any) -> str:
    if isinstance(value, list | dict):
        return _KINDS[type(value)]
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_QUOTE else text[:_LONGEST_QUOTE] + "…"


def _explain_missing(found: Any, wanted: list[str]) -> str:
    return f"{_quote(next(name for name in wanted if name not in found))} is missing"


def _explain_kind(found: Any, wanted: str | list[str]) -> str:
    kind = wanted if isinstance(wanted, str) else wanted[0]
    return f"must be {_SCHEMA_KINDS[kind]}, not {_KINDS[type(found)]}"


def _explain_choice(found: Any, wanted: list[Any]) -> str:
    choices = " or ".join(_quote(choice) for choice in wanted if choice is not None)
    return f"must be {choices}, not {_quote(found)}"


# By the schema's keyword: what was found, what the schema wants. jsonschema's own texts would quote whole bodies.
_EXPLANATIONS: Mapping[object, Callable[[Any, Any], str]] = {
    "required": _explain_missing,
    "type": _explain_kind,
    "enum": _explain_choice,
    "const": lambda found, wanted: _explain_choice(found, [wanted]),
    "format": lambda found, _: f"must be a time with its offset (2026-11-24T03:00:00Z), not {_quote(found)}",
    "minItems": lambda *_: "must hold at least one alert",
    "minimum": lambda _, wanted: f"must be at least {wanted}",
    "maximum": lambda _, wanted: f"must be at most {wanted}",
}


def _pointer(fault: ValidationError) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in fault.absolute_path)
