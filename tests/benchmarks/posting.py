"""Has a load made, and says what came of it."""

import asyncio
import json
import sys
from dataclasses import dataclass

from tests.benchmarks import bodies

CONNECTIONS = 32


class WrongAnswer(Exception):
    """Not everything was answered with 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a load came to.

    Attributes:
        busy: the share of the time in which the load itself worked. Near 1 it measured itself.
    """

    answered: int
    seconds: float
    busy: float
    p50_seconds: float
    p99_seconds: float
    longest_seconds: float

    @property
    def rate(self) -> float:
        return self.answered / self.seconds


async def post(
    address: str,
    template: str,
    *,
    groups: int,
    connections: int = CONNECTIONS,
    first: int = 0,
    seconds: float | None = None,
    count: int | None = None,
    rate: float | None = None,
) -> Outcome:
    """Post from a process of its own.

    Args:
        address: the whole address.
        template: from `bodies`.
        groups: how many groups the requests are about, in turn.
        connections: how many requests are under way at the most.
        first: the number of the first request.
        seconds: how long to post, or
        count: how many times.
        rate: requests a second; None: as fast as it is answered.

    Raises:
        WrongAnswer: an answer was not 200.
        RuntimeError: the load failed; with its error.
    """
    host, _, path = address.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    order = {
        "host": name, "port": int(port), "path": f"/{path}", "connections": connections, "template": template,
        "group": bodies.GROUP, "number": bodies.NUMBER, "groups": groups, "first": first,
        "seconds": seconds, "count": count, "rate": rate,
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.load",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await child.communicate(json.dumps(order).encode())
    if child.returncode:
        raise RuntimeError(f"the load failed: {errors.decode()}")
    told = json.loads(output)
    answers = told.pop("answers")
    if set(answers) != {"200"}:
        raise WrongAnswer(f"{address} answered {answers}")
    return Outcome(answered=answers["200"], **told)
