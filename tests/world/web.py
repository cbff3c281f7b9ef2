"""JSON over HTTP with programs on loopback."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp

T = TypeVar("T")

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_POLL_SECONDS = 0.1


async def get_json(url: str, **params: str) -> Any:
    """The decoded answer.

    Raises:
        aiohttp.ClientResponseError: a status of 400 or above.
    """
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True) as session,
        session.get(url, params=params) as answer,
    ):
        return await answer.json()


async def post_json(url: str, body: object) -> Any:
    """The decoded answer, None where it is empty.

    Raises:
        aiohttp.ClientResponseError: a status of 400 or above.
    """
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True) as session,
        session.post(url, json=body) as answer,
    ):
        return await answer.json() if await answer.read() else None


async def poll(url: str, wanted: Callable[[Any], T], *, timeout_seconds: float) -> T:
    """Ask again until `wanted` finds something true in the answer, and return it.

    Prometheus and Alertmanager tell nobody of their changes, so there is nothing to wait for but the next answer.

    Raises:
        TimeoutError: with the last answer.
    """
    last: Any = None
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                last = await get_json(url)
                if found := wanted(last):
                    return found
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{url} did not show it within {timeout_seconds} s, last: {last}") from None


async def poll_text(url: str, wanted: str, *, timeout_seconds: float) -> None:
    """Ask again until these words are in the answer.

    Raises:
        TimeoutError: with the last answer.
    """
    last = ""
    try:
        async with asyncio.timeout(timeout_seconds), aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while wanted not in last:
                async with session.get(url) as answer:
                    last = await answer.text()
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise TimeoutError(f"{url} did not say {wanted!r} within {timeout_seconds} s, last: {last}") from None
