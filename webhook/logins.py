"""Failed logins by where they come from: who fails too often is told to wait. The right token is never kept waiting.

This keeps guessing visible and its answers cheap. What makes a token safe is its length: 86,400 guesses a day do not
find 32 random bytes, and neither would a million times as many.
"""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

BURST = 100
"""So many failures from one address are answered 401 at once: a pair of Alertmanagers with yesterday's token, say."""

PER_SECOND = 1.0
"""And so many later on."""

_MOST_ADDRESSES = 4096
_IPV6_HOME_BITS = 64  # what one customer gets; counting single addresses would count nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What one more failed login means.

    Attributes:
        wait_seconds: how long the address has to wait, whole seconds; 0 while it need not.
        is_news: whether it is the first that has to wait, or the first at all, since the address was quiet.
    """

    wait_seconds: int
    is_news: bool


class Failures:
    """Counts failed logins, of the addresses that failed last."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        # Of each address: how much of its burst is used up, and when that was so. The latest stand last.
        self._used: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used)

    def count(self, address: str) -> Failure:
        """One more from this address."""
        now, home = self._monotonic(), _home(address)
        before, at = self._used.pop(home, (0.0, now))
        left = max(0.0, before - (now - at) * PER_SECOND)
        used = min(left + 1, BURST + 1.0)
        self._used[home] = (used, now)
        if len(self._used) > _MOST_ADDRESSES:
            self._used.popitem(last=False)
        waits = used > BURST
        return Failure(
            wait_seconds=math.ceil((used - BURST) / PER_SECOND) if waits else 0,
            is_news=left == 0 or (waits and before <= BURST),
        )


def _home(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, _IPV6_HOME_BITS), strict=False))
    return str(ip)
