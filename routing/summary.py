"""One message instead of a backlog: what it says, and how often it may be said. Pure.

With an incoming webhook nothing can be edited, so a summary that changes is said again, ever less often.
"""

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from routing import links, message, model, wording

MOST_WAITING = 5
"""When more messages than this wait for a channel, one summary replaces the P2 and P3 among them (PRODUCT)."""

PACE_SECONDS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""From one summary of a storm to the next; the last counts for all that follow."""

_OVER_SECONDS = 120.0
_WORST = 5
_NAMES = 5
_NAME_CHARACTERS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One incident in a summary.

    Attributes:
        name: of its alerts.
        title: as its own message would have it.
        text: the summary of its first alert; "" where there is none.
        page: its address; "" where that is not known.
        since: when it opened.
        alerts: how many of its alerts the summary tells of.
        begins: whether the destination hears of it for the first time in this episode.
        closes: whether nothing of it fires any more.
        repeats: whether an earlier message, whose arrival is not certain, may have told it.
    """

    incident_id: str
    name: str
    title: str
    text: str
    page: str
    priority: model.Priority
    since: datetime
    alerts: int
    begins: bool
    closes: bool
    repeats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a destination is given to show.

    Attributes:
        facts: sentences for people.
        worst: the most urgent and oldest of what is open, or of what closed where nothing is.
        page: where all of it stands; "" where that is not known.
        open: how many alerts of it fire.
    """

    title: str
    facts: tuple[str, ...]
    worst: tuple[Line, ...]
    page: str
    priority: model.Priority
    open: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """What one lane has said in summaries lately. A restart forgets it, and then a new storm begins.

    Attributes:
        told: how many summaries.
        last_seconds: when the last one was sent, on the lane's clock.
        standing: what they told and what was not told as closed since, by incident.
    """

    told: int = 0
    last_seconds: float = -math.inf
    standing: Mapping[str, Line] = field(default_factory=dict)

    @property
    def next_seconds(self) -> float:
        """When the next summary may go."""
        if not self.told:
            return -math.inf
        return self.last_seconds + PACE_SECONDS[min(self.told, len(PACE_SECONDS)) - 1]

    def at(self, now_seconds: float) -> "Storm":
        """This storm, or a new one when it was long quiet."""
        return Storm() if now_seconds - self.last_seconds > _OVER_SECONDS else self

    def after(self, lines: Collection[Line], now_seconds: float) -> "Storm":
        """The storm after a summary of these incidents was sent."""
        return Storm(told=self.told + 1, last_seconds=now_seconds, standing=self._open_with(lines))

    def compose(self, lines: Collection[Line], *, external_url: str) -> Summary:
        """The summary that tells of these incidents, and of what stands from those before it."""
        is_open = self._open_with(lines)
        closed = [line for line in lines if line.closes]
        shown = list(is_open.values()) or closed
        worst = heapq.nsmallest(_WORST, shown, key=lambda line: (line.priority, line.since, line.incident_id))
        return Summary(
            title=_title(shown, closes=not is_open),
            facts=tuple(fact for fact in (_names(shown), self._news(lines), _repeats(lines)) if fact),
            worst=tuple(worst),
            page=links.page(external_url) if external_url else "",
            priority=min(line.priority for line in shown),
            open=_count(is_open.values()),
        )

    def without(self, incident_id: str) -> "Storm":
        """The storm after this incident was told as closed in a message of its own."""
        if incident_id not in self.standing:
            return self
        return replace(self, standing={key: one for key, one in self.standing.items() if key != incident_id})

    def _open_with(self, lines: Collection[Line]) -> Mapping[str, Line]:
        """What is open after these: what stood before, what began, without what closed."""
        merged = {**self.standing, **{line.incident_id: line for line in lines}}
        return {incident_id: line for incident_id, line in merged.items() if not line.closes}

    def _news(self, lines: Collection[Line]) -> str:
        closed = _count(line for line in lines if line.closes)
        began = _count(line for line in lines if line.begins and not line.closes)
        parts = [f"{began:,} new since the last summary"] if self.told and began else []
        parts += [f"{closed:,} resolved"] if closed else []
        sentence = ", ".join(parts)
        return f"{sentence}." if sentence else ""


def line(incident: model.Incident, step: model.Step, *, external_url: str) -> Line:
    """An incident's line in a summary that tells of this step."""
    title, text = message.headline(incident, step)
    return replace(
        bare_line(incident, step),
        name=wording.short(_name(incident), _NAME_CHARACTERS),
        title=title,
        text=text,
        page=links.page(external_url, "incidents", incident.id) if external_url else "",
    )


def bare_line(incident: model.Incident, step: model.Step) -> Line:
    """The same with nothing in it that comes from an alert."""
    closes = step.act is model.Act.CLOSE
    return Line(
        incident_id=incident.id,
        name="other",
        title=f"[{step.shows.priority.name}] Incident {incident.id}",
        text="",
        page="",
        priority=step.shows.priority,
        since=incident.opened_at,
        alerts=len(step.resolved if closes else step.shows.firing),
        begins=step.act is model.Act.OPEN,
        closes=closes,
        repeats=step.reason is model.Reason.UNCERTAIN,
    )


def _name(incident: model.Incident) -> str:
    alerts = tuple(incident.alerts.values())
    return incident.group_labels.get("alertname") or message.common(alerts, "alertname") or "other"


def _title(shown: Collection[Line], *, closes: bool) -> str:
    names = {line.name for line in shown}
    count = _count(shown)
    tier = min(line.priority for line in shown).name + (" resolved" if closes else "")
    what = f"{names.pop()} ×{count:,}" if len(names) == 1 else wording.plural(count, "alert")
    rest = f": the {_WORST} worst, the rest on the page" if len(shown) > _WORST else ""
    return f"[{tier}] {what}{rest}"


def _names(shown: Collection[Line]) -> str:
    """`DiskFilling ×30, HighCPU ×7`, the most first; "" where there is one name only."""
    counts: Counter[str] = Counter()
    for one in shown:
        counts[one.name] += one.alerts
    if len(counts) == 1:
        return ""
    named = counts.most_common(_NAMES)
    others = counts.total() - sum(count for _, count in named)
    parts = [f"{name} ×{count:,}" for name, count in named] + ([f"others ×{others:,}"] if others else [])
    return ", ".join(parts)


def _repeats(lines: Collection[Line]) -> str:
    count = sum(one.repeats for one in lines)
    if not count:
        return ""
    subject = "All of this" if count == len(lines) else f"{count:,} of these"
    return f"{subject} may repeat an earlier message, whose arrival is not certain."


def _count(lines: Iterable[Line]) -> int:
    return sum(one.alerts for one in lines)
