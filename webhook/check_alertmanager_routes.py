"""Alertmanager's routes against the rules: what would be one incident, who is told, and how soon."""

from collections.abc import Iterator, Mapping, Sequence

from routing import matchers, model
from webhook import check_alertmanager_tree, config_faults, ruledata, strictyaml

_Found = tuple[strictyaml.Path, str]
_Receivers = Mapping[str, frozenset[str]]
_Route = check_alertmanager_tree.Route

_CLUSTER = "alerts of two clusters would be one incident, and the second would page nobody"
_IDENTITY = ("alertname", "namespace", "service")
_GROUP_BY = "group_by: [alertname, cluster, namespace, service]"
_WATCHDOG = {"alertname": "Watchdog"}
_ITS_ROUTE = 'matchers: [alertname="Watchdog"], group_wait: 0s, group_interval: 30s and repeat_interval: 20s'
_WATCHDOG_SECONDS = 60
"""How often a Watchdog has to be told at least; it counts as missing after three times that."""

_GROUP_INTERVAL_SECONDS = 60
"""A P1 that comes back before its group was told of its end waits this long, within two minutes in all."""


def of_tree(root: _Route, receivers: _Receivers, rules: Sequence[ruledata.Rule]) -> Iterator[_Found]:
    """Everything in the tree that tells nobody, too late, or of two things as if they were one."""
    alerts = [rule for rule in rules if rule.is_alert]
    yield from _of_root(root)
    yield from _of_group_bys(root)
    yield from _of_watchdog(root, receivers)
    yield from _of_native(root, receivers, alerts)
    yield from _of_names(root, receivers)
    yield from _of_tiers(root)
    yield from _of_alerts(root, receivers, alerts)


def _of_root(root: _Route) -> Iterator[_Found]:
    if not root.receiver:
        yield (
            root.path,
            "the root route has no receiver, so Alertmanager does not start; write receiver: phantommesh-alerts",
        )
    if root.settings["group_by"] is None:
        yield root.path, f"the root route has no group_by; {_CLUSTER}; write {_GROUP_BY}"
    if root.conditions != ():
        yield (
            root.path,
            "the root route has matchers, so Alertmanager does not start; put them into a route below",
        )


def _of_group_bys(root: _Route) -> Iterator[_Found]:
    for route in check_alertmanager_tree.walk(root):
        if not route.owns("group_by"):
            continue
        path, written = route.places["group_by"], route.settings["group_by"]
        names = {str(name) for name in written} if isinstance(written, list) else set[str]()
        if not {"cluster", "..."} & names:
            yield path, f"group_by is without cluster; {_CLUSTER}; write {_GROUP_BY}"
        elif "..." in names:
            if len(names) > 1:
                yield (
                    path,
                    "in group_by, '...' stands alone or Alertmanager does not start; write only one of the two",
                )
        elif not names.issuperset(_IDENTITY):
            missing = " and ".join(name for name in _IDENTITY if name not in names)
            yield (
                path,
                (
                    f"group_by is without {missing}; a second outage would join the open incident of the first, "
                    f"and page nobody; write {_GROUP_BY}"
                ),
            )


def _of_watchdog(root: _Route, receivers: _Receivers) -> Iterator[_Found]:
    own = [
        route
        for route in check_alertmanager_tree.staying(root, _WATCHDOG)
        if not route.takes({"alertname": "another"})
    ]
    if not own:
        yield (
            root.path,
            (
                "there is no route for the Watchdog, so its silence would be noticed too late; "
                f"write a route with {_ITS_ROUTE}"
            ),
        )
    for route in own:
        often = max(route.seconds("group_interval"), route.seconds("repeat_interval"))
        if often > _WATCHDOG_SECONDS:
            yield (
                route.path,
                (
                    f"the Watchdog is told every {often:g} s, and counts as missing before that; "
                    f"write a route with {_ITS_ROUTE}"
                ),
            )
        if "webhook_configs" not in receivers.get(route.receiver, {"webhook_configs"}):
            yield (
                route.path,
                (
                    f'the Watchdog goes to "{route.receiver}", so the service never hears it; '
                    "name the receiver with its webhook"
                ),
            )


def _of_native(root: _Route, receivers: _Receivers, alerts: Sequence[ruledata.Rule]) -> Iterator[_Found]:
    native = next((rule for rule in alerts if rule.labels.get("route") == "native"), None)
    if native is None:
        return
    routes = check_alertmanager_tree.staying(root, ruledata.known_labels(native))
    if routes == [root]:
        yield (
            root.path,
            (
                f'no route takes route="native" of {native.name}, so only the service itself would hear of its own '
                'fault; write a route with matchers: [route="native"] to a receiver with pagerduty_configs'
            ),
        )
        return
    told = frozenset[str]().union(*(receivers.get(route.receiver, frozenset()) for route in routes))
    if told and told <= {"webhook_configs"}:
        yield (
            routes[0].path,
            (
                f'route="native" of {native.name} goes to "{routes[0].receiver}", which tells only the service of its '
                "own fault; name a receiver with pagerduty_configs"
            ),
        )


def _of_names(root: _Route, receivers: _Receivers) -> Iterator[_Found]:
    for route in check_alertmanager_tree.walk(root):
        if receivers and route.owns("receiver") and route.receiver not in receivers:
            hint = config_faults.did_you_mean(route.receiver, receivers)
            yield (
                route.places["receiver"],
                f'there is no receiver "{route.receiver}", so Alertmanager does not start{hint}',
            )


def _of_tiers(root: _Route) -> Iterator[_Found]:
    """Routes for a tier that no alert is of."""
    tiers = [{"priority": tier.name, "severity": word} for tier, word in model.SEVERITIES.items()]
    for route in check_alertmanager_tree.walk(root):
        for condition in route.conditions or ():
            if condition.name in tiers[0] and not any(condition.matches(tier) for tier in tiers):
                allowed = ", ".join(tier[condition.name] for tier in tiers)
                yield (
                    route.path,
                    f"no alert has {matchers.text([condition])}, so this route takes none; write one of {allowed}",
                )


def _of_alerts(root: _Route, receivers: _Receivers, alerts: Sequence[ruledata.Rule]) -> Iterator[_Found]:
    """Who would hear nothing of an alert of the rules, or too late of a P1."""
    found: dict[strictyaml.Path, str] = {}
    for alert in alerts:
        for route in check_alertmanager_tree.staying(root, ruledata.known_labels(alert)):
            if not receivers.get(route.receiver, {"anything"}):
                found.setdefault(
                    route.path,
                    f'{alert.name} goes to "{route.receiver}", which tells nobody; give that receiver webhook_configs',
                )
            if alert.labels.get("priority") != model.Priority.P1.name:
                continue
            if route.muted:
                found.setdefault(
                    route.path,
                    f"{alert.name} is a P1, and at times this route tells nobody; take its time intervals out",
                )
            if route.seconds("group_interval") > _GROUP_INTERVAL_SECONDS:
                found.setdefault(
                    route.places["group_interval"],
                    (
                        f"group_interval is {route.settings['group_interval']}, and a P1 that comes back waits for "
                        f"it; write {_GROUP_INTERVAL_SECONDS}s or less, like group_interval: 10s"
                    ),
                )
    yield from found.items()
