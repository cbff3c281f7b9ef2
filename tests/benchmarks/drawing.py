"""The README's picture of the benchmarks: accepted notifications a second, as bars on a scale of powers of ten."""

import math
from collections.abc import Sequence
from html import escape

from tests.benchmarks import measures
from tests.demo.drawing import STYLE

WIDTH = 880
_LEFT, _RIGHT = 212, 752
_TOP, _ROW, _GAP, _BAR = 96, 24, 34, 16
_LOWEST, _HIGHEST = 10.0, 100_000.0
_MARKS = {measures.OURS: "ours", measures.BARE: "room", measures.RAW: "room"}


def svg(rates: Sequence[measures.Rate], *, measured_on: str) -> str:
    """The picture. Text stays text, and the colours follow the reader's light or dark scheme."""
    title = "Notifications accepted a second, each with a durable commit before its answer"
    y, body = _TOP, []
    for alerts in dict.fromkeys(rate.alerts for rate in rates):
        group = [rate for rate in rates if rate.alerts == alerts]
        body.append(_text(24, y - 8, f"{alerts} alert{'s' if alerts > 1 else ''} a notification", "strong"))
        for rate in group:
            body += _bar(y, rate)
            y += _ROW
        y += _GAP
    told = "; ".join(f"{one.subject}, {one.alerts} alerts: {one.rate:,.0f}" for one in rates)
    height = y + 16
    head = [
        _text(24, 38, title, "title"),
        _text(
            24,
            62,
            "Grey: limits that do less. Alertmanager keeps alerts in memory. Scale in powers of ten.",
            "soft",
        ),
    ]
    foot = [_text(24, y - 4, f"{measured_on}, by ./dev bench.", "soft")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title desc">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="desc">{escape(told)}.</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join([*head, *body, *foot])
        + "\n</svg>\n"
    )


def _bar(y: int, rate: measures.Rate) -> list[str]:
    width = (_RIGHT - _LEFT) * _share(rate.rate)
    kind = _MARKS.get(rate.subject, "bar")
    return [
        _text(_LEFT - 14, y + 13, rate.subject, "end"),
        f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>',
        _text(_LEFT + width + 10, y + 13, f"{rate.rate:,.0f}", "strong" if kind == "ours" else "plain"),
    ]


def _share(value: float) -> float:
    return max(0.0, math.log(max(value, _LOWEST) / _LOWEST) / math.log(_HIGHEST / _LOWEST))


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y}">{escape(text)}</text>'
