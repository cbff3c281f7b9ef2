"""Configuration, rules, runbooks and Alertmanager together: what is wrong, and what is worth knowing.

An error is something that will not work or will mislead whoever is woken by it. A note is a fact about this
installation, like a destination that is dry.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from routing import tree
from webhook import (
    check_alertmanager,
    check_manual,
    check_prometheus,
    check_runbooks,
    config,
    findings,
    ruledata,
    strictyaml,
)

Finding = findings.Finding
Severity = findings.Severity

_INTEGRATION_KEY_LENGTH = 32


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
        found += _of_routes(settings, alerts)
    alertmanager = None
    if alertmanager_file is not None:
        alertmanager = _document(found, alertmanager_file)
        if alertmanager is not None:
            found += check_alertmanager.of_document(alertmanager_file, alertmanager, alerts)
    intervals = check_prometheus.SHIPPED
    if prometheus_file is not None:
        prometheus = _document(found, prometheus_file)
        intervals = intervals if prometheus is None else check_prometheus.intervals(prometheus)
    table = rules_folder / check_manual.FILE
    if table.is_file():
        manual = _document(found, table)
        if manual is not None:
            waits = check_alertmanager.GroupWaits(alertmanager)
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
    rules: list[ruledata.Rule] = []
    for file in files:
        document = _document(found, file)
        if document is not None:
            rules += ruledata.of_document(file, document)
    return rules


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
    if not settings.alertmanager_urls:
        text = "ALERTMANAGER_URL is not set: no resolve can be confirmed, so each of them passes at once"
        found.append(Finding(file="environment", line=None, severity=Severity.NOTE, text=text))
    return settings


def _notes_of(destination: config.Destination) -> Iterator[str]:
    if destination.dry:
        yield f"{destination.name} is dry: {destination.secret_from} is not set, so its messages are printed to the log"
    match destination:
        case config.PagerDuty(routing_key=key) if key and len(key.reveal()) != _INTEGRATION_KEY_LENGTH:
            yield (
                f"{destination.name}: the key in {destination.secret_from} has {len(key.reveal())} characters; "
                f"PagerDuty's integration keys have {_INTEGRATION_KEY_LENGTH}"
            )


_TIERS = {"priority": ("P1", "P2", "P3"), "severity": ("critical", "warning", "info")}


def _of_routes(settings: config.Settings, alerts: Iterable[ruledata.Rule]) -> Iterator[Finding]:
    """Alerts whose tier nobody takes, or that say none that is known."""
    for alert in alerts:
        if not alert.is_alert:
            continue
        for name, known in _TIERS.items():
            value = alert.labels.get(name)
            if value is not None and value.lower() not in map(str.lower, known):
                yield findings.error(
                    alert.file,
                    alert.line("labels", name),
                    f'no route takes the {name} "{value}" of {alert.name}; write one of {", ".join(known)}',
                )
        labels = {"alertname": alert.name, **alert.labels}
        if alert.name in check_runbooks.NEVER_AN_INCIDENT:
            continue
        if not tree.names(tree.destinations_for(settings.root, labels)):
            shown = next((f'{name} "{labels[name]}"' for name in _TIERS if name in labels), "labels")
            yield findings.error(
                alert.file,
                alert.line(),
                f"no route of {settings.file} takes the {shown} of {alert.name}; give one a destination",
            )
