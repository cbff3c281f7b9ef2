"""Configuration, rules and runbooks together: what is wrong, and what is worth knowing.

An error is something that will not work or will mislead whoever is woken by it. A note is a fact about this
installation, like a destination that is dry.
"""

import dataclasses
import enum
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webhook import config, config_faults, strictyaml

OWN_ALERTS = frozenset({"DestinationBroken", "DeliveryRefused"})
"""Alerts that this service raises by itself; they stand in no rule file."""

_WITHOUT_RUNBOOK = frozenset({"Watchdog"})
"""Never an incident, so nobody ever looks for its page."""

_ALERT_PAGE = re.compile(r"[A-Z]\w*[a-z]\w*")
"""Pages named like an alert are about that alert; others (database-troubleshooting) are what they link to."""

_LINK = re.compile(r"\]\((?P<page>[\w.-]+\.md)(#[^)]*)?\)")
_INTEGRATION_KEY_LENGTH = 32


class Severity(enum.StrEnum):
    """Whether a finding has to be mended."""

    ERROR = "error"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        line: from 1; None where it is about the file as a whole.
    """

    file: str
    line: int | None
    severity: Severity
    text: str

    def __str__(self) -> str:
        """As `FILE:LINE: text`; a note says that it is one."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {'note: ' if self.severity is Severity.NOTE else ''}{self.text}"


def findings(
    *,
    config_file: Path | None,
    rules_folder: Path,
    alertmanager_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Check everything; errors stand before notes, each in the order of what was read.

    Args:
        config_file: None for the packaged default.
        rules_folder: with `*.rules.yml` and `runbooks/`.
        alertmanager_file: Alertmanager's configuration, where it should be checked too.
        environ: None for the process's environment.
    """
    found = [*_of_config(config_file, environ), *_of_rules(rules_folder)]
    if alertmanager_file is not None:
        found += _of_alertmanager(alertmanager_file)
    return sorted(found, key=lambda finding: finding.severity is Severity.NOTE)


def as_json(found: Iterable[Finding]) -> str:
    """Findings for a script."""
    return json.dumps({"findings": [dataclasses.asdict(finding) for finding in found]}, indent=2)


def _error(file: Path, line: int | None, text: str) -> Finding:
    return Finding(file=str(file), line=line, severity=Severity.ERROR, text=text)


def _unreadable(file: Path, error: OSError | strictyaml.Unreadable) -> Iterator[Finding]:
    if isinstance(error, OSError):
        yield _error(file, None, f"cannot be read: {error.strerror}")
    else:
        yield from (_error(file, fault.place.line, fault.text) for fault in error.faults)


def _of_config(file: Path | None, environ: Mapping[str, str] | None) -> Iterator[Finding]:
    try:
        settings = config.load(file, environ)
    except config.ConfigFaults as error:
        for fault in error.faults:
            yield Finding(file=fault.file, line=fault.line, severity=Severity.ERROR, text=fault.text)
        return
    for destination in settings.destinations.values():
        for text in _notes_of(destination):
            yield Finding(file=settings.file, line=destination.line, severity=Severity.NOTE, text=text)
    if not settings.alertmanager_urls:
        text = "ALERTMANAGER_URL is not set: no resolve can be confirmed, so each of them passes at once"
        yield Finding(file="environment", line=None, severity=Severity.NOTE, text=text)


def _notes_of(destination: config.Destination) -> Iterator[str]:
    if destination.dry:
        yield f"{destination.name} is dry: {destination.secret_from} is not set, so its messages are printed to the log"
    match destination:
        case config.PagerDuty(routing_key=key) if key and len(key.reveal()) != _INTEGRATION_KEY_LENGTH:
            yield (
                f"{destination.name}: the key in {destination.secret_from} has {len(key.reveal())} characters; "
                f"PagerDuty's integration keys have {_INTEGRATION_KEY_LENGTH}"
            )


def _of_rules(folder: Path) -> Iterator[Finding]:
    alerts: dict[str, tuple[Path, int]] = {}
    files = sorted(folder.glob("*.rules.yml"))
    if not files:
        yield _error(folder, None, "no rules here: there is no file like *.rules.yml")
    for file in files:
        try:
            for name, line in _alerts(strictyaml.read(file.read_bytes())):
                alerts.setdefault(name, (file, line))
        except (OSError, strictyaml.Unreadable) as error:
            yield from _unreadable(file, error)
    pages = {page.stem: page for page in sorted((folder / "runbooks").glob("*.md"))}
    for name in sorted(alerts.keys() - pages.keys() - _WITHOUT_RUNBOOK):
        yield _error(*alerts[name], f"{name} has no runbook; write {folder / 'runbooks' / name}.md")
    for name in sorted(pages.keys() - alerts.keys() - OWN_ALERTS):
        if _ALERT_PAGE.fullmatch(name):
            hint = config_faults.did_you_mean(name, alerts)
            yield _error(pages[name], None, f"no rule raises the alert {name}{hint}")
    for page in pages.values():
        yield from _of_links(page, pages)


def _alerts(document: strictyaml.Document) -> Iterator[tuple[str, int]]:
    """The alerts of a rule file, with their lines: `groups[].rules[].alert`."""
    for path, place in document.values.items():
        match path:
            case ("groups", int(), "rules", int(), "alert"):
                yield str(config_faults.value_at(document.data, path)), place.line


def _of_links(page: Path, pages: Mapping[str, Path]) -> Iterator[Finding]:
    try:
        text = page.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield _error(page, None, f"cannot be read: {error}")
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for link in _LINK.finditer(line):
            if link["page"].removesuffix(".md") not in pages:
                hint = config_faults.did_you_mean(link["page"], [f"{name}.md" for name in pages])
                yield _error(page, number, f"the link to {link['page']} leads nowhere{hint}")


def _of_alertmanager(file: Path) -> Iterator[Finding]:
    try:
        document = strictyaml.read(file.read_bytes())
    except (OSError, strictyaml.Unreadable) as error:
        yield from _unreadable(file, error)
        return
    match document.data:
        case {"route": dict() as root}:
            if "group_by" not in root:
                yield _error(
                    file, document.place(("route",)).line, f"the root route has no group_by; {_CLUSTER}"
                )
            for path in _group_bys(root, ("route",)):
                names = config_faults.value_at(document.data, path)
                if not isinstance(names, list) or not {"cluster", "..."}.intersection(names):
                    yield _error(file, document.place(path).line, f"group_by is without cluster; {_CLUSTER}")
        case _:
            yield _error(file, 1, "there is no route in it")


_CLUSTER = "alerts of two clusters would be one incident, and the second would page nobody"


def _group_bys(route: Mapping[str, Any], path: strictyaml.Path) -> Iterable[strictyaml.Path]:
    if "group_by" in route:
        yield (*path, "group_by")
    children = route.get("routes")
    for index, child in enumerate(children if isinstance(children, list) else ()):
        if isinstance(child, dict):
            yield from _group_bys(child, (*path, "routes", index))
