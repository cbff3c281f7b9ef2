"""Web addresses for people, made from what alerts say and where things are here.

Every function returns "" where there is no address worth showing. Text in alerts is untrusted: an address is http
or https, has a plain host and no credentials, and everything else in it is percent-encoded.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

LONGEST_CHARACTERS = 2_000
"""A longer address is left out. Slack takes 3,000, old proxies and browsers about 2,000."""

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"
_QUERY_SAFE = _PATH_SAFE + "?"
_LOG_LABELS: Mapping[str, str] = {"namespace": "namespace", "service": "app", "pod": "pod"}
"""Alert label to Loki label, as Promtail and Alloy name them in Kubernetes."""
_LOGS_BEFORE = timedelta(minutes=15)


def web(address: str) -> str:
    """The address if it is one for people (see the module), encoded; else ""."""
    parts = _split(address)
    return "" if parts is None else _joined(parts)


def moved(address: str, base: str) -> str:
    """The address with the scheme, host and path prefix of `base`, which people can reach; as it is without one.

    Prometheus and Grafana often know themselves by a name inside the cluster only.
    """
    parts, onto = _split(address), _split(base)
    if parts is None:
        return ""
    if onto is None:
        return _joined(parts)
    prefix = onto.path.rstrip("/")
    path = parts.path if parts.path.startswith(prefix + "/") else prefix + parts.path
    return _joined(parts._replace(scheme=onto.scheme, netloc=onto.netloc, path=path))


def page(external_url: str, *segments: str) -> str:
    """A page of this service."""
    path = "/".join(_encoded(segment) for segment in segments)
    return web(f"{external_url.rstrip('/')}/{path}")


def logs(labels: Mapping[str, str], *, since: datetime, grafana_url: str) -> str:
    """Grafana's explorer on Loki, on what the labels name, from a quarter of an hour before the alert.

    Loki alone has an API and no page for people, so it takes Grafana.
    """
    matchers = [
        f"{loki_label}={json.dumps(labels[label], ensure_ascii=False)}"
        for label, loki_label in _LOG_LABELS.items()
        if labels.get(label)
    ]
    if not matchers or not grafana_url:
        return ""
    left = {
        "datasource": "loki",
        "queries": [{"refId": "A", "expr": "{" + ",".join(matchers) + "}"}],
        "range": {"from": str(int(since.timestamp() - _LOGS_BEFORE.total_seconds()) * 1000), "to": "now"},
    }
    query = _encoded(json.dumps(left, ensure_ascii=False, separators=(",", ":")))
    return web(f"{grafana_url.rstrip('/')}/explore?left={query}")


def silence(group_labels: Mapping[str, str], *, alertmanager_url: str, external_url: str) -> str:
    """Alertmanager's form for a new silence with this group's labels as its matchers.

    Without group labels there is none: it would silence everything.

    Args:
        group_labels: the incident's.
        alertmanager_url: where people reach it; the first of several, comma-separated.
        external_url: how it names itself in its messages, for want of the other.
    """
    base = alertmanager_url.split(",", maxsplit=1)[0].strip() or external_url
    if not group_labels or not base:
        return ""
    matchers = ",".join(
        f"{_matcher_name(name)}={_quoted(group_labels[name])}" for name in sorted(group_labels)
    )
    filtered = _encoded("{" + matchers + "}")
    return web(f"{base.rstrip('/')}/#/silences/new?filter={filtered}")


def _encoded(text: str) -> str:
    """The text inside an address; of one that makes the address too long only so much that it stays too long."""
    return quote(text[: LONGEST_CHARACTERS + 1], safe="", errors="replace")


def _split(address: str) -> SplitResult | None:
    # urlsplit drops tabs and line ends without a word. What is too long stays so: no part of it gets shorter.
    if len(address) > LONGEST_CHARACTERS or not address.isprintable():
        return None
    try:
        parts = urlsplit(address.strip())
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and _HOST.fullmatch(parts.netloc) else None


def _joined(parts: SplitResult) -> str:
    address = urlunsplit(
        parts._replace(
            path=quote(parts.path, safe=_PATH_SAFE),
            query=quote(parts.query, safe=_QUERY_SAFE),
            fragment=quote(parts.fragment, safe=_QUERY_SAFE),
        )
    )
    return address if len(address) <= LONGEST_CHARACTERS else ""


def _matcher_name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
