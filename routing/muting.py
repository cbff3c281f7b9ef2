"""What people read about alerts that fire and are kept quiet, and about ends that nothing has proved. Pure."""

from collections.abc import Collection, Iterable

from routing import model, wording

_BY_CHARACTERS = 80
_COMMENT_CHARACTERS = 120
_MOST_REASONS = 3


def sentences(incident: model.Incident, shows: model.Shown) -> list[str]:
    """One sentence for each thing that a destination shows beside what fires."""
    told = []
    if shows.silenced:
        told.append(_silenced(_named(incident, shows.silenced), whole=not shows.firing))
    if shows.inhibited:
        told.append(_inhibited(_named(incident, shows.inhibited), whole=shows.firing <= shows.inhibited))
    if shows.unconfirmed:
        told.append(
            _unconfirmed(_named(incident, shows.unconfirmed), whole=shows.firing <= shows.unconfirmed)
        )
    return told


def _named(incident: model.Incident, fingerprints: Collection[str]) -> list[model.Alert]:
    return [alert for fingerprint, alert in incident.alerts.items() if fingerprint in fingerprints]


def _silenced(alerts: Collection[model.Alert], *, whole: bool) -> str:
    mutes = {alert.muted for alert in alerts if alert.muted}
    reasons = [_silence(mute) for mute in sorted(mutes, key=lambda mute: (mute.by, mute.comment))]
    return f"{_subject(alerts, whole=whole)} silenced {_some(reasons) or 'in Alertmanager'}."


def _silence(mute: model.Mute) -> str:
    by = f"by {wording.short(mute.by, _BY_CHARACTERS)}" if mute.by else "in Alertmanager"
    until = f" until {wording.instant(mute.until)}" if mute.until else ""
    comment = f" ({wording.short(mute.comment, _COMMENT_CHARACTERS)})" if mute.comment else ""
    return by + until + comment


def _inhibited(alerts: Collection[model.Alert], *, whole: bool) -> str:
    mutes = {alert.muted for alert in alerts if alert.muted}
    kinds = {
        model.MuteKind.INHIBITED: "inhibited by {}",
        model.MuteKind.MUTED: "muted by the time interval {}",
    }
    reasons = [
        kinds[mute.kind].format(wording.short(mute.by, _BY_CHARACTERS))
        for mute in sorted(mutes, key=lambda mute: (mute.kind, mute.by))
        if mute.kind in kinds
    ]
    return f"{_subject(alerts, whole=whole)} {_some(reasons) or 'inhibited'}: it stays open, and nobody is reminded."


def _unconfirmed(alerts: Collection[model.Alert], *, whole: bool) -> str:
    heard = [alert.recovers_at for alert in alerts if alert.recovers_at]
    when = f" at {wording.instant(max(heard))}" if heard else ""
    what = "it resolved" if whole else f"{wording.plural(len(alerts), 'alert')} resolved"
    return (
        f"Recovery unconfirmed: Alertmanager said that {what}{when}, and nothing has proved since that its "
        "Prometheus is alive. It may still fire."
    )


def _subject(alerts: Collection[model.Alert], *, whole: bool) -> str:
    if whole:
        return "It is"
    return f"{wording.plural(len(alerts), 'alert')} {'is' if len(alerts) == 1 else 'are'}"


def _some(reasons: Iterable[str]) -> str:
    distinct = list(dict.fromkeys(reasons))
    return ", ".join(distinct[:_MOST_REASONS]) + (" and others" if len(distinct) > _MOST_REASONS else "")
