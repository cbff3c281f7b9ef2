"""Alerts and pages against each other: who is woken needs a page, and every link leads somewhere."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from routing import runbooks
from webhook import config_faults, findings, ruledata

OWN_ALERTS = frozenset({"DestinationBroken", "DeliveryRefused"})
"""Alerts that this service raises by itself; they stand in no rule file."""

NEVER_AN_INCIDENT = frozenset({"Watchdog"})
"""So nobody ever looks for its page, and no route has to take it."""

_ALERT_PAGE = re.compile(r"[A-Z]\w*[a-z]\w*")
"""Pages named like an alert are about that alert; others (database-troubleshooting) are what they link to."""

_LINK = re.compile(r"\]\((?P<page>[\w.-]+\.md)(#[^)]*)?\)")


def of_folder(folder: Path, rules: Iterable[ruledata.Rule]) -> Iterator[findings.Finding]:
    """An alert without a page, a page without an alert, a link that leads nowhere."""
    alerts: dict[str, ruledata.Rule] = {}
    for rule in rules:
        if rule.is_alert:
            alerts.setdefault(rule.name, rule)
    pages = {page.stem: page for page in sorted(folder.glob("*.md"))}
    for name, alert in sorted(alerts.items()):
        labels = {"alertname": name}
        if name not in NEVER_AN_INCIDENT and runbooks.find(labels, alert.annotations, pages) is None:
            text = f"{name} has no runbook; write {folder / name}.md"
            yield findings.error(alert.file, alert.line(), text)
    for name in sorted(pages.keys() - alerts.keys() - OWN_ALERTS):
        if _ALERT_PAGE.fullmatch(name):
            hint = config_faults.did_you_mean(name, alerts)
            yield findings.error(pages[name], 1, f"no rule raises the alert {name}{hint}")
    for page in pages.values():
        yield from _of_links(page, pages)


def _of_links(page: Path, pages: Mapping[str, Path]) -> Iterator[findings.Finding]:
    try:
        text = page.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        yield findings.error(page, None, f"cannot be read: {reason}")
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for link in _LINK.finditer(line):
            if link["page"].removesuffix(".md") not in pages:
                hint = config_faults.did_you_mean(link["page"], [f"{name}.md" for name in pages])
                yield findings.error(page, number, f"the link to {link['page']} leads nowhere{hint}")
