"""What Alertmanager's own lists say about what is on record: which alerts fire, are silenced, are over. Pure.

Messages alone cannot tell (DESIGN: four traps): a silence and its end come without a word, a resolve may be blindness,
an alert may vanish. What a list says counts only from peers that can be believed; what it does not say counts only
when none can have missed it.
"""

import enum
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from routing import model, peers


class Standing(NamedTuple):
    """An alert on record that fires, or is held, or whose end waits for proof.

    A tuple, as `Listed` is: the garbage collector does not walk through a hundred thousand of them again and again.

    Attributes:
        claims: the source that its labels claim.
        end: the end that was heard of it and is in doubt: of a held firing, or of a recovery without proof.
    """

    incident_id: str
    fingerprint: str
    receiver: str
    claims: str
    starts_at: datetime
    end: datetime | None
    held: bool
    muted: model.Mute | None


class Listed(NamedTuple):
    """An alert that an Alertmanager lists as firing, in one of its groups.

    Attributes:
        name: of the alert.
        updated_at: when Prometheus last sent it.
        mute: why it is not told; None when it is.
    """

    incident_id: str
    receiver: str
    name: str
    updated_at: datetime
    mute: model.Mute | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """An alert that is listed in a group for us, where it is not on record as firing."""

    group_labels: model.Labels
    alert: model.Alert
    listed: Listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one peer lists.

    Attributes:
        alerts: by fingerprint; an alert can be in several groups.
        strangers: those of them that are not on record.
        knows_mutes: whether its API says what a time interval mutes (from Alertmanager 0.28 on).
        complete: whether no stranger was left out for their number.
    """

    peer: peers.Peer
    alerts: Mapping[str, Sequence[Listed]] = field(default_factory=dict)
    strangers: Sequence[Stranger] = ()
    knows_mutes: bool = False
    complete: bool = True


class Kind(enum.StrEnum):
    """What was found out about an alert on record."""

    FIRES = "fires"
    RECOVERED = "recovered"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found out about an alert, and the state of the record that it rests on.

    Attributes:
        mute: of an alert that fires.
    """

    kind: Kind
    starts_at: datetime
    end: datetime | None
    mute: model.Mute | None = None


Findings = Mapping[str, Mapping[str, Finding]]
"""By incident and fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that one look found out.

    Attributes:
        findings: about alerts on record.
        unheard: strangers that nobody will tell of any more.
        told_whole: incidents whose last message left alerts out, of which all are on record now.
        absent: since when alerts are not listed that are not yet given up.
    """

    findings: Findings
    unheard: Sequence[Stranger]
    told_whole: frozenset[str]
    absent: Mapping[str, datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long Alertmanager takes to tell: the longest of all its routes."""

    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)


def judge(
    on_record: Iterable[Standing],
    listings: Collection[Listing],
    *,
    sources: Collection[str],
    partial: Collection[str],
    absent: Mapping[str, datetime],
    timing: Timing,
    bounds: peers.Bounds,
    now: datetime,
) -> Verdict:
    """Compare what is on record with what every configured peer lists.

    Args:
        on_record: as it was before the peers were asked.
        listings: of every configured peer; of one that did not answer, an empty one with its error.
        sources: every known one.
        partial: open incidents whose last message left alerts out.
        absent: what the look before returned.
        timing: how long messages take.
        bounds: which peers can be believed.
        now: the time.
    """
    look = _Look(listings, sources, bounds)
    findings: dict[str, dict[str, Finding]] = {}
    missing: dict[str, datetime] = {}
    fires_in: dict[str, set[str]] = {}
    for standing in on_record:
        found = look.find(standing)
        if found is None and look.is_gone(standing):
            since = absent.get(standing.fingerprint, now)
            if standing.muted or now - since >= timing.group_interval + bounds.late:
                found = _finding(standing, Kind.GONE)
            else:
                missing[standing.fingerprint] = since
        if found is not None:
            findings.setdefault(standing.incident_id, {})[standing.fingerprint] = found
        if look.has_strangers:
            fires_in.setdefault(standing.fingerprint, set()).add(standing.incident_id)
    return Verdict(
        findings=findings,
        unheard=look.unheard(fires_in, timing),
        told_whole=look.told_whole(partial),
        absent=missing,
    )


def unasked(on_record: Iterable[Standing]) -> Findings:
    """What holds where no Alertmanager can be asked: what was heard, and nothing is known to be silenced."""
    findings: dict[str, dict[str, Finding]] = {}
    for standing in on_record:
        if standing.end is not None and not standing.held:
            found = _finding(standing, Kind.RECOVERED)
        elif standing.muted is not None:
            found = _finding(standing, Kind.FIRES)
        else:
            continue
        findings.setdefault(standing.incident_id, {})[standing.fingerprint] = found
    return findings


def _finding(standing: Standing, kind: Kind, mute: model.Mute | None = None) -> Finding:
    return Finding(kind=kind, starts_at=standing.starts_at, end=standing.end, mute=mute)


class _Look:
    """The listings of one look, and which of them can be believed about which source."""

    def __init__(self, listings: Collection[Listing], sources: Collection[str], bounds: peers.Bounds) -> None:
        self._listings = listings
        self._sources = sources
        self._bounds = bounds
        self._believed: dict[str, Sequence[Listing]] = {}
        self._misses_nothing: dict[str, bool] = {}
        self.has_strangers = any(listing.strangers for listing in listings)

    def find(self, standing: Standing) -> Finding | None:
        """What those who can be believed say about an alert; None where that is nothing new."""
        believed = self._who_knows(standing.claims)
        listed = [one for each in believed for one in each.alerts.get(standing.fingerprint, ())]
        if standing.end is not None:
            # A peer that did not hear of the end goes on listing the alert until it expires there.
            listed = [one for one in listed if one.updated_at > standing.end]
        if listed:
            # One that Prometheus does not reach any more says what was true when it did.
            newest = max(one.updated_at for one in listed)
            listed = [one for one in listed if newest - one.updated_at <= self._bounds.settled]
            mute = _mute(_of_its_own_group(standing, listed))
            if standing.end is None and mute == standing.muted:
                return None
            return _finding(standing, Kind.FIRES, mute)
        if standing.end is not None and not standing.held and self._is_proved(standing, standing.end):
            return _finding(standing, Kind.RECOVERED)
        return None

    def is_gone(self, standing: Standing) -> bool:
        """Whether no peer lists an alert, and none of them can have missed it."""
        if standing.end is not None or any(standing.fingerprint in each.alerts for each in self._listings):
            return False
        return self._nobody_misses(standing.claims)

    def unheard(self, fires_in: Mapping[str, Collection[str]], timing: Timing) -> Sequence[Stranger]:
        """Strangers that should have been told of long ago, each once."""
        first_message = timing.group_wait + timing.group_interval + self._bounds.late
        found: dict[tuple[str, str], Stranger] = {}
        for listing in self._listings:
            for stranger in listing.strangers if listing.knows_mutes else ():
                fingerprint, there = stranger.alert.fingerprint, stranger.listed.incident_id
                believed = self._who_knows(peers.source(stranger.alert.labels))
                if (
                    stranger.listed.mute is None
                    and listing in believed
                    and listing.peer.at - stranger.alert.starts_at >= first_message
                    and not _stays(fingerprint, fires_in.get(fingerprint, ()), believed)
                ):
                    found.setdefault((there, fingerprint), stranger)
        return list(found.values())

    def told_whole(self, partial: Collection[str]) -> frozenset[str]:
        """Those of these incidents of which every alert that anybody lists is on record."""
        if not partial or not all(each.complete for each in self._listings):
            return frozenset()
        if not self._sources or not all(self._nobody_misses(source) for source in self._sources):
            return frozenset()
        not_on_record = {one.listed.incident_id for each in self._listings for one in each.strangers}
        return frozenset(partial) - not_on_record

    def _is_proved(self, standing: Standing, end: datetime) -> bool:
        keys = peers.belongs(standing.claims, self._sources)
        return bool(keys) and any(
            all(peers.alive_after(each.peer, key, end, self._bounds) for key in keys)
            for each in self._listings
        )

    def _who_knows(self, claims: str) -> Sequence[Listing]:
        known = self._believed.get(claims)
        if known is None:
            keys = peers.belongs(claims, self._sources)
            known = self._believed[claims] = [
                each
                for each in self._listings
                if keys and not any(peers.doubt(each.peer, key, self._bounds) for key in keys)
            ]
        return known

    def _nobody_misses(self, claims: str) -> bool:
        known = self._misses_nothing.get(claims)
        if known is None:
            keys = peers.belongs(claims, self._sources)
            known = self._misses_nothing[claims] = (
                bool(keys)
                and bool(self._listings)
                and all(
                    peers.misses_nothing(each.peer, key, self._bounds)
                    for each in self._listings
                    for key in keys
                )
            )
        return known


def _of_its_own_group(standing: Standing, listed: Sequence[Listed]) -> Sequence[Listed]:
    """Where an alert is listed, by how well the place fits: a time interval mutes one route and not another.

    A receiver that was renamed has another name than the record, and a `group_by` that was edited other groups; both
    still list the alert as firing.
    """
    tests: Sequence[Callable[[Listed], bool]] = (
        lambda one: (one.incident_id, one.receiver) == (standing.incident_id, standing.receiver),
        lambda one: one.incident_id == standing.incident_id,
    )
    for test in tests:
        if fitting := [one for one in listed if test(one)]:
            return fitting
    return listed


def _mute(listed: Sequence[Listed]) -> model.Mute | None:
    """Why none of these is told; None when one of them is. Of several reasons the one that lasts longest."""
    mutes = [one.mute for one in listed if one.mute is not None]
    if len(mutes) < len(listed):
        return None
    order = list(model.MuteKind)
    return min(
        mutes,
        key=lambda mute: (order.index(mute.kind), -(mute.until.timestamp() if mute.until else 0), mute.by),
    )


def _stays(fingerprint: str, fires_in: Collection[str], believed: Sequence[Listing]) -> bool:
    """Whether an alert is still listed in a group where it is on record as firing, and so did not move."""
    return any(one.incident_id in fires_in for each in believed for one in each.alerts.get(fingerprint, ()))
