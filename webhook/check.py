"""Configuration, rules, runbooks and Alertmanager together: what is wrong, and what is worth knowing.

An error is something that will not work or will mislead whoever is woken by it. A note is a fact about this
installation, like a destination that is dry.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from webhook import (
    check_alertmanager,
    check_alertmanager_tree,
    check_alerts,
    check_manual,
    check_prometheus,
    check_routes,
    check_rules,
    check_runbooks,
    config,
    findings,
    ruledata,
    strictyaml,
)

Finding = findings.Finding
Severity = findings.Severity

_INTEGRATION_KEY_LENGTH = 32
_SAFE_TOKEN_LENGTH = 20  # a hundred random bits, in hexadecimal digits or letters
_GROUP_WAIT = check_prometheus.Hop(seconds=5)
"""Of deploy/alertmanager.yml."""


def everything(
    *,
    config_file: Path | None,
    rules_folder: Path,
    alertmanager_file: Path | None = None,
    prometheus_file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Finding]:
    """Check everything; errors stand before notes, each in the order of what was read.

    Args:
        config_file: None for the packaged default.
        rules_folder: with `*.rules.yml` and `runbooks/`; where it has a `manual.yml`, the rules are held against it.
        alertmanager_file: Alertmanager's configuration, where it should be checked too.
        prometheus_file: Prometheus' configuration, for the time that a P1 takes; None for the shipped intervals.
        environ: None for the process's environment.
    """
    found: list[Finding] = []
    settings = _settings(found, config_file, environ)
    alerts = _alerts(found, rules_folder)
    found += check_runbooks.of_folder(rules_folder / "runbooks", alerts)
    if settings is not None:
        found += check_routes.of_settings(settings, alerts)
    waits: check_manual.Waits = lambda _: _GROUP_WAIT  # noqa: E731 - the one in use is a closure like it
    if alertmanager_file is not None:
        alertmanager = _document(found, alertmanager_file)
        if alertmanager is not None:
            found += check_alertmanager.of_document(alertmanager_file, alertmanager, alerts)
            waits = _waits(alertmanager_file, alertmanager)
    intervals = check_prometheus.SHIPPED
    if prometheus_file is not None:
        prometheus = _document(found, prometheus_file)
        if prometheus is not None:
            found += check_prometheus.of_document(prometheus_file, prometheus)
            intervals = check_prometheus.intervals(prometheus_file, prometheus)
    table = rules_folder / check_manual.FILE
    if table.is_file():
        manual = _document(found, table)
        if manual is not None:
            found += check_manual.of_table(table, manual, alerts, intervals=intervals, waits=waits)
    return sorted(found, key=lambda finding: finding.severity is Severity.NOTE)


def as_json(found: Iterable[Finding]) -> str:
    """Findings for a script."""
    return json.dumps({"findings": [dataclasses.asdict(finding) for finding in found]}, indent=2)


def _document(found: list[Finding], file: Path) -> strictyaml.Document | None:
    try:
        return strictyaml.read(file.read_bytes())
    except (OSError, strictyaml.Unreadable) as reason:
        found += findings.unreadable(file, reason)
        return None


def _alerts(found: list[Finding], folder: Path) -> list[ruledata.Rule]:
    files = sorted(folder.glob("*.rules.yml"))
    if not files:
        found.append(findings.error(folder, None, "no rules here: there is no file like *.rules.yml"))
    others = {*folder.glob("*.yml"), *folder.glob("*.yaml")} - {*files, folder / check_manual.FILE}
    text = "Prometheus loads *.rules.yml and not this; rename it, or put it elsewhere"
    found += [findings.error(file, None, text) for file in sorted(others)]
    rules: list[ruledata.Rule] = []
    for file in files:
        document = _document(found, file)
        if document is not None:
            found += check_rules.of_document(file, document)
            rules += ruledata.of_document(file, document)
    version = folder / "VERSION"
    found += check_alerts.of_rules(rules, version.read_text("utf-8").strip() if version.is_file() else None)
    return rules


def _waits(file: Path, document: strictyaml.Document) -> check_manual.Waits:
    root = check_alertmanager_tree.root(document)

    def wait(labels: Mapping[str, str]) -> check_prometheus.Hop:
        if root is None:
            return _GROUP_WAIT
        route = min(
            check_alertmanager_tree.staying(root, labels), key=lambda each: each.seconds("group_wait")
        )
        line = document.place(route.places["group_wait"]).line
        return _GROUP_WAIT.moved(route.seconds("group_wait"), f"{file}:{line}")

    return wait


def _settings(
    found: list[Finding], file: Path | None, environ: Mapping[str, str] | None
) -> config.Settings | None:
    try:
        settings = config.load(file, environ)
    except config.ConfigFaults as refusal:
        found += [
            Finding(file=fault.file, line=fault.line, severity=Severity.ERROR, text=fault.text)
            for fault in refusal.faults
        ]
        return None
    for destination in settings.destinations.values():
        found += [
            Finding(file=settings.file, line=destination.line, severity=Severity.NOTE, text=text)
            for text in _notes_of(destination)
        ]
    found += [
        Finding(file=settings.file, line=settings.destinations[name].line, severity=Severity.NOTE, text=text)
        for name, text in _notes_of_failover(settings)
    ]
    if (token := settings.webhook_token) is not None and len(token.reveal()) < _SAFE_TOKEN_LENGTH:
        text = (
            f"WEBHOOK_TOKEN has {len(token.reveal())} characters, and a token that can be guessed will be: "
            "make one with `openssl rand -hex 32`"
        )
        found.append(Finding(file="environment", line=None, severity=Severity.NOTE, text=text))
    if not settings.alertmanager_urls:
        text = "ALERTMANAGER_URL is not set: no resolve can be confirmed, so each of them passes at once"
        found.append(Finding(file="environment", line=None, severity=Severity.NOTE, text=text))
    return settings


def _notes_of_failover(settings: config.Settings) -> Iterator[tuple[str, str]]:
    """What keeps a failover from calling anybody, by the destination that is stood in for."""
    for name, backup in settings.backups.items():
        if settings.destinations[name].dry:
            continue
        if settings.destinations[backup.to].dry:
            yield (
                name,
                f"a P1 that {name} does not take goes over to {backup.to}, which is dry: nobody is told",
            )
        if isinstance(settings.destinations[backup.to], config.Slack):
            silent = [contact.who for contact in settings.escalation if not contact.reach]
            if silent:
                yield (
                    name,
                    f"escalation: no `reach` for {', '.join(silent)}, so nobody knows how to call them",
                )


def _notes_of(destination: config.Destination) -> Iterator[str]:
    if destination.dry:
        yield f"{destination.name} is dry: {destination.secret_from} is not set, so its messages are printed to the log"
    match destination:
        case config.PagerDuty(routing_key=key) if key and len(key.reveal()) != _INTEGRATION_KEY_LENGTH:
            yield (
                f"{destination.name}: the key in {destination.secret_from} has {len(key.reveal())} characters; "
                f"PagerDuty's integration keys have {_INTEGRATION_KEY_LENGTH}"
            )
