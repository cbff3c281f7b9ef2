"""Build, start, address, stop: wires everything, and owns the one tree of tasks.

The order of an end: no new connections, requests under way are answered, sends under way are recorded, the store
is closed. All of it within 20 s of SIGTERM (PRODUCT: HTTP).
"""

import asyncio
import gc
import hashlib
import ipaddress
import logging
import signal
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import metadata
from pathlib import Path

from aiohttp import web

from routing import events, ledger, model, sources
from webhook import (
    auth,
    channel,
    clock,
    config,
    connections,
    deadman,
    delivering,
    dispatch,
    environment,
    guard,
    health,
    heartbeat,
    logs,
    metrics,
    pages,
    paging,
    paststore,
    resync,
    rulefiles,
    server,
)
from webhook.store import contract, sqlite

_OBJECTS_BEFORE_GC = 20_000
_ANSWER_SECONDS = 5.0
_LAST_SENDS_SECONDS = 8.0
_UPKEEP_SECONDS = 3600.0
_MEASURE_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Unsafe(Exception):
    """The configuration is right, and serving it would break a promise; the text says how to allow it.

    Attributes:
        line: of the configuration that is to be changed, from 1.
    """

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `serve` was told on its command line."""

    config_file: Path | None
    host: str
    port: int
    state_dir: Path
    dry_run: bool
    allow_anonymous: bool
    log_style: logs.Style


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        config.ConfigFaults: the configuration cannot be used.
        Unsafe: nobody would be paged, or anybody could post.
        webhook.store.contract.StoreRefused: the store must not be used as it is.
        OSError: the address cannot be listened on.
    """
    secrets = logs.Secrets()
    logs.setup(style=options.log_style, secrets=secrets)
    logs.log_crashes()
    settings = await asyncio.to_thread(config.load, options.config_file)
    _refuse_unsafe(settings, options)
    store = await sqlite.open_store(options.state_dir, settings.database_file)
    try:
        await _Service(options, store, secrets).run(settings)
    finally:
        await store.close()


def _refuse_unsafe(settings: config.Settings, options: Options) -> None:
    if not settings.live_paging_destinations and not options.dry_run:
        advice, line = paging.advice(settings)
        raise Unsafe(
            f"no P1 could page anyone: {advice}, "
            "or try it out with --dry-run, which sends nothing and prints everything",
            line,
        )
    if settings.webhook_token is None and not options.allow_anonymous and not _is_loopback(options.host):
        raise Unsafe(
            f"anybody who reaches {options.host}:{options.port} could post alerts: set WEBHOOK_TOKEN "
            "(or WEBHOOK_TOKEN_FILE), listen on 127.0.0.1, or allow it with --allow-anonymous"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Service:
    """One run of the service: the configuration in force, and what works by it."""

    def __init__(self, options: Options, store: contract.Store, secrets: logs.Secrets) -> None:
        self._options = options
        self._store = store
        self._secrets = secrets
        self._hidden: set[str] = set()
        self._metrics = metrics.Metrics(
            version=metadata.version("phantommesh-alerts"), sqlite_version=sqlite3.sqlite_version
        )
        self._clock = clock.Clock()
        self._narrator = logs.Narrator()
        self._runbooks = rulefiles.runbooks()
        self._delivering = delivering.Delivering(
            store=store, runbooks=self._runbooks, emit=self._emit, dry_run=options.dry_run, clock=self._clock
        )
        self._readiness = health.Readiness(store)
        self._resync = resync.Resync(
            store=store, wake=self._delivering.wake, observe=self._metrics.looked, clock=self._clock
        )
        self._deadman = deadman.Deadman(
            store=store,
            policy=lambda: self._in_force().sources,
            wake=self._delivering.wake,
            judged=self._metrics.judged,
            clock=self._clock,
        )
        self._heart = heartbeat.Heart(
            address=lambda: None if options.dry_run else self._in_force().heartbeat_url,
            trouble=self._trouble,
            beaten=self._metrics.beaten,
        )
        self._past_store = paststore.PastStore(
            state_dir=options.state_dir,
            store=store,
            ways=self._delivering.ways,
            resyncs=lambda: bool(self._in_force().alertmanager_urls),
            wake=self._delivering.wake,
            outcome=self._metrics.paged_directly,
            clock=self._clock,
        )
        self._reloading = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._settings: config.Settings | None = None
        self._allowed: auth.Access | None = None
        self._channel = channel.Channel()
        self._connections = connections.Connections(connections.limits(), cut=self._metrics.connection_cut)

    async def run(self, settings: config.Settings) -> None:
        self._channel.use(settings.tls, await asyncio.to_thread(self._channel.prepare, settings.tls))
        await self._use(settings)
        await self._past_store.open()
        runner = server.runner(self._application(settings), answer_seconds=_ANSWER_SECONDS)
        await runner.setup()
        try:
            site = connections.Site(
                runner,
                self._options.host,
                self._options.port,
                connections=self._connections,
                speaker=server.Speaker,
                ssl_context=self._channel.context,
            )
            await site.start()
            # What the start made stays; and a message makes objects by the hundred that go with its answer.
            gc.freeze()
            gc.set_threshold(_OBJECTS_BEFORE_GC, 20, 20)
            _announce(runner, tls=settings.tls is not None)
            async with asyncio.TaskGroup() as tasks:
                self._on_signals(tasks)
                work = [
                    tasks.create_task(self._upkeep(), name="upkeep"),
                    tasks.create_task(self._measure(), name="measure"),
                    tasks.create_task(
                        clock.watch(self._clock, rebase=self._rebase, followed=self._start_anew), name="clock"
                    ),
                    tasks.create_task(self._channel.follow_files(), name="certificates"),
                    tasks.create_task(self._deadman.run(), name="deadman"),
                    tasks.create_task(self._heart.run(), name="heartbeat"),
                    tasks.create_task(self._resync.run(), name="resync"),
                    tasks.create_task(self._past_store.run(), name="past the store"),
                ]
                deliver = tasks.create_task(self._delivering.run(), name="deliver")
                await self._stopping.wait()
                _log.info("stopping")
                await runner.cleanup()
                for task in work:
                    task.cancel()
                self._delivering.stop()
                await asyncio.wait([deliver], timeout=_LAST_SENDS_SECONDS)
                deliver.cancel()
                await self._past_store.close()
        finally:
            await runner.cleanup()

    def _application(self, settings: config.Settings) -> dispatch.Dispatch:
        return server.build(
            store=self._store,
            wake=self._delivering.wake,
            past_store=self._past_store,
            reload=self._reload,
            readiness=self._readiness,
            entrance=guard.Guard(access=self._access, failed=self._metrics.login_failed),
            view=self._view,
            metrics=self._metrics.handler(store=self._store, readiness=self._readiness),
            answered=self._metrics.answered,
            clock=self._clock,
            max_body_bytes=settings.max_body_bytes,
            proof=self._resync,
        )

    def _in_force(self) -> config.Settings:
        assert self._settings is not None, "set before anything is served"
        return self._settings

    def _access(self) -> auth.Access:
        # Asked with every request, and other than before only after a reload or with other certificates.
        if self._allowed is None or self._allowed.client_ca_digest != self._channel.client_ca_digest:
            settings = self._in_force()
            self._allowed = auth.Access(
                token=settings.webhook_token.reveal() if settings.webhook_token else "",
                previous_token=(
                    settings.previous_webhook_token.reveal() if settings.previous_webhook_token else ""
                ),
                client_ca_digest=self._channel.client_ca_digest,
                pages_closed=not settings.access.pages_open,
                metrics_closed=not settings.access.metrics_open,
            )
        return self._allowed

    def _view(self) -> pages.View:
        return pages.View(
            runbooks=self._runbooks,
            surroundings=self._in_force().surroundings,
            lanes={
                name: pages.Lane(
                    waiting=len(lane),
                    failing=lane.failing,
                    suspended=lane.suspended,
                    paused_seconds=lane.paused_seconds,
                    behind=lane.behind,
                )
                for name, lane in self._delivering.lanes().items()
            },
            expected=self._in_force().sources,
            listening_since=self._deadman.since,
            alertmanagers=self._resync.seen,
        )

    async def _trouble(self) -> str:
        """Why an outside watcher should be told by silence that not all is well; "" when all is."""
        store = await self._readiness.trouble()
        if store is not None:
            return f"the store takes no commit: {store}"
        try:
            judged = await self._deadman.judge()
        except ledger.Unavailable as trouble:
            return f"the store cannot be read: {trouble}"
        silent = [one.name for one in judged if one.state in (sources.State.MISSING, sources.State.AWAITED)]
        if silent:
            return f"no Watchdog is heard of: {', '.join(silent)}"
        lanes = self._delivering.lanes()
        for name in self._in_force().live_paging_destinations:
            if name in lanes and (lanes[name].failing or lanes[name].suspended):
                return f"{name} does not take our messages"
        return ""

    async def _use(self, settings: config.Settings) -> None:
        # What was in force before stays hidden too: rotated away is not yet forgotten.
        self._hidden.update(_secret_values(settings))
        self._secrets.replace(self._hidden)
        await self._delivering.take(settings)
        for line, gap in paging.gaps(settings).items():
            _log.warning("a P1 would page nobody", extra={"at": f"{settings.file}:{line}", "gap": gap})
        self._settings, self._allowed = settings, None
        self._resync.ask(settings.alertmanager_urls)
        self._metrics.know(self._delivering.names)
        self._metrics.loaded(digest=hashlib.sha256(repr(settings).encode()).digest(), at=self._clock())

    async def _reload(self) -> Sequence[str]:
        """Read the configuration anew; returns its faults. With any, the one in force stays."""
        async with self._reloading:
            try:
                settings = await asyncio.to_thread(config.load, self._options.config_file)
                _refuse_unsafe(settings, self._options)
                await self._delivering.check(settings)
                context = await asyncio.to_thread(self._channel.prepare, settings.tls)
                await self._use(settings)
                self._channel.use(settings.tls, context)
            except config.ConfigFaults as refusal:
                faults: Sequence[str] = [
                    f"{fault.file}:{fault.line or 1}: {fault.text}" for fault in refusal.faults
                ]
            except delivering.Stranded as refusal:
                faults = str(refusal).splitlines()
            except (Unsafe, channel.Refused, ledger.Unavailable) as refusal:
                line = refusal.line if isinstance(refusal, Unsafe) else 1
                faults = [f"{settings.file}:{line}: {refusal}"]
            else:
                _log.info("configuration reloaded")
                return ()
            self._metrics.reload_failed()
            for fault in faults:
                _log.error("configuration refused, the one in force stays", extra={"fault": fault})
            return faults

    def _emit(self, event: events.Event) -> None:
        self._metrics.listen(event)
        self._narrator.listen(event)

    def _on_signals(self, tasks: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: tasks.create_task(self._reload(), name="reload"))

    async def _upkeep(self) -> None:
        """Remove what is past its retention, at the start and then every hour."""
        while True:
            try:
                removed = await self._store.prune(self._in_force().retention, self._clock())
            except ledger.Unavailable as trouble:
                _log.warning("upkeep has to wait", extra={"error": str(trouble)})
            else:
                _log.debug("upkeep done", extra={"removed": removed})
            await asyncio.sleep(_UPKEEP_SECONDS)

    async def _rebase(self, by: timedelta) -> None:
        await self._store.rebase(by)
        self._past_store.rebase(by)

    async def _start_anew(self) -> None:
        """What is kept in memory only began before the clock jumped."""
        self._deadman.listen_anew()
        self._resync.start_anew()
        async with self._reloading:
            await self._delivering.take(self._in_force())

    async def _measure(self) -> None:
        while True:
            self._metrics.connections_open(len(self._connections))
            for name, lane in self._delivering.lanes().items():
                self._metrics.waiting(name, lane.waiting(), lane.budget_waits)
                for priority in model.Priority:
                    oldest = lane.oldest(priority)
                    age_seconds = (self._clock() - oldest).total_seconds() if oldest else 0.0
                    self._metrics.undelivered(name, priority, age_seconds)
            self._metrics.unrecorded(len(self._past_store))
            await asyncio.sleep(_MEASURE_SECONDS)


def _secret_values(settings: config.Settings) -> Sequence[str]:
    return [secret.reveal() for secret in environment.secrets_in(settings)]


def _announce(runner: web.ServerRunner, *, tls: bool) -> None:
    for address in runner.addresses:
        host, port = address[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info("listening on %s://%s:%d", "https" if tls else "http", shown, port)
