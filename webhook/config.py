"""The configuration: routing.yml and the environment, checked as a whole and typed.

This is the only reader of the environment and of secret files. `load` either returns settings that can work or
raises with everything that is wrong, so a reload that fails changes nothing.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import routing
from routing import failover, matchers, message, sources, tree
from webhook import certificates, config_faults, environment, strictyaml
from webhook.store import contract

PACKAGED = Path(routing.__file__).with_name("routing.yml")
"""The default configuration."""

PAGERDUTY_EVENTS_URL = "https://events.pagerduty.com"
"""PagerDuty's US region: the default of the variable of this name."""

ConfigFaults = config_faults.ConfigFaults


@dataclass(frozen=True, slots=True, kw_only=True)
class PagerDuty:
    """A PagerDuty service.

    Attributes:
        retired: kept for its resolves only.
        line: where it stands in its file, from 1.
        routing_key: an integration key of Events API v2; None where it is not set.
        previous_key: the key before it, during a rotation; None where there is none.
        secret_from: where the key comes from, for people: a variable's name or a path.
        events_url: the base of the Events API, without a path.
    """

    kind: ClassVar = "pagerduty"
    name: str
    retired: bool
    line: int
    routing_key: environment.Secret | None
    previous_key: environment.Secret | None
    secret_from: str
    events_url: str

    @property
    def dry(self) -> bool:
        """Whether its secret is not set, so that what it would be sent is printed to the log instead."""
        return self.routing_key is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """A Slack channel, through its incoming webhook.

    Attributes:
        retired: kept for its resolves only.
        line: where it stands in its file, from 1.
        webhook: the incoming webhook's address, a secret; None where it is not set.
        secret_from: where the address comes from, for people: a variable's name or a path.
        channel: its name, for people; the webhook decides where messages really go.
    """

    kind: ClassVar = "slack"
    name: str
    retired: bool
    line: int
    webhook: environment.Secret | None
    secret_from: str
    channel: str

    @property
    def dry(self) -> bool:
        """Whether its secret is not set, so that what it would be sent is printed to the log instead."""
        return self.webhook is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """This service's own log."""

    kind: ClassVar = "log"
    dry: ClassVar = False
    secret_from: ClassVar = ""
    name: str
    retired: bool
    line: int


Destination = PagerDuty | Slack | Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What can be seen without a token."""

    pages_open: bool = True
    metrics_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A configuration that can work.

    Attributes:
        file: where it was read from, as the user named it.
        destinations: by name, in the file's order.
        root: the tree of routes.
        surroundings: the addresses that links are made of.
        alertmanager_urls: every Alertmanager; `surroundings` has the first.
        sources: which Watchdogs should be heard.
        backups: who is told in the place of a destination that does not take a P1, by its name.
        escalation: whom people should call when a page goes astray, in this order.
        heartbeat_url: an outside dead-man's switch, a secret; None where it is not set.
        webhook_token: asked for by the webhook and by all that changes something; None where it is not set.
        previous_webhook_token: taken as well, during a rotation.
        tls: None for plain HTTP.
        database_file: the SQLite file, relative to the state directory; "" for the store's own default.
    """

    file: str
    destinations: Mapping[str, Destination]
    root: tree.Route
    surroundings: message.Surroundings
    alertmanager_urls: tuple[str, ...]
    sources: sources.Policy
    backups: failover.Backups
    escalation: tuple[message.Contact, ...]
    heartbeat_url: environment.Secret | None
    webhook_token: environment.Secret | None
    previous_webhook_token: environment.Secret | None
    max_body_bytes: int
    retention: contract.Retention
    access: Access
    tls: certificates.Files | None
    database_file: str

    @property
    def live_paging_destinations(self) -> tuple[str, ...]:
        """Where a P1 pages somebody: `serve` refuses to start without one (PRODUCT: configuration)."""
        told = tree.names(tree.destinations_for(self.root, _ANY_P1))
        return tuple(
            name
            for name in told
            if isinstance(entry := self.destinations[name], PagerDuty) and not (entry.dry or entry.retired)
        )


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check a configuration, with all secrets that it names.

    Args:
        file: None for the packaged default.
        environ: None for the process's environment.

    Raises:
        ConfigFaults: with everything that is wrong.
    """
    file = file or PACKAGED
    try:
        document = strictyaml.read(file.read_bytes())
    except OSError as error:
        raise ConfigFaults([_fault(file, None, f"cannot be read: {error.strerror}")]) from error
    except strictyaml.Unreadable as error:
        raise ConfigFaults([_fault(file, fault.place.line, fault.text) for fault in error.faults]) from error
    misfits = config_faults.of_document(document)
    if misfits:
        raise ConfigFaults(
            [
                _fault(file, document.place(path).line, f"{config_faults.spoken(path)}: {text}".lstrip(": "))
                for path, text in misfits
            ]
        )
    loading = _Loading(file=file, document=document, environ=os.environ if environ is None else environ)
    settings = loading.settings()
    if loading.faults:
        raise ConfigFaults(loading.faults)
    return settings


_ANY_P1 = {"priority": "P1"}
_FAILOVER_SECONDS = 45


def _fault(file: Path, line: int | None, text: str) -> config_faults.Fault:
    return config_faults.Fault(file=str(file), line=line, text=text)


@dataclass(slots=True, kw_only=True)
class _Loading:
    """Builds settings from a document that fits the schema, and gathers what is wrong beyond it."""

    file: Path
    document: strictyaml.Document
    environ: Mapping[str, str]
    faults: list[config_faults.Fault] = field(default_factory=list)

    def settings(self) -> Settings:
        data = self.document.data
        destinations = {name: self._destination(name, entry) for name, entry in data["destinations"].items()}
        faults_so_far = len(self.faults)
        root = self._route(data["route"], ("route",), destinations, inherits=False)
        if len(self.faults) == faults_so_far and not tree.names(tree.destinations_for(root, _ANY_P1)):
            self._wrong(("route",), 'no route takes a P1; add one with the matcher priority="P1"')
        alertmanager_urls = self._addresses("ALERTMANAGER_URL")
        webhook_token = self._variable("WEBHOOK_TOKEN", environment.token)
        previous_token = self._variable("WEBHOOK_TOKEN_PREVIOUS", environment.token)
        if previous_token and not webhook_token:
            self._wrong_outside(
                "WEBHOOK_TOKEN_PREVIOUS is set and WEBHOOK_TOKEN is not; set the new token too"
            )
        heartbeat_url = self._variable("HEARTBEAT_URL", environment.web_address)
        return Settings(
            file=str(self.file),
            destinations=destinations,
            root=root,
            surroundings=message.Surroundings(
                external_url=self._variable("EXTERNAL_URL", environment.base_address),
                prometheus_url=self._variable("PROMETHEUS_URL", environment.base_address),
                alertmanager_url=next(iter(alertmanager_urls), ""),
                grafana_url=self._variable("GRAFANA_URL", environment.base_address),
                loki_url=self._variable("LOKI_URL", environment.base_address),
            ),
            alertmanager_urls=alertmanager_urls,
            sources=_sources(data.get("sources", {})),
            backups=self._backups(data["destinations"], destinations),
            escalation=tuple(message.Contact(**each) for each in data.get("escalation", ())),
            heartbeat_url=environment.Secret(heartbeat_url) if heartbeat_url else None,
            webhook_token=environment.Secret(webhook_token) if webhook_token else None,
            previous_webhook_token=environment.Secret(previous_token) if previous_token else None,
            max_body_bytes=data.get("max_body_bytes", 16_777_216),
            retention=_retention(data.get("retention", {})),
            access=self._access(data.get("access", {}), has_token=bool(webhook_token)),
            tls=self._tls(data["tls"]) if "tls" in data else None,
            database_file=self._database_file(),
        )

    def _wrong(self, path: strictyaml.Path, text: str) -> None:
        line = self.document.place(path).line
        self.faults.append(_fault(self.file, line, f"{config_faults.spoken(path)}: {text}"))

    def _wrong_outside(self, text: str) -> None:
        self.faults.append(config_faults.Fault(file="environment", line=None, text=text))

    def _destination(self, name: str, entry: Mapping[str, Any]) -> Destination:
        path = ("destinations", name)
        retired, line = entry.get("retired", False), self.document.place(path).line
        match entry["kind"]:
            case "pagerduty":
                key, origin = self._secret((*path, "routing_key"), entry["routing_key"], environment.token)
                previous = self._previous_key((*path, "routing_key_previous"), entry, has_key=key is not None)
                return PagerDuty(
                    name=name,
                    retired=retired,
                    line=line,
                    routing_key=key,
                    previous_key=previous,
                    secret_from=origin,
                    events_url=self._events_url(path, entry),
                )
            case "slack":
                webhook, origin = self._secret((*path, "webhook"), entry["webhook"], environment.web_address)
                return Slack(
                    name=name,
                    retired=retired,
                    line=line,
                    webhook=webhook,
                    secret_from=origin,
                    channel=entry["channel"],
                )
            case _:
                return Log(name=name, retired=retired, line=line)

    def _previous_key(
        self, path: strictyaml.Path, entry: Mapping[str, Any], *, has_key: bool
    ) -> environment.Secret | None:
        if "routing_key_previous" not in entry:
            return None
        key, origin = self._secret(path, entry["routing_key_previous"], environment.token)
        if key is not None and not has_key:
            self._wrong(path, f"{origin} is set and routing_key's secret is not; set the new key too")
        return key

    def _backups(
        self, entries: Mapping[str, Mapping[str, Any]], known: Mapping[str, Destination]
    ) -> failover.Backups:
        backups: dict[str, failover.Backup] = {}
        for name, entry in entries.items():
            if "failover" not in entry:
                continue
            to, path = entry["failover"]["to"], ("destinations", name, "failover", "to")
            self._check_name(to, known, path)
            if to == name:
                self._wrong(path, "is the destination itself; name another one")
            elif isinstance(known.get(to), Log):
                self._wrong(path, f'"{to}" is a log, which calls nobody; name one of kind pagerduty or slack')
            backups[name] = failover.Backup(
                to=to,
                after_seconds=entry["failover"].get("after_seconds", _FAILOVER_SECONDS),
                title=_title(known[name]),
                pages=isinstance(known[name], PagerDuty),
            )
        return backups

    def _secret(
        self, path: strictyaml.Path, source: Mapping[str, str], checked: Callable[[str], str]
    ) -> tuple[environment.Secret | None, str]:
        """A secret, None where it is not set or unusable, and where it comes from."""
        origin = source["env"] if "env" in source else str(self.file.parent / source["file"])
        try:
            value = (
                environment.variable(self.environ, origin)
                if "env" in source
                else environment.file(Path(origin))
            )
        except environment.Unusable as error:
            self._wrong(path, str(error))
            return None, origin
        try:
            return (environment.Secret(checked(value)) if value else None), origin
        except environment.Unusable as error:
            self._wrong(path, f"the value of {origin} {error}")
            return None, origin

    def _events_url(self, path: strictyaml.Path, entry: Mapping[str, Any]) -> str:
        if "events_url" not in entry:
            return self._variable("PAGERDUTY_EVENTS_URL", environment.events_base) or PAGERDUTY_EVENTS_URL
        try:
            return environment.events_base(entry["events_url"])
        except environment.Unusable as error:
            self._wrong((*path, "events_url"), str(error))
            return ""

    def _variable(self, name: str, checked: Callable[[str], str]) -> str:
        """A variable's value; "" where it is not set or unusable."""
        try:
            value = environment.variable(self.environ, name)
        except environment.Unusable as error:
            self._wrong_outside(str(error))
            return ""
        try:
            return checked(value) if value else ""
        except environment.Unusable as error:
            self._wrong_outside(f"{name} {error}")
            return ""

    def _addresses(self, name: str) -> tuple[str, ...]:
        def each(value: str) -> str:
            return ",".join(
                environment.base_address(part.strip()) for part in value.split(",") if part.strip()
            )

        return tuple(filter(None, self._variable(name, each).split(",")))

    def _database_file(self) -> str:
        return self._variable("DATABASE_URL", environment.sqlite_file)

    def _route(
        self,
        entry: Mapping[str, Any],
        path: strictyaml.Path,
        known: Mapping[str, Destination],
        *,
        inherits: bool,
    ) -> tree.Route:
        names, children = tuple(entry.get("destinations", ())), entry.get("routes", ())
        reaches = inherits or bool(names)
        for index, name in enumerate(names):
            self._check_name(name, known, (*path, "destinations", index))
        if not reaches and not children:
            self._wrong(path, "goes nowhere: it has no destinations, and neither has any route above it")
        return tree.Route(
            matchers=tuple(
                matcher
                for index, source in enumerate(entry.get("matchers", ()))
                for matcher in self._matchers(source, (*path, "matchers", index))
            ),
            destinations=names,
            continue_=entry.get("continue", False),
            routes=tuple(
                self._route(child, (*path, "routes", index), known, inherits=reaches)
                for index, child in enumerate(children)
            ),
            line=self.document.place(path).line,
        )

    def _matchers(self, source: str, path: strictyaml.Path) -> tuple[matchers.Matcher, ...]:
        try:
            return matchers.parse(source)
        except matchers.Unreadable as error:
            self._wrong(path, str(error))
            return ()

    def _check_name(self, name: str, known: Mapping[str, Destination], path: strictyaml.Path) -> None:
        if name not in known:
            current = [other for other, entry in known.items() if not entry.retired]
            self._wrong(path, f'unknown destination "{name}"{config_faults.did_you_mean(name, current)}')
        elif known[name].retired:
            self._wrong(path, f'"{name}" is retired: it is kept for its resolves, and no route may name it')

    def _access(self, entry: Mapping[str, str], *, has_token: bool) -> Access:
        for name, word in entry.items():
            if word == "token" and not has_token:
                self._wrong(
                    ("access", name), "nobody could enter: WEBHOOK_TOKEN is not set; set it, or write open"
                )
        return Access(
            pages_open=entry.get("pages", "open") == "open",
            metrics_open=entry.get("metrics", "open") == "open",
        )

    def _tls(self, entry: Mapping[str, str]) -> certificates.Files:
        paths = {name: self.file.parent / path for name, path in entry.items()}
        files = certificates.Files(cert=paths["cert"], key=paths["key"], client_ca=paths.get("client_ca"))
        for fault in certificates.faults(files):
            self._wrong(("tls", fault.field) if fault.field else ("tls",), str(fault))
        return files


def _title(entry: Destination) -> str:
    """What people call a destination."""
    match entry:
        case PagerDuty(name="pagerduty"):
            return "PagerDuty"
        case Slack(channel=channel):
            return f"Slack's {channel}"
        case _:
            return f"{entry.name} ({entry.kind})"


def _sources(entry: Mapping[str, Any]) -> sources.Policy:
    default = sources.Policy()
    listed = entry.get("expected", "any")
    return sources.Policy(
        expected=None if listed == "any" else tuple(sources.Expected(**each) for each in listed),
        missing_after=timedelta(seconds=entry["missing_after_seconds"])
        if "missing_after_seconds" in entry
        else default.missing_after,
    )


def _retention(entry: Mapping[str, int]) -> contract.Retention:
    default = contract.Retention()
    return contract.Retention(
        notifications=_days(entry, "notifications_days", default.notifications),
        notifications_bytes=entry.get("notifications_bytes", default.notifications_bytes),
        episodes=_days(entry, "episodes_days", default.episodes),
    )


def _days(entry: Mapping[str, int], name: str, default: timedelta) -> timedelta:
    return timedelta(days=entry[name]) if name in entry else default
