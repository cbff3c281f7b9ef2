"""What a destination is given to show: an incident, the step, and what helps the person who reads it."""

from collections.abc import Mapping
from dataclasses import dataclass

from routing import flapping, links, model, muting, runbooks, wording

_TITLE_CHARACTERS = 150
_PART_CHARACTERS = 60


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
class Contact:
    """Somebody to call by hand when a page goes astray.

    Attributes:
        who: a role or a name.
        reach: how to reach them; "" where routing.yml does not say.
    """

    who: str
    reach: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summons:
    """A call to everybody: another destination has not taken this P1, so people must see to it that it is known.

    Attributes:
        why: sentences: which destination, for how long, with what error.
        contacts: whom to call, in this order.
    """

    why: tuple[str, ...]
    contacts: tuple[Contact, ...] = ()


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
        summons: set where this is told in the place of a destination that has not taken it.
        reference: what the far end needs to find what is shown there already (`Delivery.reference`).
    """

    incident: model.Incident
    step: model.Step
    shown_alerts: tuple[model.Alert, ...]
    title: str
    links: Links
    advice: Advice | None
    notes: tuple[str, ...] = ()
    summons: Summons | None = None
    reference: str = ""


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


def compose(
    incident: model.Incident,
    step: model.Step,
    *,
    surroundings: Surroundings,
    runbooks: Runbooks,
    elsewhere: tuple[str, ...] = (),
    escalation: tuple[Contact, ...] = (),
) -> Message:
    """Put together what a destination may show for one step. Pure, and no text in an alert can make it fail.

    Args:
        incident: its newest state.
        step: what is to be told.
        surroundings: where links lead.
        runbooks: Markdown by name.
        elsewhere: what the step says of other destinations (`routing.failover.sentences`).
        escalation: whom to call by hand when another destination has not taken it.
    """
    shown = _shown_alerts(incident, step)
    first = shown[0] if shown else None
    page = _runbook(first, runbooks)
    return Message(
        incident=incident,
        step=step,
        shown_alerts=shown,
        title=_title(incident, step, shown),
        links=_links(incident, step, first, page, surroundings),
        advice=None if first is None or page is None else _advice(page, runbooks[page], first.labels),
        notes=(*(() if step.failed else elsewhere), *_news(step, incident), *_caveats(step, incident, shown)),
        summons=Summons(why=elsewhere, contacts=escalation) if step.failed else None,
    )


def bare(incident: model.Incident, step: model.Step) -> Message:
    """What can be told where a defect of ours makes anything else impossible: nothing of it comes from an alert."""
    return Message(
        incident=incident,
        step=step,
        shown_alerts=(),
        title=f"[{step.shows.priority.name}{_state(step)}] Incident {incident.id}",
        links=Links(),
        advice=None,
        notes=(
            "Its alerts could not be rendered, which is a defect of this service: see its page and its log.",
        ),
        summons=Summons(why=("Another destination has not taken this P1.",)) if step.failed else None,
    )


def headline(incident: model.Incident, step: model.Step) -> tuple[str, str]:
    """The title that `compose` gives a step, and the summary of its first alert ("" where there is none)."""
    shown = _shown_alerts(incident, step)
    first = shown[0].annotations.get("summary", "") if shown else ""
    return _title(incident, step, shown), wording.short(first, _TITLE_CHARACTERS)


def common(alerts: tuple[model.Alert, ...], name: str) -> str:
    """The value of a label that all of these alerts share; "" where they do not."""
    values = {alert.labels.get(name, "") for alert in alerts}
    return values.pop() if len(values) == 1 else ""


def _shown_alerts(incident: model.Incident, step: model.Step) -> tuple[model.Alert, ...]:
    """The alerts of the step, firing ones first; where it names none, those of the episode, else all."""
    named = step.shows.firing | step.shows.silenced | step.joined | step.resolved
    alerts = incident.alerts.values()
    chosen = (
        [alert for alert in alerts if alert.fingerprint in named]
        or [alert for alert in alerts if alert.episode == step.shows.episode]
        or list(alerts)
    )
    ordered = model.in_order(chosen)
    return (*(one for one in ordered if one.fires), *(one for one in ordered if not one.fires))


def _title(incident: model.Incident, step: model.Step, shown: tuple[model.Alert, ...]) -> str:
    def told(label: str) -> str:
        return wording.short(incident.group_labels.get(label, "") or common(shown, label), _PART_CHARACTERS)

    name = told("alertname") or wording.plural(len(shown), "alert")
    subject = next((value for label in ("service", "instance") if (value := told(label))), "")
    place = "/".join(dict.fromkeys(value for label in ("cluster", "namespace") if (value := told(label))))
    state = _state(step)
    if step.act is not model.Act.CLOSE and flapping.fact(incident):
        state += ", flapping"
    title = f"[{step.shows.priority.name}{state}] {name}"
    title += f": {subject}" if subject else ""
    title += f" ({place})" if place else ""
    return wording.cut(title, _TITLE_CHARACTERS)


def _state(step: model.Step) -> str:
    if step.act is not model.Act.CLOSE:
        fired = f", fired {step.fired_times} times" if step.fired_times > 1 else ""
        return fired + (", resolved since" if step.reason is model.Reason.TOLD_LATE else "")
    if step.shows.silenced:
        return " silenced"
    return {model.Reason.MOVED: " moved", model.Reason.REROUTED: " rerouted"}.get(step.reason, " resolved")


def _runbook(alert: model.Alert | None, pages: Runbooks) -> str | None:
    return None if alert is None else runbooks.find(alert.labels, alert.annotations, pages.keys())


def _advice(name: str, markdown: str, labels: model.Labels) -> Advice:
    page = runbooks.parse(markdown)
    return Advice(
        name=name,
        first_command=runbooks.fill(page.first_command, labels),
        first_steps=tuple(runbooks.fill(step.sentence, labels) for step in page.steps),
    )


def _links(
    incident: model.Incident,
    step: model.Step,
    first: model.Alert | None,
    runbook: str | None,
    around: Surroundings,
) -> Links:
    annotations = first.annotations if first else {}
    own_runbook = links.page(around.external_url, "runbooks", runbook) if runbook else ""
    goes_on_as = first.moved_to if first and step.reason is model.Reason.MOVED else None
    return Links(
        incident=links.page(around.external_url, "incidents", goes_on_as or incident.id),
        runbook=own_runbook or links.web(annotations.get("runbook_url", "")),
        graph=links.moved(first.generator_url, around.prometheus_url) if first else "",
        dashboard=links.moved(annotations.get("dashboard_url", ""), around.grafana_url),
        logs=links.logs(first.labels, since=first.starts_at, grafana_url=around.grafana_url) if first else "",
        silence=links.silence(
            incident.group_labels,
            alertmanager_url=around.alertmanager_url,
            external_url=incident.external_url,
        ),
    )


def _news(step: model.Step, incident: model.Incident) -> list[str]:
    """What changed, for all but the plain firing and the plain resolve, which the title says."""
    still = f"{wording.plural(len(step.shows.firing), 'alert')} firing"
    moved_to = sorted({alert.moved_to for alert in incident.alerts.values() if alert.moved_to})
    times = wording.plural(step.fired_times, "time")
    sentences = {
        model.Reason.TOLD_LATE: f"Fired {times} while this could not be told, and has resolved since.",
        model.Reason.JOINED: f"{wording.plural(len(step.joined), 'alert')} joined: {still}.",
        model.Reason.RAISED: f"Raised to {step.shows.priority.name}: {still}.",
        model.Reason.FLAPPING: "It fired again." if step.fired_times == 1 else f"It fired {times} more.",
        model.Reason.PARTLY_RESOLVED: f"{wording.plural(len(step.resolved), 'alert')} resolved: {still}.",
        model.Reason.MOVED: f"Its alerts are grouped anew; it goes on as incident {', '.join(moved_to[:3])}.",
        model.Reason.REROUTED: "The routing changed: this is told elsewhere now.",
        model.Reason.UNCERTAIN: "This may repeat an earlier message, whose arrival is not certain.",
        model.Reason.REASSERTED: "Still firing, so it is told again.",
        model.Reason.PARTLY_SILENCED: f"Silenced in part: {still}.",
        model.Reason.UNSILENCED: f"The silence ended: {still}.",
        model.Reason.UNINHIBITED: f"Not inhibited any more: {still}.",
        model.Reason.STILL_FIRING: f"It had not recovered: {still}.",
        model.Reason.RECONCILED: "Reconciled: no Alertmanager lists it any more, and no message said so.",
        model.Reason.UNRECORDED: "Paged directly: this service cannot write its record now. See its log; "
        "until that is mended nobody is told anything but P1 pages like this one.",
    }
    told = [sentences[step.reason]] if step.reason in sentences else []
    if step.fired_times > 1 and step.reason not in (model.Reason.TOLD_LATE, model.Reason.FLAPPING):
        told.append(f"Fired {times} while this could not be told.")
    return told


def _caveats(step: model.Step, incident: model.Incident, shown: tuple[model.Alert, ...]) -> list[str]:
    told = muting.sentences(incident, step.shows)
    if fact := flapping.fact(incident):
        told.append(fact)
        if step.act is not model.Act.CLOSE and flapping.stays_shown(incident):
            told.append("It is shown as firing until it was quiet for 10 minutes.")
    if step.reason is model.Reason.RESOLVED and any(alert.fires for alert in shown):
        told.append("It fires again since; that is told next.")
    if step.act is not model.Act.CLOSE and any(model.tier(alert.labels) is None for alert in shown):
        told.append("No known priority or severity label: treated as P2.")
    if incident.truncated_alerts > 0:
        left_out = wording.plural(incident.truncated_alerts, "alert")
        told.append(
            f"Alertmanager left {left_out} out of its message, so there are more than are shown here."
        )
    return told
