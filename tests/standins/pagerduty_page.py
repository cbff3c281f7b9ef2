"""PagerDuty as the on-call engineer sees it: the incidents, newest first, each with its log."""

from collections.abc import Mapping, Sequence
from typing import Any

from tests.standins import incidents, page

_STYLE = """
header { background: #048a24; color: #fff; padding: 14px 24px; display: flex; gap: 12px; align-items: baseline; }
header .soft { color: #d7f5de; }
main { max-width: 960px; margin: 0 auto; padding: 20px 24px 48px; }
.counts { display: flex; gap: 24px; margin-bottom: 16px; }
.counts b { font-size: 22px; }
article { border: 1px solid var(--line); border-left: 5px solid var(--red); border-radius: 6px; padding: 14px 18px;
  margin-bottom: 14px; }
article.acknowledged { border-left-color: var(--amber); }
article.resolved { border-left-color: var(--green); }
article h2 { font-size: 16px; margin: 2px 0 6px; }
.status { font-size: 12px; font-weight: 700; text-transform: uppercase; letter-spacing: .04em; color: var(--red); }
.acknowledged .status { color: var(--amber); }
.resolved .status { color: var(--green); }
.links { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 14px; margin: 8px 0; font-size: 13px; }
dt { color: var(--soft); }
dd dl { margin: 0 0 6px; }
dd { margin: 0; min-width: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
ol { list-style: none; margin: 8px 0 0; padding: 8px 0 0; border-top: 1px solid var(--line); font-size: 13px; }
"""

_TOLD = {
    "opened": "Triggered: on-call was paged",
    "appended": "Triggered again: added to this incident, nobody was paged",
    "acknowledged": "Acknowledged through the API",
    "resolved": "Resolved through the API",
}


def html(listed: Sequence[incidents.Incident]) -> str:
    newest_first = sorted(listed, key=lambda one: (one.resolved, -one.number))
    is_open = sum(not one.resolved for one in listed)
    shown = "".join(_incident(one) for one in newest_first) or '<p class="soft">No incidents. All quiet.</p>'
    body = (
        '<header><h1>PagerDuty</h1><span class="soft">stand-in on this machine</span></header><main>'
        f'<div class="counts"><p><b>{is_open}</b> open</p><p><b>{len(listed) - is_open}</b> resolved</p></div>'
        f"{shown}</main>"
    )
    title = f"({is_open}) PagerDuty" if is_open else "PagerDuty"
    return page.frame(title=title, style=_STYLE, body=body)


def plain(listed: Sequence[incidents.Incident]) -> str:
    if not listed:
        return "PagerDuty: no incidents"
    return "\n".join(line for one in listed for line in _plain_lines(one))


def _plain_lines(one: incidents.Incident) -> list[str]:
    payload = one.latest.payload
    lines = [
        f"#{one.number} {one.status.upper()} [{payload['severity']}] {payload['summary']}",
        f"   {one.service}, key {one.dedup_key}",
    ]
    lines.extend(f"   {item.get('text', 'link')}: {item['href']}" for item in one.latest.links)
    lines.extend(f"   {page.clock(event.arrival.at_unix_seconds)} {_told(event)}" for event in one.events)
    return lines


def _incident(one: incidents.Incident) -> str:
    payload = one.latest.payload
    links = "".join(page.link(item["href"], item.get("text") or item["href"]) for item in one.latest.links)
    log = "".join(
        f'<li><span class="soft">{page.clock(event.arrival.at_unix_seconds)}</span> {page.escape(_told(event))}</li>'
        for event in one.events
    )
    return (
        f'<article class="{one.status}"><span class="status">{one.status}</span> '
        f'<span class="soft">#{one.number} on {page.escape(one.service)}, '
        f"severity {page.escape(payload['severity'])}</span>"
        f"<h2>{page.escape(payload['summary'])}</h2>"
        f'<nav class="links">{links}</nav>'
        f"{_details(payload)}<ol>{log}</ol></article>"
    )


def _details(payload: Mapping[str, Any]) -> str:
    rows: dict[str, object] = {
        name: payload[name] for name in ("source", "component", "group", "class") if payload.get(name)
    }
    rows.update(payload.get("custom_details") or {})
    return _table(rows)


def _table(rows: Mapping[str, object]) -> str:
    cells = "".join(f"<dt>{page.escape(name)}</dt><dd>{_value(value)}</dd>" for name, value in rows.items())
    return f"<dl>{cells}</dl>"


def _value(value: object) -> str:
    """Nested as PagerDuty shows it: objects and lists inside of custom details keep their shape."""
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, list):
        return "".join(f"<div>{_value(one)}</div>" for one in value)
    return page.escape(value)


def _told(event: incidents.Event) -> str:
    return _TOLD[event.outcome]
