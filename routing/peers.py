"""Which Alertmanagers can be believed about which source. Pure.

An Alertmanager that restarted is ready and knows nothing, and one that Prometheus does not reach any more forgets its
alerts one by one (DESIGN: four traps). What proves that a source reaches it is a Watchdog that it lists itself, and
how lately that was refreshed. Every instant here is by the peer's own clock, as far as it tells it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from routing import model

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long things take, at the most, where all is well.

    Attributes:
        grown_up: after its start an Alertmanager has heard from every Prometheus after so long.
        fresh: a Watchdog is refreshed at least so often (Prometheus: a resend-delay of 1 minute, and an evaluation).
            Shorter than the 4 resend-delays after which an Alertmanager forgets what is not refreshed.
        settled: once a source is heard again, all of its alerts have been heard again after so long.
        late: a message comes at most so much later than Alertmanager's own intervals say.
    """

    grown_up: timedelta = timedelta(minutes=5)
    fresh: timedelta = timedelta(seconds=150)
    settled: timedelta = timedelta(seconds=90)
    late: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """An unbroken row of refreshed Watchdogs of one source: its first and its latest."""

    since: datetime
    latest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One Alertmanager, as far as it is known.

    Attributes:
        name: its address.
        error: why it could not be asked; "" when it answered.
        at: when it answered.
        started_at: since when it is up.
        beats: by source; kept when a Watchdog is not listed any more, to see the gap.
    """

    name: str
    error: str = "not asked yet"
    at: datetime = _LONG_AGO
    started_at: datetime = _LONG_AGO
    beats: Mapping[str, Beat] = field(default_factory=dict)


def source(labels: model.Labels) -> str:
    """The source that an alert comes from: its cluster, and which Prometheus there if it says so."""
    cluster, prometheus = labels.get("cluster", ""), labels.get("prometheus", "")
    return f"{cluster}/{prometheus}" if prometheus else cluster


def belongs(claimed: str, sources: Collection[str]) -> Collection[str]:
    """The known sources that an alert may come from which claims this one; none where that is not clear.

    An alert's own labels win over Prometheus's external ones, so that it may claim a cluster that no Watchdog speaks
    for: where there is only one source, it is that. One that does not say which Prometheus of its cluster it comes
    from may come from each.
    """
    if claimed in sources:
        return (claimed,)
    same_cluster = [source for source in sources if source.startswith(f"{claimed}/")]
    if same_cluster and claimed:
        return same_cluster
    return tuple(sources) if len(sources) == 1 else ()


def answered(
    before: Peer,
    *,
    at: datetime,
    started_at: datetime,
    watchdogs: Mapping[str, datetime],
    bounds: Bounds,
) -> Peer:
    """A peer after it was asked.

    Args:
        before: as it was known.
        at: when it answered.
        started_at: since when it is up.
        watchdogs: by source, when the Watchdog that it lists was refreshed last.
        bounds: what counts as a gap.
    """
    beats = dict(before.beats)
    for key, refreshed in watchdogs.items():
        known = beats.get(key)
        unbroken = known is not None and refreshed - known.latest <= bounds.fresh
        beats[key] = Beat(since=known.since if known and unbroken else refreshed, latest=refreshed)
    return Peer(name=before.name, error="", at=at, started_at=started_at, beats=beats)


def doubt(peer: Peer, key: str, bounds: Bounds) -> str:
    """Why what a peer lists of a source cannot be believed; "" where it can."""
    if peer.error:
        return peer.error
    if peer.at - peer.started_at < bounds.grown_up:
        return f"up for less than {bounds.grown_up.total_seconds() / 60:g} minutes"
    beat = peer.beats.get(key)
    if beat is None:
        return "lists no Watchdog of it"
    if peer.at - beat.latest > bounds.fresh:
        return "lists no fresh Watchdog of it"
    return ""


def misses_nothing(peer: Peer, key: str, bounds: Bounds) -> bool:
    """Whether what a peer does not list of a source is gone: it was heard without a gap for long enough."""
    return not doubt(peer, key, bounds) and peer.at - peer.beats[key].since >= bounds.settled


def alive_after(peer: Peer, key: str, end: datetime, bounds: Bounds) -> bool:
    """Whether a peer proves that a source was alive after an alert's end, and so that the end was no blindness.

    A source that was heard all along proves it with its next Watchdog. One that was heard again only after the end
    was cut off until then, and what still fires there may not have been heard again yet.
    """
    if doubt(peer, key, bounds):
        return False
    beat = peer.beats[key]
    return beat.latest > end and (beat.since <= end or misses_nothing(peer, key, bounds))
