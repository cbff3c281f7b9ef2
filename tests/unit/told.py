"""Messages as destinations get them, ordinary and hostile, for tests."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from msgspec import structs

from routing import message, model
from tests.unit import build

AROUND = message.Surroundings(
    external_url="https://alerts.example",
    prometheus_url="https://prometheus.example",
    alertmanager_url="https://alertmanager.example",
    grafana_url="https://grafana.example",
    loki_url="https://loki.example",
)

RUNBOOK = """# ServiceDown: no replica is running

## First three minutes

1. See the pods.

   ```sh
   kubectl get pods -n {namespace} -l app={service}
   ```

2. Read their log, see [Logs](logs.md).
"""

RUNBOOKS = {"ServiceDown": RUNBOOK}

HOSTILE = (
    "",
    "<!channel>",
    "<!here> <@U012ABC> <#C012ABC>",
    "<https://evil.example|https://good.example>",
    "javascript:alert(1)",
    "https://good.example\n.evil.example/",
    "$(rm -rf /)",
    "`rm -rf /`",
    "'; rm -rf / #",
    "```\n*bold* _it_ ~no~",
    "%s %n {0} {__class__} {namespace} %(name)s",
    "a\x00b\x1b[31mred\x07\r\nnext: line",
    "\u202egnp.exe \u2066\u200b\ufeff",
    "\ud800 lone \udfff",
    "&amp;&lt;" * 500,
    "&" * 4_000,
    "e\u0301" * 2_000,
    "\U0001f525" * 2_000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea" * 300,
    "Z\u0351\u036b\u0343\u036a" * 300 + "a" + "\u0300" * 3_000,
    "\x1b]0;title\x07\x1b[2J\x9b31m\x85\u2028\u2029",
    "|https://evil.example|> @channel https://evil.example <mailto:a@b|c>",
    "[P1 resolved] all is well",
    " " * 9_000 + "late",
    "x" * 100_000,
)


def incident(*alerts: model.Alert, **changes: object) -> model.Incident:
    """An open incident of these alerts in its first episode."""
    known = {alert.fingerprint: structs.replace(alert, episode=1) for alert in alerts}
    group = dict(build.GROUP) | {"service": "vpn-core", "namespace": "phantommesh-prod"}
    base = model.Incident(
        id=model.incident_id(group),
        group_labels=group,
        episode=1,
        open=any(alert.fires for alert in alerts),
        priority=min((model.priority_of(alert.labels) for alert in alerts), default=model.Priority.P2),
        opened_at=build.at(0),
        changed_at=build.at(300),
        resolved_at=None,
        version=1,
        receiver="phantommesh-alerts",
        external_url="http://alertmanager.internal:9093",
        truncated_alerts=0,
        alerts=known,
    )
    return structs.replace(base, **changes)


def step(
    about: model.Incident,
    act: model.Act = model.Act.OPEN,
    reason: model.Reason = model.Reason.FIRED,
    **changes: object,
) -> model.Step:
    """A step that shows what fires, and for a close one that takes back all that fired."""
    firing = frozenset(alert.fingerprint for alert in about.firing)
    every = frozenset(about.alerts)
    closes = act is model.Act.CLOSE
    base = model.Step(
        act=act,
        reason=reason,
        shows=model.Shown(
            episode=about.episode, firing=frozenset() if closes else firing, priority=about.priority
        ),
        joined=firing if act is model.Act.OPEN else frozenset(),
        resolved=every if closes else frozenset(),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type] # the caller names real fields


def compose(
    about: model.Incident, told_step: model.Step, runbooks: Mapping[str, str] | None = None
) -> message.Message:
    """The message in the tests' surroundings."""
    return message.compose(
        about, told_step, surroundings=AROUND, runbooks=RUNBOOKS if runbooks is None else runbooks
    )


def opening(*alerts: model.Alert) -> message.Message:
    """These alerts began to fire."""
    about = incident(*(alerts or (down(),)))
    return compose(about, step(about))


def closing(*alerts: model.Alert) -> message.Message:
    """The last of these alerts resolved."""
    about = incident(*(alerts or (down(ends=250),)))
    return compose(about, step(about, model.Act.CLOSE, model.Reason.RESOLVED))


def down(name: str = "a", *, ends: float | None = None, **labels: str) -> model.Alert:
    """An ordinary ServiceDown with all that our rules write on it."""
    usual: dict[str, Any] = {
        "cluster": "eu-1",
        "namespace": "phantommesh-prod",
        "service": "vpn-core",
        "severity": "critical",
        "team": "platform",
    }
    return structs.replace(
        build.alert(name, ends=ends, **(usual | labels)),
        annotations={
            "summary": "No replica of vpn-core is ready",
            "description": "3 replicas are wanted and 0 are available.",
            "runbook_url": "https://elsewhere.example/runbooks/ServiceDown",
            "dashboard_url": "http://grafana-svc:3000/d/services?var-service=vpn-core",
        },
        generator_url="http://prometheus-svc:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    )


# Hypothesis leaves surrogates out of its text unless it is asked for them.
texts = st.sampled_from(HOSTILE) | st.text(st.characters(codec=None, exclude_categories=()), max_size=40)
_names = st.sampled_from(
    ["alertname", "service", "namespace", "cluster", "instance", "pod", "priority", "severity", "a b", "ü"]
)
label_sets = st.dictionaries(_names | texts.filter(lambda text: len(text) < 200), texts, max_size=6)
_annotations = st.dictionaries(
    st.sampled_from(["summary", "description", "runbook_url", "dashboard_url"]) | texts, texts, max_size=6
)


_mutes = st.none() | st.builds(
    model.Mute,
    kind=st.sampled_from(model.MuteKind),
    by=texts,
    comment=texts,
    until=st.none() | st.just(build.at(3600)),
)


@st.composite
def hostile_messages(draw: st.DrawFn) -> message.Message:
    """Any step about any alerts whose every text was chosen by an enemy."""
    alerts = []
    for index in range(draw(st.integers(0, 4))):
        ends = draw(st.none() | st.just(60.0))
        base = build.alert(str(index), ends=ends)
        alerts.append(
            structs.replace(
                base,
                labels=draw(label_sets),
                annotations=draw(_annotations),
                generator_url=draw(texts),
                moved_to=draw(st.none() | st.just("f" * 32)),
                recovers_at=draw(st.none() | st.just(build.at(50))),
                muted=draw(_mutes),
            )
        )
    about = incident(
        *alerts,
        group_labels=draw(label_sets),
        external_url=draw(texts),
        truncated_alerts=draw(st.integers(0, 3)),
    )
    act, reason = draw(st.sampled_from(list(model.Act))), draw(st.sampled_from(list(model.Reason)))
    quiet = {
        name: frozenset(draw(st.lists(st.sampled_from(sorted(about.alerts)))) if about.alerts else ())
        for name in ("silenced", "inhibited", "unconfirmed")
    }
    told_step = step(about, act, reason, fired_times=draw(st.integers(1, 9)))
    told_step = dataclasses.replace(told_step, shows=dataclasses.replace(told_step.shows, **quiet))  # type: ignore[arg-type] # three real fields
    page = draw(
        st.sampled_from([RUNBOOK, "", "# x\n## First three minutes\n1. {service}\n```\n{pod}"]) | texts
    )
    name = next((alert.labels["alertname"] for alert in alerts if "alertname" in alert.labels), "ServiceDown")
    summons = st.builds(
        message.Summons,
        why=st.lists(texts, max_size=4).map(tuple),
        contacts=st.lists(st.builds(message.Contact, who=texts, reach=texts), max_size=12).map(tuple),
    )
    return dataclasses.replace(compose(about, told_step, {name: page}), summons=draw(st.none() | summons))
