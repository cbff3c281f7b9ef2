"""Alertmanager's receivers: whom they tell, and of what they tell nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

from webhook import strictyaml

_Found = tuple[strictyaml.Path, str]

_EVENTS_V1 = {"service_key": "routing_key", "service_key_file": "routing_key_file"}
_SILENT_BY_DEFAULT = ("slack_configs", "email_configs")
"""Receivers that tell no resolve unless `send_resolved` says so; all others tell it."""

_OUR_PATH = "/webhook/alertmanager"


def read(document: strictyaml.Document) -> dict[str, frozenset[str]]:
    """What each receiver tells, by its name: `webhook_configs`, `pagerduty_configs` and so on."""
    return {
        str(entry["name"]): frozenset(
            kind for kind, settings in entry.items() if str(kind).endswith("_configs") and settings
        )
        for _, entry in _entries(document)
        if "name" in entry
    }


def of_document(document: strictyaml.Document) -> Iterator[_Found]:
    """Names that stand twice, Events v1, resolves that nobody hears, and a service that is told nothing."""
    seen: set[str] = set()
    urls: list[str] = []
    for path, entry in _entries(document):
        name = str(entry.get("name", ""))
        if name in seen:
            yield (
                path,
                f'there are two receivers "{name}", so Alertmanager does not start; name one of them anew',
            )
        seen.add(name)
        for kind, configs in entry.items():
            if not str(kind).endswith("_configs") or not isinstance(configs, list):
                continue
            for number, settings in enumerate(configs):
                if isinstance(settings, dict):
                    yield from _of_settings((*path, kind, number), str(kind), settings)
                    urls += [str(settings[key]) for key in ("url", "url_file") if key in settings]
    if seen and not any(url.rstrip("/").endswith(_OUR_PATH) or "://" not in url for url in urls):
        yield (
            ("receivers",),
            f"no receiver posts to PhantomMesh Alerts; write webhook_configs with url: http://HOST:9095{_OUR_PATH}",
        )


def _entries(document: strictyaml.Document) -> list[tuple[strictyaml.Path, dict[str, Any]]]:
    found = document.data.get("receivers") if isinstance(document.data, dict) else None
    return [
        (("receivers", number), entry)
        for number, entry in enumerate(found if isinstance(found, list) else ())
        if isinstance(entry, dict)
    ]


def _of_settings(path: strictyaml.Path, kind: str, settings: Mapping[str, Any]) -> Iterator[_Found]:
    for old, new in _EVENTS_V1.items():
        if old in settings:
            yield (
                (*path, old),
                f"{old} is PagerDuty's Events API v1; write {new}, an integration key of Events API v2",
            )
    if settings.get("send_resolved", kind not in _SILENT_BY_DEFAULT) is not True:
        place = (*path, "send_resolved") if "send_resolved" in settings else path
        yield place, f"{kind.removesuffix('_configs')} is told of no resolve; write send_resolved: true"
