"""What a destination is given to show: an incident, the step, and what helps the person who reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from routing import model


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Web addresses for people; http or https only, "" where there is none.

    Attributes:
        incident: this service's page of the incident.
        runbook: the runbook's page.
        graph: the expression in Prometheus.
        dashboard: Grafana.
        logs: Loki, through Grafana's explorer.
        silence: Alertmanager's form for a new silence that matches this incident.
    """

    incident: str = ""
    runbook: str = ""
    graph: str = ""
    dashboard: str = ""
    logs: str = ""
    silence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to do first, from the runbook, with the alert's labels filled into its commands.

    Attributes:
        name: the runbook's name.
        first_command: a shell command, placeholders filled and quoted; "" where the page has none.
        first_steps: the sentences of its first minutes, without their commands.
    """

    name: str
    first_command: str
    first_steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """All that a destination may show. Text from labels and annotations is untrusted: escape it.

    Attributes:
        incident: its newest state.
        step: what is to be told, and why.
        shown_alerts: the alerts this destination is concerned with: firing ones first, in reading order.
        title: one line: state, alert name and service.
        links: web addresses.
        advice: from the runbook, None where there is none.
        notes: facts for people, one sentence each ("fired 7 times while this could not be told",
            "priority label unknown: treated as P2", "12 alerts are not in Alertmanager's message").
    """

    incident: model.Incident
    step: model.Step
    shown_alerts: tuple[model.Alert, ...]
    title: str
    links: Links
    advice: Advice | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where people reach things; "" where unknown (environment, PRODUCT: configuration)."""

    external_url: str = ""
    prometheus_url: str = ""
    alertmanager_url: str = ""
    grafana_url: str = ""
    loki_url: str = ""


Runbooks = Mapping[str, str]
"""Markdown by runbook name."""
