"""PagerDuty, through the Events API v2: what it is sent, and what its answers mean.

The client behind it stands in `pagerduty_client` alone. Limits and semantics are from PagerDuty's documentation.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from routing import budget, message, model, wording
from routing.destinations import answers, contract, pagerduty_client

SUMMARY_CHARACTERS = 1_024
EVENT_BYTES = 512_000
"""PagerDuty says 512 KB; this is the smaller reading of it."""

LIMIT = budget.Limit(burst=49, per_second=1, reserved=20, at_start=10)
"""About 120 events a minute for a key, sliding. At most 109 in any 60 s, and 10 more over a restart: the P1 that a
restart finds due shall not wait for what was perhaps spent just before it."""

_ACCEPTED = 202
_BAD_EVENT = 400
_KEY_TROUBLE = ("routing key", "routing_key", "integration key", "service key", "service_key")
"""A 400 that says one of these is about the key, and so about every event."""

_SHOWN_AS_LINKS = frozenset({"runbook_url", "dashboard_url"})
_DETAIL_ALERTS = 100
_DETAIL_BYTES = 360_000
_TEXT_CHARACTERS = 2_000
_STEP_CHARACTERS = 500
_FIELD_CHARACTERS = 255
_MAPPING_CHARACTERS = 8_000
"""At most 12 bytes each as JSON, so two of these stay below `_DETAIL_BYTES`."""


class PagerDuty:
    """One PagerDuty service.

    PagerDuty drops a resolve that names another key than its trigger did. So each event of an incident goes with the
    key that triggered it, as long as that key is here; `Receipt.reference` says which one that was. A trigger without
    a receipt may have opened the incident: it is repeated, and resolved, with its key and no other.

    Args:
        name: of the destination in routing.yml.
        routing_key: an Events v2 integration key; a secret, which no error holds.
        previous_key: the one before it, during a rotation; "" where there is none.
        events_url: the base without a path.
    """

    traits = contract.Traits(shows_partial_resolves=False, reassert_seconds=1800)

    def __init__(self, *, name: str, routing_key: str, previous_key: str = "", events_url: str) -> None:
        self.far_end = budget.FarEnd(identity=contract.identity(f"{events_url} {routing_key}"), limit=LIMIT)
        self.credentials = contract.fingerprint(f"{events_url} {routing_key}")
        self.reference = reference(routing_key)
        self._routing_key = routing_key
        self._keys = {reference(key): key for key in (previous_key, routing_key) if key}
        self._client = pagerduty_client.Client(name=name, events_url=events_url)

    async def send(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        """Trigger or resolve, once with each key that it may have been triggered with."""
        if told.step.act is model.Act.CLOSE:
            return await self._resolve(told, plain=plain)
        return await self._trigger(told, plain=plain)

    async def rehearse(self, told: message.Message, *, plain: bool) -> contract.Request:
        """The first request that `send` would make."""
        key = self._keys.get(told.reference, self._routing_key)
        prepared = await self._client.rehearse(event(told, plain=plain), routing_key=key)
        return replace(prepared, body=self._masked(prepared.body))

    async def close(self) -> None:
        """Nothing is held between events."""

    async def _trigger(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        """With the key that triggered it before; where that is gone, anew, so that what is open goes on paging."""
        key = self._keys.get(told.reference, self._routing_key)
        is_gone = bool(told.reference) and told.reference not in self._keys
        try:
            await self._enqueue(told, key, plain=plain)
        except _KeyRefused:
            if key == self._routing_key:
                raise
            key, is_gone = self._routing_key, True
            await self._enqueue(told, key, plain=plain)
        return contract.Receipt(reference=reference(key), note=_TRIGGERED_ANEW if is_gone else "")

    async def _resolve(self, told: message.Message, *, plain: bool) -> contract.Receipt:
        known = self._keys.get(told.reference)
        if told.reference and known is None:
            raise contract.Refused(_CLOSE_BY_HAND)
        # Without a reference either key may have triggered it. The resolve with the other one is dropped.
        for key in [known] if known else self._keys.values():
            try:
                await self._enqueue(told, key, plain=plain)
            except _KeyRefused:
                if key == self._routing_key:
                    raise
                if known:
                    raise contract.Refused(_CLOSE_BY_HAND) from None
        return contract.Receipt(reference="")

    async def _enqueue(self, told: message.Message, key: str, *, plain: bool) -> None:
        answer = await self._client.enqueue(event(told, plain=plain), routing_key=key)
        failure = judge(answer.status, self._masked(answer.body), retry_after=answer.retry_after)
        if failure is not None:
            raise failure

    def _masked(self, text: str) -> str:
        for key in self._keys.values():
            text = text.replace(key, "(routing key)")
        return text


class _KeyRefused(contract.Broken):
    """PagerDuty does not know the key."""


_TRIGGERED_ANEW = (
    "the key that triggered it, or may have, is not taken any more, so it was triggered anew with the present one: "
    "close the older incident in PagerDuty by hand"
)
_CLOSE_BY_HAND = (
    "the key that triggered it, or may have, is not configured or not taken any more, so PagerDuty would drop the "
    "resolve: close the incident in PagerDuty by hand, then `phantommesh-alerts replay ID --drop`"
)


def reference(routing_key: str) -> str:
    """Which key triggered an incident, for the store; it does not tell the key."""
    return contract.fingerprint(routing_key)


def judge(status: int, body: str, *, retry_after: str = "") -> contract.Failure | None:
    """What an answer means; None for a receipt.

    202 counts only with the dedup key in its body: a proxy's own 202 would lose the page, and a repeat costs nothing.
    """
    if status == _ACCEPTED and "dedup_key" in _json_object(body):
        return None
    said = _said(body)
    text = f"PagerDuty answered {status}" + (f": {said}" if said else "")
    if status == _BAD_EVENT and any(words in body.lower() for words in _KEY_TROUBLE):
        return _KeyRefused(text)
    return answers.failure(status, text, retry_after=retry_after)


def _said(body: str) -> str:
    """The reasons in an error's body, for people."""
    known = _json_object(body)
    errors = known.get("errors")
    reasons = [str(reason) for reason in errors] if isinstance(errors, list) else []
    return wording.short("; ".join(reasons) or str(known.get("message") or body), 300)


def _json_object(body: str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def event(told: message.Message, *, plain: bool) -> dict[str, Any]:
    """The arguments of pdpyras' `send_event`. Within every limit, whatever the alerts hold."""
    key = model.dedup_key(told.incident.id)
    if told.step.act is model.Act.CLOSE and not (told.step.shows.silenced and not plain):
        return {"action": "resolve", "dedup_key": key}
    payload: dict[str, Any] = {
        "summary": _summary(told),
        "source": _labelled(told, "instance", "node", "namespace", "cluster") or "PhantomMesh",
        "severity": model.SEVERITIES[told.step.shows.priority],
    }
    if told.step.act is model.Act.CLOSE:
        # A resolve needs no words. This one has them: it still fires, and someone should know why this ends.
        details = {"notes": [wording.short(note, _TEXT_CHARACTERS) for note in told.notes]}
        return {"action": "resolve", "dedup_key": key, "payload": {**payload, "custom_details": details}}
    trigger: dict[str, Any] = {"action": "trigger", "dedup_key": key, "payload": payload}
    if plain:
        return trigger
    fields = {
        "component": _labelled(told, "service"),
        "group": _labelled(told, "cluster", "namespace"),
        "class": _labelled(told, "alertname"),
    }
    payload |= {name: value for name, value in fields.items() if value}
    payload["custom_details"] = _details(told)
    trigger["links"] = _links(told.links)
    trigger["client"] = "PhantomMesh Alerts"
    if told.links.incident:
        trigger["client_url"] = told.links.incident
    return trigger


def _summary(told: message.Message) -> str:
    first = told.shown_alerts[0].annotations.get("summary", "") if told.shown_alerts else ""
    text = ": ".join(part for part in (told.title, wording.short(first, SUMMARY_CHARACTERS)) if part)
    return wording.cut(text, SUMMARY_CHARACTERS)


def _labelled(told: message.Message, *names: str) -> str:
    """The first of these labels that the group or all its shown alerts have."""
    values = (
        told.incident.group_labels.get(name) or message.common(told.shown_alerts, name) for name in names
    )
    return next((shown for value in values if (shown := wording.short(value, _FIELD_CHARACTERS))), "")


def _links(links: message.Links) -> list[dict[str, str]]:
    named = (
        ("Runbook", links.runbook),
        ("Incident", links.incident),
        ("Graph in Prometheus", links.graph),
        ("Dashboard in Grafana", links.dashboard),
        ("Logs in Loki", links.logs),
        ("Silence it", links.silence),
    )
    return [{"href": address, "text": text} for text, address in named if address]


def _details(told: message.Message) -> dict[str, Any]:
    alerts = _alerts(told)
    left_out = len(told.shown_alerts) - len(alerts)
    details = {
        "priority": told.step.shows.priority.name,
        "episode": told.step.shows.episode,
        "notes": [wording.short(note, _TEXT_CHARACTERS) for note in (*_why(told.summons), *told.notes)],
        **_advice(told.advice),
        "alerts": alerts,
        "more": f"{wording.plural(left_out, 'more alert')}: see the incident's page." if left_out else "",
    }
    return {name: value for name, value in details.items() if value}


def _why(summons: message.Summons | None) -> tuple[str, ...]:
    return summons.why if summons else ()


def _advice(advice: message.Advice | None) -> dict[str, Any]:
    if advice is None:
        return {}
    return {
        "first_command": wording.block(advice.first_command, _TEXT_CHARACTERS),
        "first_steps": [wording.short(step, _STEP_CHARACTERS) for step in advice.first_steps[:10]],
    }


def _alerts(told: message.Message) -> list[dict[str, Any]]:
    """As many as fit, each in full."""
    fitting: list[dict[str, Any]] = []
    size = 0
    for alert in told.shown_alerts[:_DETAIL_ALERTS]:
        shown = {
            "state": alert.status.value,
            "when": wording.period(alert, beside=told.incident.changed_at),
            "annotations": _mapping(alert.annotations, leave_out=_SHOWN_AS_LINKS),
            "labels": _mapping(alert.labels),
        }
        size += len(json.dumps(shown))
        if size > _DETAIL_BYTES:
            break
        fitting.append(shown)
    return fitting


def _mapping(labels: model.Labels, *, leave_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Labels or annotations, cut so that even the first alert of an incident always fits."""
    shown: dict[str, str] = {}
    left = _MAPPING_CHARACTERS
    names = sorted(labels.keys() - leave_out)
    for name in names:
        value = wording.short(labels[name], _TEXT_CHARACTERS)
        left -= len(name) + len(value)
        if left < 0:
            shown[wording.ELLIPSIS] = f"{len(names) - len(shown)} more"
            break
        shown[wording.short(name, _FIELD_CHARACTERS)] = value
    return shown
