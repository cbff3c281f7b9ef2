"""Runbooks as HTML: no markup of the author's own, nothing from elsewhere, links that stay here."""

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import markupsafe
from markdown_it import MarkdownIt
from markdown_it.token import Token

from routing import model, runbooks

_OTHER_PAGE = re.compile(r"(?:\./)?([A-Za-z0-9_.-]+)\.md(#.*)?")
_NO_WORD = re.compile(r"[^\w\- ]")

# Raw HTML is shown as text; images would be fetched from elsewhere, so they are links.
_WORD = re.compile(r"\S+")
_markdown = MarkdownIt("js-default", {"html": False, "linkify": False, "typographer": False}).disable("image")


def command(text: str) -> markupsafe.Markup:
    """Shell lines for a `pre`.

    Each word is an element of its own, so that a narrow page never breaks one in two: `-n` must not end a
    line as `-`. What is copied is the text as it was.
    """
    words = _WORD.sub(lambda word: f"<span>{markupsafe.escape(word[0])}</span>", text)
    return markupsafe.Markup(f"<code>{words}</code>")  # noqa: S704 - each word was escaped, the rest is white space


def _fence(tokens: Sequence[Token], index: int, *_: object) -> str:
    return f'<pre tabindex="0">{command(tokens[index].content.rstrip())}</pre>\n'


_markdown.renderer.rules |= {"fence": _fence, "code_block": _fence}  # type: ignore[attr-defined]  # a plain dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A rendered runbook. `html` is safe to put into a page."""

    title: str
    html: str


def render(markdown: str, *, labels: model.Labels, names: Collection[str]) -> Page:
    """Render a runbook.

    Args:
        markdown: its text.
        labels: fill the placeholders in its commands; without any they stay as they are.
        names: the runbooks that are here: links to their files become links to their pages.
    """
    tokens = _markdown.parse(markdown)
    title = ""
    met: set[str] = set()
    for token, following in itertools.zip_longest(tokens, tokens[1:]):
        if token.type == "heading_open" and following is not None:
            text = _text(following.children or [])
            title = title or text
            token.attrSet("id", _anchor(text, met))
        # Alignment comes as a style attribute, which the page's policy forbids.
        token.attrs.pop("style", None)
        for each in (token, *(token.children or ())):
            _adapt(each, labels, names)
    return Page(title=title, html=_markdown.renderer.render(tokens, _markdown.options, {}))


def _text(children: Sequence[Token]) -> str:
    return "".join(child.content for child in children if child.type in ("text", "code_inline"))


def _anchor(heading: str, met: set[str]) -> str:
    """The heading's id, as GitHub makes it, so that links work there and here."""
    base = _NO_WORD.sub("", heading.lower()).replace(" ", "-")
    anchor, number = base, 0
    while anchor in met:
        number += 1
        anchor = f"{base}-{number}"
    met.add(anchor)
    return anchor


def _adapt(token: Token, labels: model.Labels, names: Collection[str]) -> None:
    if token.type == "link_open":
        token.attrSet("href", _target(str(token.attrGet("href") or ""), labels, names))
        token.attrSet("rel", "noreferrer")
    if labels and token.type in ("fence", "code_block", "code_inline"):
        token.content = runbooks.fill(token.content, labels)


def _target(href: str, labels: model.Labels, names: Collection[str]) -> str:
    other = _OTHER_PAGE.fullmatch(href)
    if not other or other[1] not in names:
        return href
    # The next page's commands want the same names filled in.
    query = f"?{urlencode(labels, errors='replace')}" if labels else ""
    return f"/runbooks/{other[1]}{query}{other[2] or ''}"
