"""Alerts and pages against each other: who is woken needs a page, and every link leads somewhere."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import markdown_it

from routing import runbooks
from webhook import findings, markdown, ruledata

OWN_ALERTS = frozenset({"DestinationBroken", "DeliveryRefused", "WatchdogMissing"})
"""Alerts that this service raises by itself; they stand in no rule file."""

NEVER_AN_INCIDENT = frozenset({"Watchdog"})
"""So nobody ever looks for its page, and no route has to take it."""

_ALERT_PAGE = re.compile(r"[A-Z]\w*[a-z]\w*")
"""Pages named like an alert are about that alert; others (database-troubleshooting) are what they link to."""

_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|/", re.IGNORECASE)
_ANCHOR = re.compile(r'<h\d id="([^"]*)"')
_markdown = markdown_it.MarkdownIt().enable("table")


def of_folder(folder: Path, rules: Iterable[ruledata.Rule]) -> Iterator[findings.Finding]:
    """An alert without a page, a page without an alert or a title, a link that leads nowhere."""
    alerts: dict[str, ruledata.Rule] = {}
    pages = {page.stem: page for page in sorted(folder.glob("*.md"))}
    for rule in rules:
        if rule.is_alert and rule.name not in NEVER_AN_INCIDENT:
            first = alerts.setdefault(rule.name, rule)
            yield from _of_alert(folder, rule, pages, is_first=first is rule)
    for name in sorted(pages.keys() - alerts.keys() - OWN_ALERTS):
        if _ALERT_PAGE.fullmatch(name):
            hint = findings.likely(name, alerts)
            yield findings.error(pages[name], 1, f"no rule raises the alert {name}{hint}")
    yield from _of_pages(pages)


def _of_pages(pages: Mapping[str, Path]) -> Iterator[findings.Finding]:
    texts: dict[str, str] = {}
    for name, page in pages.items():
        try:
            texts[name] = page.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as reason:
            yield findings.error(page, None, f"cannot be read: {reason}")
    anchors = {name: _anchors(text) for name, text in texts.items()}
    for name, text in texts.items():
        if not anchors[name]:
            yield findings.error(pages[name], 1, f"this page has no heading; begin it with # {name}")
        for line, target in _links(text):
            wrong = _wrong(target, pages[name], anchors)
            if wrong is not None:
                yield findings.error(pages[name], line, wrong)


def _anchors(text: str) -> frozenset[str]:
    """Where links into a page can lead, as the service serves it."""
    return frozenset(_ANCHOR.findall(markdown.render(text, labels={}, names=()).html))


def _of_alert(
    folder: Path, rule: ruledata.Rule, pages: Mapping[str, Path], *, is_first: bool
) -> Iterator[findings.Finding]:
    found = runbooks.find({"alertname": rule.name}, rule.annotations, pages)
    url = rule.annotations.get("runbook_url", "")
    if found is None:
        if is_first:
            yield findings.error(
                rule.file, rule.line(), f"{rule.name} has no runbook; write {folder / rule.name}.md"
            )
    elif url and runbooks.find({}, rule.annotations, pages) is None:
        yield findings.error(
            rule.file,
            rule.line("annotations", "runbook_url"),
            f"{rule.name}: runbook_url leads to no page; let it end in {found}",
        )


def _links(text: str) -> Iterator[tuple[int, str]]:
    """Where a page links to, with the line."""
    lines = text.splitlines()
    for token in _markdown.parse(text):
        start, end = token.map or (0, 0)
        for child in token.children or ():
            target = str(child.attrs.get("href", ""))
            if child.type == "link_open" and not _ELSEWHERE.match(target):
                inside = (number for number in range(start, end) if target in lines[number])
                yield next(inside, start) + 1, target


def _wrong(target: str, page: Path, anchors: Mapping[str, frozenset[str]]) -> str | None:
    path, _, anchor = target.partition("#")
    file = page.parent / unquote(path) if path else page
    if not file.exists():
        hint = findings.likely(path, [f"{name}.md" for name in anchors])
        return f"the link to {path} leads nowhere{hint}"
    known = anchors.get(file.stem) if file.parent == page.parent else None
    if anchor and known is not None and anchor not in known:
        return f"the link to {target} leads to no heading{findings.likely(anchor, known)}"
    return None
