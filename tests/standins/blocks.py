"""Slack's limits on a message, as its Block Kit reference has them, and what is not in the reference but measured.

Each function returns every fault that it finds, as text that names the place. The limits count characters.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

BLOCKS = 50
SECTION_TEXT = 3_000
HEADER_TEXT = 150
FIELDS = 10
FIELD_TEXT = 2_000
ACTIONS = 25
CONTEXT_ELEMENTS = 10
BUTTON_TEXT = 75
BUTTON_VALUE = 2_000
URL = 3_000
IDENTIFIER = 255
ALT_TEXT = 2_000
ATTACHMENTS = 100
MESSAGE_TEXT = 40_000
# Documented nowhere; reported in github.com/slackapi/bolt-js issue 2509.
ALL_BLOCKS_TEXT = 13_200

Block = Mapping[str, Any]


def faults(blocks: object, *, at: str = "blocks") -> list[str]:
    """What Slack would answer `invalid_blocks` for."""
    if not isinstance(blocks, list):
        return [f"{at}: must be a list"]
    found = [f"{at}: more than {BLOCKS}"] if len(blocks) > BLOCKS else []
    for index, block in enumerate(blocks):
        found.extend(_block(block, at=f"{at}/{index}"))
    identifiers = [block["block_id"] for block in blocks if isinstance(block, dict) and "block_id" in block]
    if len(set(map(str, identifiers))) < len(identifiers):
        found.append(f"{at}: a block_id stands twice")
    return found


def characters(blocks: Sequence[Block]) -> int:
    """The characters of all text in the blocks."""
    return sum(len(text) for block in blocks for text, _ in texts(block))


def texts(node: object) -> Iterator[tuple[str, bool]]:
    """Every text object below a block, in order: its text, and whether it is mrkdwn."""
    if isinstance(node, Mapping):
        if node.get("type") in ("mrkdwn", "plain_text") and isinstance(node.get("text"), str):
            yield node["text"], node["type"] == "mrkdwn"
            return
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)


def _block(block: object, *, at: str) -> list[str]:
    if not isinstance(block, dict):
        return [f"{at}: must be an object"]
    check = _CHECKS.get(str(block.get("type")))
    if check is None:
        # Slack knows more types. A sender that starts to use one teaches it here first, with its limits.
        return [f"{at}: unknown type {block.get('type')!r}"]
    return [*_short(block, "block_id", IDENTIFIER, at=at), *check(block, at)]


def _section(block: Block, at: str) -> list[str]:
    fields = block.get("fields")
    found = []
    if block.get("text") is None and not fields:
        found.append(f"{at}: needs text or fields")
    if block.get("text") is not None:
        found.extend(_text(block["text"], SECTION_TEXT, at=f"{at}/text"))
    if fields is not None:
        found.extend(_several(fields, FIELDS, _field, at=f"{at}/fields"))
    if "accessory" in block:
        found.extend(_element(block["accessory"], f"{at}/accessory"))
    return found


def _header(block: Block, at: str) -> list[str]:
    return _text(block.get("text"), HEADER_TEXT, at=f"{at}/text", kinds=("plain_text",))


def _context(block: Block, at: str) -> list[str]:
    return _several(block.get("elements"), CONTEXT_ELEMENTS, _context_element, at=f"{at}/elements")


def _actions(block: Block, at: str) -> list[str]:
    found = _several(block.get("elements"), ACTIONS, _element, at=f"{at}/elements")
    elements = block.get("elements")
    names = (
        [one.get("action_id") for one in elements if isinstance(one, dict)]
        if isinstance(elements, list)
        else []
    )
    given = [name for name in names if name is not None]
    if len(set(map(str, given))) < len(given):
        found.append(f"{at}/elements: an action_id stands twice")
    return found


def _divider(_: Block, __: str) -> list[str]:
    return []


def _image(block: Block, at: str) -> list[str]:
    found = [*_short(block, "image_url", URL, at=at), *_short(block, "alt_text", ALT_TEXT, at=at)]
    found.extend(f"{at}/{name}: missing" for name in ("image_url", "alt_text") if not block.get(name))
    return found


_CHECKS: Mapping[str, Callable[[Block, str], list[str]]] = {
    "section": _section,
    "header": _header,
    "context": _context,
    "actions": _actions,
    "divider": _divider,
    "image": _image,
}


def _field(field: object, at: str) -> list[str]:
    return _text(field, FIELD_TEXT, at=at)


def _context_element(element: object, at: str) -> list[str]:
    if isinstance(element, dict) and element.get("type") == "image":
        return _image(element, at)
    return _text(element, SECTION_TEXT, at=at)


def _element(element: object, at: str) -> list[str]:
    if not isinstance(element, dict):
        return [f"{at}: must be an object"]
    if element.get("type") == "image":
        return _image(element, at)
    if element.get("type") != "button":
        return [f"{at}: unknown type {element.get('type')!r}"]
    found = _text(element.get("text"), BUTTON_TEXT, at=f"{at}/text", kinds=("plain_text",))
    for name, limit in (("url", URL), ("value", BUTTON_VALUE), ("action_id", IDENTIFIER)):
        found.extend(_short(element, name, limit, at=at))
    if "url" in element and not str(element["url"]).startswith(("http://", "https://")):
        found.append(f"{at}/url: must be http or https")
    if element.get("style", "primary") not in ("primary", "danger"):
        found.append(f"{at}/style: must be primary or danger")
    return found


def _several(items: object, limit: int, check: Callable[[object, str], list[str]], *, at: str) -> list[str]:
    if not isinstance(items, list) or not items:
        return [f"{at}: must be a list that is not empty"]
    found = [f"{at}: more than {limit}"] if len(items) > limit else []
    for index, item in enumerate(items):
        found.extend(check(item, f"{at}/{index}"))
    return found


def _text(
    text: object, limit: int, *, at: str, kinds: tuple[str, ...] = ("mrkdwn", "plain_text")
) -> list[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        return [f"{at}: must be a text object of type {' or '.join(kinds)}"]
    content = text.get("text")
    if not isinstance(content, str) or not content:
        return [f"{at}: must not be empty"]
    return [f"{at}: longer than {limit} characters"] if len(content) > limit else []


def _short(node: Block, name: str, limit: int, *, at: str) -> list[str]:
    value = node.get(name, "")
    if not isinstance(value, str):
        return [f"{at}/{name}: must be a string"]
    return [f"{at}/{name}: longer than {limit} characters"] if len(value) > limit else []
