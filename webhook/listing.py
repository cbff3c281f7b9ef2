"""Incidents as `phantommesh-alerts incidents` prints them. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from routing import message, model, wording
from webhook import shown


def as_text(situations: Sequence[model.Situation], *, now: datetime) -> str:
    """A few lines an incident: what it is, since when, and what each destination was told."""
    cards = [_card(situation) for situation in situations]
    return "\n\n".join("\n".join(_lines(card, now)) for card in cards) if cards else "no incidents"


def as_data(situations: Sequence[model.Situation]) -> list[dict[str, Any]]:
    """The same for scripts; times in ISO 8601, UTC."""
    return [_data(situation, _card(situation)) for situation in situations]


def _card(situation: model.Situation) -> shown.Card:
    return shown.card(situation, surroundings=message.Surroundings(), pages={})


def _lines(card: shown.Card, now: datetime) -> list[str]:
    if card.resolved_at is None:
        state = f"open for {wording.duration(now - card.opened_at)}"
    else:
        state = f"closed {wording.duration(now - card.resolved_at)} ago"
    again = f", episode {card.episode}" if card.episode > 1 else ""
    lines = [f"{card.tier} {card.title}", f"   {state}{again}, {wording.plural(card.firing, 'alert')} firing"]
    lines += [f"   {summary}" for summary in card.summaries if summary]
    lines += [f"   {told.destination}: {told.state}, {told.words}" for told in card.told]
    return [*lines, f"   {card.id}"]


def _data(situation: model.Situation, card: shown.Card) -> dict[str, Any]:
    return {
        "id": card.id,
        "priority": card.tier,
        "title": card.title,
        "open": card.open,
        "episode": card.episode,
        "opened_at": card.opened_at.isoformat(),
        "resolved_at": card.resolved_at.isoformat() if card.resolved_at else None,
        "group_labels": dict(situation.incident.group_labels),
        "firing": [
            {
                "fingerprint": alert.fingerprint,
                "labels": dict(alert.labels),
                "starts_at": alert.starts_at.isoformat(),
            }
            for alert in situation.incident.firing
        ],
        "destinations": {
            told.destination: {
                "state": told.state,
                "words": told.words,
                "told_at": told.at.isoformat() if told.at else None,
            }
            for told in card.told
        },
    }
