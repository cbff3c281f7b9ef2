"""routing.yml against the alerts of the rules: whom nobody hears of, and which routes wait for nothing."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from routing import matchers, model, tree
from webhook import check_runbooks, config, findings, paging, ruledata

_TIERS = tuple({"priority": tier.name, "severity": word} for tier, word in model.SEVERITIES.items())


def of_settings(settings: config.Settings, alerts: Sequence[ruledata.Rule]) -> Iterator[findings.Finding]:
    """Everything in the routes by which an alert is told to nobody, or a P1 pages nobody."""
    file = Path(settings.file)
    told = [
        alert for alert in alerts if alert.is_alert and alert.name not in check_runbooks.NEVER_AN_INCIDENT
    ]
    known = [ruledata.known_labels(alert) for alert in told]
    for line, text in sorted(paging.gaps(settings, known).items()):
        yield findings.error(file, line, text)
    yield from _of_p2(settings, known)
    pagers = paging.pagers(settings, paging.ANY_P1)
    if pagers and all(pager.dry for pager in pagers):
        line = tree.destinations_for(settings.root, paging.ANY_P1)[-1].lines[-1]
        names = " and ".join(pager.name for pager in pagers)
        text = f"no P1 pages anyone while {names} is dry; serve does not start then, except with --dry-run"
        yield findings.note(file, line, text)
    for route in tree.walk(settings.root):
        yield from _of_route(file, route)
    for alert, labels in zip(told, known, strict=True):
        if not tree.names(tree.destinations_for(settings.root, labels)):
            shown = next((f'{name} "{labels[name]}"' for name in _TIERS[0] if name in labels), "labels")
            yield findings.error(
                alert.file,
                alert.line(),
                f"no route of {settings.file} takes the {shown} of {alert.name}; give one a destination",
            )


def _of_p2(settings: config.Settings, known: Sequence[model.Labels]) -> Iterator[findings.Finding]:
    """Routes by which a P2 is only logged: nobody would investigate it within the hour."""
    seen: set[int] = set()
    for labels in ({"priority": model.Priority.P2.name}, *known):
        matches = tree.destinations_for(settings.root, labels)
        told = [settings.destinations[name] for name in tree.names(matches)]
        line = matches[-1].lines[-1]
        only_logged = told and all(isinstance(entry, config.Log) for entry in told)
        if model.priority_of(labels) is model.Priority.P2 and only_logged and line not in seen:
            seen.add(line)
            who = labels.get("alertname", "a P2")
            text = f"{who} goes to the log alone, which nobody reads within the hour; add a destination of kind slack"
            yield findings.error(Path(settings.file), line, text)


def _of_route(file: Path, route: tree.Route) -> Iterator[findings.Finding]:
    for matcher in route.matchers:
        if matcher.name in _TIERS[0] and not any(matcher.matches(tier) for tier in _TIERS):
            allowed = ", ".join(tier[matcher.name] for tier in _TIERS)
            yield findings.error(
                file,
                route.line,
                f"no alert has {matchers.text([matcher])}, so this route takes none; write one of {allowed}",
            )
    greedy = next((child for child in route.routes if not child.matchers and not child.continue_), None)
    if greedy is not None and greedy is not route.routes[-1]:
        yield findings.error(
            file,
            greedy.line,
            "this route has no matchers, so no alert reaches those after it; put it last, or give it some",
        )
