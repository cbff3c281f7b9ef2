"""The README's picture: the hops from fault to page as bars, each within the room that its budget gives it.

The same hops give the same bytes. Text stays text, and the colours follow the reader's light or dark scheme.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from tests.demo import words
from tests.world import timeline

WIDTH, HEIGHT = 880, 352
_LEFT, _RIGHT = 212, 752
_FIRST_ROW, _ROW = 104, 32
_BAR = 18
_THINNEST = 3.0

_LABELS: dict[timeline.Name, str] = {
    "scraped": "Prometheus scrapes it",
    "pending": "evaluates the rule",
    "firing": "waits: for 15 s",
    "received": "Alertmanager groups it",
    "paged": "this service pages",
}

STYLE = """
  text { font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 20px; font-weight: 600; }
  .soft { fill: #59636e; font-size: 13px; }
  .end { text-anchor: end; }
  .middle { text-anchor: middle; }
  .paper { fill: #ffffff; stroke: #d1d9e0; }
  .room { fill: #e8ecf0; }
  .bar { fill: #8250df; }
  .ours { fill: #cf222e; }
  .paged { stroke: #cf222e; stroke-width: 2; }
  .limit { stroke: #59636e; stroke-dasharray: 4 4; }
  .axis { stroke: #d1d9e0; }
  .strong { font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .soft { fill: #9198a1; }
    .paper { fill: #0d1117; stroke: #3d444d; }
    .room { fill: #262c36; }
    .bar { fill: #ab7df8; }
    .ours { fill: #f85149; }
    .paged { stroke: #f85149; }
    .limit { stroke: #9198a1; }
    .axis { stroke: #3d444d; }
  }
"""


def svg(hops: Sequence[timeline.Hop], *, measured_on: str) -> str:
    """The picture. `measured_on` says which programs and which machine, in words."""
    at = {hop.name: hop.at_unix_seconds for hop in hops}
    took = {hop.name: hop.took_seconds for hop in hops}
    total = words.seconds(at["paged"] - at["fault"])
    closed = words.seconds(at["resolved"] - at["mended"])
    day = datetime.fromtimestamp(at["fault"], UTC).date().isoformat()
    title = f"Paged {total} after the fault; the budget is {timeline.BUDGET_SECONDS:.0f} s"
    told = ", ".join(f"{_LABELS[name]} {words.seconds(took[name])}" for name in words.HOPS)
    bottom = _FIRST_ROW + len(words.HOPS) * _ROW
    body = [
        _text(24, 38, title, "title"),
        _text(
            24,
            62,
            "vpn-core loses its last replica. The bars are measured; the grey is their budget.",
            "soft",
        ),
        *_axis(bottom),
        *(
            line
            for row, name in enumerate(words.HOPS)
            for line in _row(
                _FIRST_ROW + row * _ROW,
                name,
                began_seconds=at[name] - took[name] - at["fault"],
                took=took[name],
            )
        ),
        *_mark(at["paged"] - at["fault"], bottom),
        _text(
            24, bottom + 52, f"Then vpn-core is mended, and the incident is closed {closed} later.", "plain"
        ),
        _text(24, bottom + 72, f"{day}, by ./dev picture: {measured_on}.", "soft"),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'height="{HEIGHT}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(title)}</title>\n'
        f'<desc id="desc">{escape(told)}.</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _row(y: int, name: timeline.Name, *, began_seconds: float, took: float) -> list[str]:
    may_take = timeline.HOP_SECONDS[name]
    start, end = _x(began_seconds), _x(began_seconds + took)
    room_end = _x(min(began_seconds + may_take, timeline.BUDGET_SECONDS))
    return [
        _text(_LEFT - 14, y + 14, _LABELS[name], "end"),
        _bar("room", start, y, max(room_end - start, 0)),
        _bar("ours" if name == "paged" else "bar", start, y, max(end - start, _THINNEST)),
        _text(WIDTH - 24, y + 14, f"{words.seconds(took)} of {may_take:.0f} s", "end"),
    ]


def _bar(style: str, x: float, y: int, width: float) -> str:
    radius = min(3.0, width / 2)
    return f'<rect class="{style}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="{radius:g}"/>'


def _axis(bottom: int) -> list[str]:
    ticks = range(0, int(timeline.BUDGET_SECONDS) + 1, 15)
    return [
        f'<line class="axis" x1="{_LEFT}" y1="{bottom}" x2="{_RIGHT}" y2="{bottom}"/>',
        *(_text(_x(tick), bottom + 18, f"{tick} s", "soft middle") for tick in ticks),
    ]


def _mark(paged_seconds: float, bottom: int) -> list[str]:
    x, limit = _x(paged_seconds), _x(timeline.BUDGET_SECONDS)
    return [
        f'<line class="paged" x1="{x:.1f}" y1="{_FIRST_ROW - 22}" x2="{x:.1f}" y2="{bottom}"/>',
        f'<line class="limit" x1="{limit:.1f}" y1="{_FIRST_ROW - 22}" x2="{limit:.1f}" y2="{bottom}"/>',
        _text(x - 8, _FIRST_ROW - 11, "on-call is paged", "strong end"),
    ]


def _x(seconds: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * seconds / timeline.BUDGET_SECONDS


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y}">{escape(text)}</text>'
