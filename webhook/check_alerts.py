"""The rules of all files together: what every alert has to say, and that none is there twice."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from routing import model
from webhook import check_rules, findings, ruledata

_LABELS = ("severity", "priority", "team", "service")
_ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url", "ruleset_version")
_URLS = ("runbook_url", "dashboard_url")
_LONGEST_ECHO_SECONDS = 600

_VALUE = re.compile(r"\{\{[^}]*(\$value|\.Value)\b")


def of_rules(rules: Sequence[ruledata.Rule], version: str | None) -> Iterator[findings.Finding]:
    """What is wrong with the rules of all files together.

    Args:
        rules: in the order of their files.
        version: of the rule set, which each alert has to repeat; None where nothing says it.
    """
    same: defaultdict[tuple[str, frozenset[tuple[str, str]]], list[ruledata.Rule]] = defaultdict(list)
    for rule in rules:
        same[rule.name, frozenset(rule.labels.items())].append(rule)
        if rule.is_alert:
            yield from _of_alert(rule, version)
    for (name, _), found in same.items():
        for rule in found[1:]:
            first = f"{found[0].file}:{found[0].line()}"
            yield findings.error(
                rule.file,
                rule.line(),
                f"{name} is there already, with the same labels, at {first}; rename one of them",
            )


def _of_alert(rule: ruledata.Rule, version: str | None) -> Iterator[findings.Finding]:
    for key, needed, given in (
        ("labels", _LABELS, rule.labels),
        ("annotations", _ANNOTATIONS, rule.annotations),
    ):
        missing = [name for name in needed if not given.get(name, "").strip()]
        if missing and not check_rules.misspelt(key, rule.fields):
            kind = key.removesuffix("s") if len(missing) == 1 else key
            yield findings.error(
                rule.file, rule.line(key), f"{rule.name} needs the {kind} {', '.join(missing)}"
            )
    for path, text in (*_of_tier(rule.labels), *_of_templates(rule), *_of_words(rule, version)):
        yield findings.error(rule.file, rule.line(*path), f"{rule.name}: {text}")


def _of_tier(labels: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    tiers = {tier.name: word for tier, word in model.SEVERITIES.items()}
    known = {"priority": tuple(tiers), "severity": tuple(tiers.values())}
    wrong = [name for name in known if labels.get(name, known[name][0]) not in known[name]]
    for name in wrong:
        yield (
            ("labels", name),
            f'no route takes the {name} "{labels[name]}"; write one of {", ".join(known[name])}',
        )
    if not wrong and known.keys() <= labels.keys() and tiers[labels["priority"]] != labels["severity"]:
        right = tiers[labels["priority"]]
        yield (
            ("labels", "severity"),
            f'severity "{labels["severity"]}" is not that of {labels["priority"]}; write {right}, or mend priority',
        )


def _of_templates(rule: ruledata.Rule) -> Iterator[tuple[tuple[str, ...], str]]:
    for key, words in (("labels", rule.labels), ("annotations", rule.annotations)):
        for name, value in words.items():
            if value.count("{{") != value.count("}}"):
                yield (key, name), f"a template in {name} does not close, so Prometheus refuses the file"


def _of_words(rule: ruledata.Rule, version: str | None) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, value in rule.labels.items():
        if _VALUE.search(value):
            yield (
                ("labels", name),
                f"the label {name} holds the value, so each change of it is a new alert; put it into description",
            )
    for name in _URLS:
        url = rule.annotations.get(name, "")
        if url.strip() and not url.startswith(("https://", "http://")):
            yield ("annotations", name), f"{name} is no web address; write one with https://"
    own = rule.annotations.get("ruleset_version", "")
    if version is not None and own.strip() and own != version:
        yield (
            ("annotations", "ruleset_version"),
            f"ruleset_version is {own}, and the rule set is {version} (VERSION)",
        )
    echo = ruledata.seconds(str(rule.fields.get("keep_firing_for", "0s")))
    if echo and rule.labels.get("priority") == model.Priority.P1.name:
        yield ("keep_firing_for",), "a P1 resolves at once; take keep_firing_for out"
    elif echo > _LONGEST_ECHO_SECONDS:
        yield (
            ("keep_firing_for",),
            f"what is over goes on firing for {_LONGEST_ECHO_SECONDS // 60}m at the most",
        )
