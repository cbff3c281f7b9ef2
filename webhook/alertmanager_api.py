"""What an Alertmanager says when it is asked: its API v2, from 0.25 on. The one place that knows it.

Every call has a deadline. A list of groups can be hundreds of megabytes: it is cut into pieces of whole groups while
it arrives, and no more than a piece is in memory at once.
"""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any

import aiohttp
import msgspec
import yaml

from webhook import ruledata

_ANSWER = aiohttp.ClientTimeout(total=5.0, connect=3.0)
_LIST = aiohttp.ClientTimeout(total=25.0, connect=3.0)
_CHUNK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
_LARGEST_GROUP_BYTES = 64 << 20
_LARGEST_ANSWER_BYTES = 16 << 20
_OK = 200

_BETWEEN_GROUPS = b',{"alerts":['
"""Alertmanager writes compact JSON with `alerts` as a group's first key. These bytes cannot stand inside of a text,
where quotes are escaped. Where they are missing a list is read in one piece."""


class Unanswered(Exception):
    """An Alertmanager could not be asked, or its answer cannot be read. The text is for people."""


class Status(msgspec.Struct, kw_only=True):
    """Of one Alertmanager.

    Attributes:
        at: when it answered, by its own clock (to the second); by ours where it does not say.
        started_at: since when it is up.
        group_wait: the longest of its routes.
        group_interval: the longest of its routes.
    """

    at: datetime
    started_at: datetime
    group_wait: timedelta
    group_interval: timedelta


class AlertState(msgspec.Struct, gc=False):
    """Whether, and why, an alert is not told. `muted_by` is None where the API does not know it (before 0.28)."""

    state: str
    silenced_by: Sequence[str] = msgspec.field(name="silencedBy", default=())
    inhibited_by: Sequence[str] = msgspec.field(name="inhibitedBy", default=())
    muted_by: Sequence[str] | None = msgspec.field(name="mutedBy", default=None)


_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class ListedAlert(msgspec.Struct, gc=False):
    """An alert that fires; those that are over are not listed."""

    fingerprint: str
    labels: dict[str, str]
    starts_at: _Instant = msgspec.field(name="startsAt")
    updated_at: _Instant = msgspec.field(name="updatedAt")
    status: AlertState
    annotations: dict[str, str] = {}
    generator_url: str = msgspec.field(name="generatorURL", default="")


class _Receiver(msgspec.Struct, gc=False):
    name: str


class Group(msgspec.Struct, gc=False):
    """A group of one of its routes."""

    alerts: list[ListedAlert]
    labels: dict[str, str]
    receiver: _Receiver


class Silence(msgspec.Struct, gc=False):
    """One silence."""

    id: str
    created_by: str = msgspec.field(name="createdBy")
    comment: str
    ends_at: _Instant = msgspec.field(name="endsAt")


class _Config(msgspec.Struct):
    original: str = ""


class _Status(msgspec.Struct):
    uptime: _Instant
    config: _Config


_status = msgspec.json.Decoder(_Status)
_groups = msgspec.json.Decoder(list[Group] | None)
_silences = msgspec.json.Decoder(list[Silence] | None)


class Api:
    """Asks Alertmanagers, by their base addresses. To be closed."""

    def __init__(self) -> None:
        self._session = aiohttp.ClientSession(trust_env=True)

    async def close(self) -> None:
        """Free the connections."""
        await self._session.close()

    async def status(self, base: str, *, now: datetime) -> Status:
        """Since when it is up, and how long it takes to tell.

        Raises:
            Unanswered: it does not answer, or not as an Alertmanager does.
        """
        async with _asking(_ANSWER), self._get(base, "status", _ANSWER) as response:
            _check(response)
            found = _status.decode(await _whole(response))
            at = _date(response.headers.get("Date", "")) or now
        wait, interval = await asyncio.to_thread(timing, found.config.original)
        return Status(at=at, started_at=found.uptime, group_wait=wait, group_interval=interval)

    async def groups(self, base: str, take: Callable[[Sequence[Group]], None]) -> None:
        """Hand over every group of every route, some at a time, in a thread.

        Raises:
            Unanswered: the list did not arrive whole.
        """
        async with _asking(_LIST), self._get(base, "alerts/groups", _LIST) as response:
            _check(response)
            rest = bytearray()
            wanted = _PIECE_BYTES
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                rest += chunk
                if len(rest) < wanted:
                    continue
                cut = rest.rfind(_BETWEEN_GROUPS)
                if cut < 0:
                    wanted = _grown(wanted)
                    continue
                piece = bytes(rest[:cut]) + b"]"
                rest[: cut + 1] = b"["
                wanted = _PIECE_BYTES
                await asyncio.to_thread(_hand_over, piece, take)
            await asyncio.to_thread(_hand_over, bytes(rest), take)

    async def silences(self, base: str) -> Mapping[str, Silence]:
        """Every silence that it keeps, by id.

        Raises:
            Unanswered: it does not answer, or not as an Alertmanager does.
        """
        async with _asking(_ANSWER), self._get(base, "silences", _ANSWER) as response:
            _check(response)
            found = _silences.decode(await _whole(response))
        return {silence.id: silence for silence in found or ()}

    def _get(self, base: str, what: str, limits: aiohttp.ClientTimeout) -> Any:
        return self._session.get(f"{base}/api/v2/{what}", timeout=limits, allow_redirects=False)


@contextlib.asynccontextmanager
async def _asking(limits: aiohttp.ClientTimeout) -> AsyncIterator[None]:
    """Turns every way of not getting an answer into `Unanswered`."""
    try:
        async with asyncio.timeout(limits.total):
            yield
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unanswered(f"its answer cannot be read: {error}") from error
    except TimeoutError as error:
        raise Unanswered("it does not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unanswered(f"it cannot be reached ({type(error).__name__})") from error


def _check(response: aiohttp.ClientResponse) -> None:
    if response.status != _OK:
        raise Unanswered(f"it answers {response.status}")


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > _LARGEST_ANSWER_BYTES:
            raise Unanswered(f"its answer is larger than {_LARGEST_ANSWER_BYTES >> 20} MiB")
    return bytes(body)


def _grown(wanted: int) -> int:
    if wanted >= _LARGEST_GROUP_BYTES:
        raise Unanswered(f"it lists a group of more than {_LARGEST_GROUP_BYTES >> 20} MiB")
    return wanted * 2


def _hand_over(piece: bytes, take: Callable[[Sequence[Group]], None]) -> None:
    take(_groups.decode(piece) or ())


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- its configuration, as it shows it ---

_DEFAULTS = {"group_wait": timedelta(seconds=30), "group_interval": timedelta(minutes=5)}


@functools.lru_cache(maxsize=16)  # it is asked often and changes rarely
def timing(config: str) -> tuple[timedelta, timedelta]:
    """The longest `group_wait` and `group_interval` of all routes in a configuration; its defaults when unreadable."""
    try:
        loaded = yaml.safe_load(config)
    except yaml.YAMLError:
        loaded = None
    route = loaded.get("route") if isinstance(loaded, dict) else None
    longest = {name: _longest(route, name, default) for name, default in _DEFAULTS.items()}
    return longest["group_wait"], longest["group_interval"]


def _longest(route: Any, name: str, inherited: timedelta) -> timedelta:
    if not isinstance(route, dict):
        return inherited
    own = _duration(route.get(name), inherited)
    return max([own, *(_longest(child, name, own) for child in route.get("routes") or ())])


def _duration(text: object, default: timedelta) -> timedelta:
    if not isinstance(text, str) or not ruledata.is_duration(text):
        return default
    return timedelta(seconds=ruledata.seconds(text))
