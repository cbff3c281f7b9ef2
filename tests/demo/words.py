"""What the demo says, without where it says it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from tests.world import timeline

SERVICE = "vpn-core"

HAPPENED: Mapping[timeline.Name, str] = {
    "fault": "vpn-core breaks: none of its replicas is available",
    "scraped": "Prometheus sees it",
    "pending": "ServiceDown is pending: its condition holds",
    "firing": "ServiceDown fires: it held for 15 s",
    "received": "Alertmanager posts it, and it is safe on disk",
    "paged": "PagerDuty pages the on-call engineer",
    "told": "Slack tells #phantommesh-incidents",
    "mended": "vpn-core is mended",
    "scraped again": "Prometheus sees it",
    "ended": "ServiceDown ends",
    "received again": "Alertmanager posts it, and it is safe on disk",
    "resolved": "PagerDuty closes the incident",
    "told again": "Slack tells #phantommesh-incidents",
}

WAITED_FOR: Mapping[timeline.Name, str] = {
    "fault": "",
    "scraped": "the next scrape, at most 15 s",
    "pending": "the next evaluation of the rules, at most 15 s",
    "firing": "whether it stays broken, for 15 s",
    "received": "Alertmanager, which gathers what belongs together for 5 s",
    "paged": "",
    "told": "",
    "mended": "",
    "scraped again": "the next scrape, at most 15 s",
    "ended": "the next evaluation of the rules, at most 15 s",
    "received again": "Alertmanager's next look at the group, at most 10 s",
    "resolved": "",
    "told again": "",
}

"""The wait before a hop; "" where none is worth a word."""

UNTIL_PAGED: Sequence[timeline.Name] = ("fault", "scraped", "pending", "firing", "received", "paged", "told")
UNTIL_RESOLVED: Sequence[timeline.Name] = (
    "mended",
    "scraped again",
    "ended",
    "received again",
    "resolved",
    "told again",
)

HOPS: Mapping[timeline.Name, str] = {
    "scraped": "scrape",
    "pending": "evaluation",
    "firing": "for: 15s",
    "received": "group_wait",
    "paged": "this service",
}
"""The hops of the budget, by what the configuration calls them."""


def line(hop: timeline.Hop) -> str:
    """One hop: the time of day, how long it took, what happened."""
    at = datetime.fromtimestamp(hop.at_unix_seconds, UTC).strftime("%H:%M:%S")
    took = "" if hop.name in ("fault", "mended") else f"+{seconds(hop.took_seconds)}"
    return f"  {at} {took:>8}  {HAPPENED[hop.name]}"


def table(hops: Sequence[timeline.Hop]) -> Sequence[str]:
    """From fault to page, hop by hop, each beside what it may take."""
    by_name = {hop.name: hop for hop in hops}
    rows = [(words, by_name[name].took_seconds, timeline.HOP_SECONDS[name]) for name, words in HOPS.items()]
    rule = f"  {'':-<20} {'':->8} {'':->8}"
    return [
        f"  {'from fault to page':20} {'took':>8} {'budget':>8}",
        rule,
        *(f"  {words:20} {seconds(took):>8} {may:>6.0f} s" for words, took, may in rows),
        rule,
        f"  {'in all':20} {seconds(fault_to_page_seconds(hops)):>8} {timeline.BUDGET_SECONDS:>6.0f} s",
    ]


def fault_to_page_seconds(hops: Sequence[timeline.Hop]) -> float:
    at = {hop.name: hop.at_unix_seconds for hop in hops}
    return at["paged"] - at["fault"]


def seconds(value: float) -> str:
    """In tenths, or in thousandths where that would be nothing."""
    return f"{value * 1000:.0f} ms" if value < 0.1 else f"{value:.1f} s"
