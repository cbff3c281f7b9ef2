"""From the bytes of an Alertmanager message, version 4, to a notification.

The fast way decodes and validates in one typed step. What it refuses goes the slow way, by the published
schema (`webhook.faults`). A property test holds the two to one verdict.
"""

import functools
import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from routing import model
from webhook import faults

_Map = dict[str, str] | None
_Status = Literal["firing", "resolved"]


class _Alert(msgspec.Struct, gc=False):
    status: _Status
    labels: msgspec.Raw
    starts_at: faults.Time = msgspec.field(name="startsAt")
    annotations: _Map = None
    ends_at: faults.Time | None = msgspec.field(name="endsAt", default=None)
    generator_url: str | None = msgspec.field(name="generatorURL", default=None)
    fingerprint: str | None = None


class _Message(msgspec.Struct, gc=False):
    version: Literal["4"]
    group_labels: _Map = msgspec.field(name="groupLabels")
    alerts: Annotated[list[_Alert], msgspec.Meta(min_length=1)]
    receiver: str | None = None
    status: _Status | None = None
    group_key: str | None = msgspec.field(name="groupKey", default=None)
    external_url: str | None = msgspec.field(name="externalURL", default=None)
    common_labels: _Map = msgspec.field(name="commonLabels", default=None)
    common_annotations: _Map = msgspec.field(name="commonAnnotations", default=None)
    truncated_alerts: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = msgspec.field(
        name="truncatedAlerts", default=None
    )


_decode = msgspec.json.Decoder(_Message).decode
_decode_map = msgspec.json.Decoder(_Map).decode
_encode = msgspec.json.Encoder().encode
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SHORT_BYTES = 1024
_MOST_FINGERPRINTS = 1 << 17
_fingerprints: dict[bytes, str] = {}
_STATUS = {status.value: status for status in model.AlertStatus}


def decode(body: bytes, *, now: datetime) -> model.Notification:
    """Read a message. A map that is null is empty; an absent or null field has its default.

    Args:
        body: as it arrived.
        now: when it arrived: the end of a resolved alert that names none, the start of one that names year 1
            (Go's zero time).

    Raises:
        faults.Malformed: it is no message of version 4.
    """
    try:
        return _read(body, now)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read(_encode(faults.mend(body)), now)


def _read(body: bytes, now: datetime) -> model.Notification:
    message = _decode(body)
    return model.Notification(
        group_labels=message.group_labels or {},
        alerts=tuple([_alert(alert, now) for alert in message.alerts]),
        # Alertmanager escapes it for a regular expression: `web\.hook`.
        receiver=_ESCAPED.sub(r"\1", message.receiver or ""),
        external_url=message.external_url or "",
        truncated_alerts=message.truncated_alerts or 0,
    )


def _alert(heard: _Alert, now: datetime) -> model.Alert:
    # Never the fingerprint in the message: it is the alert's identity, and a copied one in a message of another
    # sender's would move the alert out of the incident that is open with it.
    labels, fingerprint = _labels(bytes(heard.labels))
    starts_at = _set(heard.starts_at) or now
    return model.Alert(
        fingerprint=fingerprint,
        status=_STATUS[heard.status],
        labels=labels,
        annotations=heard.annotations or {},
        starts_at=starts_at,
        # While it fires Alertmanager sends Go's zero time, and its status alone counts.
        ends_at=None if heard.status == "firing" else _set(heard.ends_at) or max(now, starts_at),
        generator_url=heard.generator_url or "",
    )


def _labels(text: bytes) -> tuple[model.Labels, str]:
    """The labels in this JSON, and their fingerprint."""
    return _short_labels(text) if len(text) <= _SHORT_BYTES else _read_labels(text)


def _read_labels(text: bytes) -> tuple[model.Labels, str]:
    labels = _decode_map(text) or {}
    return labels, fingerprint(labels)


# Repeats are most of what comes. What is longer is not kept: thousands of those could fill the memory.
_short_labels = functools.lru_cache(maxsize=8192)(_read_labels)


def _set(time: datetime | None) -> datetime | None:
    if time is None or time.year == 1:
        return None
    if time.tzinfo is UTC:
        return time
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # An offset can carry the last hours of the calendar beyond it.
        return time.replace(tzinfo=UTC)


def fingerprint(labels: model.Labels) -> str:
    """Alertmanager's fingerprint: 64-bit FNV-1a over the sorted labels, each name and value ended by 0xFF."""
    text = b"".join(
        [b"%b\xff%b\xff" % (name.encode(), value.encode()) for name, value in sorted(labels.items())]
    )
    # A loop over bytes is slow here (22 us an alert), and a hundred thousand alerts may come again and again.
    key = hashlib.blake2b(text, digest_size=16).digest()
    found = _fingerprints.get(key)
    if found is None:
        if len(_fingerprints) >= _MOST_FINGERPRINTS:
            _fingerprints.clear()
        found = _fingerprints[key] = _fnv_1a(text)
    return found


def _fnv_1a(text: bytes) -> str:
    digest = 0xCBF29CE484222325
    for byte in text:
        digest = (digest ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{digest:016x}"
