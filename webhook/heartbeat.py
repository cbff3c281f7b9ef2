"""An outside dead-man's switch: an address that is fetched as long as all is well here (`HEARTBEAT_URL`).

Nobody watches a dead cluster from inside it. Whoever is behind the address raises the alarm when it falls silent.
"""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable

import aiohttp

from webhook import environment

PERIOD_SECONDS = 60.0
DEADLINE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Outcome(enum.StrEnum):
    """What became of one beat."""

    SENT = "sent"
    FAILED = "failed"
    WITHHELD = "withheld"


class Heart:
    """Beats once a minute, and not while something is wrong.

    Args:
        address: the address, None where there is none; asked at each beat. It holds a token and is never logged.
        trouble: why all is not well; "" when it is.
        beaten: hears of every beat.
    """

    def __init__(
        self,
        *,
        address: Callable[[], environment.Secret | None],
        trouble: Callable[[], Awaitable[str]],
        beaten: Callable[[Outcome], object],
    ) -> None:
        self._address = address
        self._trouble = trouble
        self._beaten = beaten
        self._told = ""

    async def run(self) -> None:
        """Beat once a minute, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            next_at = loop.time() + PERIOD_SECONDS
            await self.beat()
            await asyncio.sleep(next_at - loop.time())

    async def beat(self) -> None:
        """Fetch the address, if there is one and all is well."""
        address = self._address()
        if address is None:
            return
        trouble = await self._trouble()
        if trouble:
            self._conclude(Outcome.WITHHELD, f"the heartbeat is withheld: {trouble}")
            return
        fault = await _fetch(address)
        if fault:
            self._conclude(Outcome.FAILED, f"the heartbeat did not get through: {fault}")
        else:
            self._conclude(Outcome.SENT, "")

    def _conclude(self, outcome: Outcome, text: str) -> None:
        self._beaten(outcome)
        if text == self._told:
            return
        if text:
            _log.warning("%s", text)
        else:
            _log.info("the heartbeat is sent again")
        self._told = text


async def _fetch(address: environment.Secret) -> str:
    """Fetch it once; returns what went wrong, without the address."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_SECONDS)) as session,
            session.get(address.reveal(), allow_redirects=False) as answer,
        ):
            return "" if answer.ok and answer.status < 300 else f"it answered {answer.status}"  # noqa: PLR2004
    except TimeoutError:
        return f"no answer within {DEADLINE_SECONDS:g} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # Only the kind: texts of aiohttp's errors hold the address.
        return type(error).__name__
