"""Alertmanager's inhibitions: what would be dark while something else fires.

Only what an outage certainly causes may be dark, and only where the outage is: PRODUCT, what the manual asks for.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from routing import matchers, model
from webhook import check_alertmanager_tree, ruledata, strictyaml

_Found = tuple[strictyaml.Path, str]

CAUSES = frozenset({"ServiceDown", "DatabaseUnreachable"})
"""All that may inhibit: they end with the outage, a certificate or an attack lasts for days."""

CAUSED = frozenset(
    {
        "HighErrorRate",
        "HighLatency",
        "SlowDatabaseQueries",
        "ConnectionPoolNearlyFull",
        "ReplicaLag",
        "PodRestarted",
        "PodRestartingOften",
    }
)
"""All that they may inhibit; DatabaseUnreachable also yields to ServiceDown."""

_EQUAL = "equal: [cluster, namespace, service]"


def of_document(document: strictyaml.Document, rules: Sequence[ruledata.Rule]) -> Iterator[_Found]:
    """Inhibitions that darken too much."""
    alerts = [rule for rule in rules if rule.is_alert]
    entries = document.data.get("inhibit_rules") if isinstance(document.data, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            for text in _of_rule(entry, alerts):
                yield ("inhibit_rules", number), text


def _of_rule(entry: Mapping[str, Any], alerts: Sequence[ruledata.Rule]) -> Iterator[str]:
    source, target = (check_alertmanager_tree.conditions(entry, part) for part in ("source_", "target_"))
    if source is None or target is None:
        return
    causes = _names(source, alerts)
    dark = [alert for alert in alerts if _may_match(target, alert)]
    others = sorted(causes - CAUSES)
    if others and dark:
        yield (
            f"{others[0]} may last for days, and {dark[0].name} would be dark all that time; "
            f"let only {' and '.join(sorted(CAUSES))} inhibit"
        )
    wrong = [
        alert
        for alert in dark
        if alert.name not in CAUSED
        and not (alert.name == "DatabaseUnreachable" and causes <= {"ServiceDown"})
    ]
    worst = min(wrong, key=lambda alert: model.priority_of(alert.labels), default=None)
    if worst is not None:
        tier = model.priority_of(worst.labels).name
        yield (
            f"the {tier} {worst.name} would be dark, which no outage certainly causes; "
            "name in target_matchers only what it does"
        )
    equal = entry.get("equal") or []
    if dark and "cluster" not in equal:
        yield f"equal is without cluster, so an outage in one cluster would darken another; write {_EQUAL}"
    elif dark and "service" not in equal and not _one_service(source, dark):
        yield f"equal is without service, so an outage of one service would darken another; write {_EQUAL}"


def _names(conditions: Sequence[matchers.Matcher], alerts: Sequence[ruledata.Rule]) -> set[str]:
    return {alert.name for alert in alerts if _may_match(conditions, alert)}


def _may_match(conditions: Sequence[matchers.Matcher], alert: ruledata.Rule) -> bool:
    """Whether the rule's alerts can match; what its series bring can be anything."""
    labels = ruledata.known_labels(alert)
    return all(each.matches(labels) for each in conditions if each.name in labels)


def _one_service(source: Sequence[matchers.Matcher], dark: Sequence[ruledata.Rule]) -> bool:
    named = {
        each.value for each in source if (each.name, each.operator) == ("service", matchers.Operator.EQUAL)
    }
    return {alert.labels.get("service") for alert in dark} == named
