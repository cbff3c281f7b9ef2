"""What the status of an HTTP answer means, for every vendor: the one table of failures (DESIGN: invariant 7).

A vendor knows its receipt and its own words for trouble, looks for these first, and leaves the rest to this table.
"""

from routing.destinations import contract

PASSING = frozenset({408, 409, 421, 425, 429})
"""With every 5xx: it may work later."""

REFUSED = frozenset({400, 411, 413, 414, 415, 422, 431})
"""They speak of the event. Any other 4xx, and a redirect, speaks of the address or of our credentials."""

_TOO_MANY = 429
_SURELY_NOT_TAKEN = frozenset({*PASSING, 503})
"""A 500, or a gateway's 502 or 504, may come after the message was taken."""

_LONGEST_RETRY_AFTER_SECONDS = 300
"""Who says more means a maintenance or a ban, and may be over it long before; a probe in 5 minutes harms nobody."""


def failure(status: int, text: str, *, retry_after: str = "") -> contract.Failure:
    """The failure behind an answer that is no receipt.

    A 2xx that is no receipt comes from something in between (a proxy, a sign-in page). Nothing says that the
    message was taken, and nothing that it was not: a rare repeat is better than a loss.

    Args:
        status: of the answer.
        text: for people.
        retry_after: the header's value; "" where there is none.
    """
    if status in PASSING or status >= 500:  # noqa: PLR2004 - a class of statuses
        return contract.Passing(
            text,
            outcome_known=status in _SURELY_NOT_TAKEN,
            retry_after_seconds=retry_after_seconds(retry_after),
            too_many=status == _TOO_MANY,
        )
    if status in REFUSED:
        return contract.Refused(text)
    if status < 300:  # noqa: PLR2004 - a class of statuses
        return contract.Passing(f"{text}, which is no receipt", outcome_known=False)
    return contract.Broken(text)


def retry_after_seconds(header: str) -> float | None:
    """Whole seconds, at most 5 minutes; None for a date or anything else."""
    digits = header.strip()
    if not (digits.isascii() and digits.isdigit()):
        return None
    # Longer than the cap in any case, and int() refuses thousands of digits.
    return float(min(int(digits[:9]), _LONGEST_RETRY_AFTER_SECONDS))
