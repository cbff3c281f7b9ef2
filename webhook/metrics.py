"""Every metric of this service. It listens to what happened, and nothing that happens knows it.

No label grows with incidents: destinations come from the configuration, the rest are fixed words.
"""

import asyncio
import http
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime

import prometheus_client
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from routing import events, ledger, model, sources
from webhook import connections, direct, health, heartbeat, receive, resync
from webhook.store import contract

OUTCOMES = ("sent", "retried", "refused", "dead")
STATES = ("working", "pausing", "suspended")
_ANSWERS = (200, 400, 401, 405, 413, 415, 429, 503)
_MOST_SOURCES = 100
_STORE_SECONDS = 2.0
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 90, 120, 300, 600, 1800, 3600)
_PREFIX = "phantommesh_alerts"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # it is not annotated


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, *, version: str, sqlite_version: str, destinations: Iterable[str] = ()) -> None:
        self.registry = prometheus_client.CollectorRegistry()
        prometheus_client.ProcessCollector(namespace=_PREFIX, registry=self.registry)
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self._answers = counter(
            "notifications", "Requests to the webhook by the status of their answer.", "status"
        )
        self._logins_failed = counter("logins_failed", "Requests with no credentials or wrong ones.")
        self._connections = gauge("connections", "Connections to this service that are open.")
        self._cut = counter(
            "connections_cut", "Connections cut by this service: slow, or crowded out.", "reason"
        )
        self._accept = histogram("accept_seconds", "From a message's first byte to the answer 200.", _FAST)
        self._deliveries = counter(
            "deliveries", "Attempts to tell a destination something, by outcome.", "destination", "outcome"
        )
        self._told = counter(
            "told", "Steps that a destination took, by what was done and why.", "destination", "act", "reason"
        )
        self._repeats = counter(
            "possible_repeats",
            "Steps that an attempt without a known outcome may have told before.",
            "destination",
        )
        self._since_change = histogram(
            "change_to_receipt_seconds",
            "From the record of a change to the destination's receipt.",
            _SLOW,
            "destination",
            "priority",
        )
        self._since_start = histogram(
            "start_to_page_seconds",
            "From an alert's start in Prometheus to the receipt of the first message about it.",
            _SLOW,
            "destination",
            "priority",
        )
        self._lane = gauge(
            "lane_state", "1 for the state that a destination's lane is in.", "destination", "state"
        )
        self._undelivered = gauge(
            "oldest_undelivered_seconds",
            "Age of the oldest change that a destination was not yet told, 0 when there is none.",
            "destination",
            "priority",
        )
        self._waiting = gauge(
            "lane_waiting", "Incidents of which a destination is still to be told.", "destination", "priority"
        )
        self._summarised = counter(
            "summarised", "Incidents told in a summary instead of a message of their own.", "destination"
        )
        self._budget_waits = counter(
            "budget_waits", "Messages that waited so that the far end's rate limit is kept.", "destination"
        )
        self._dead_letters = counter(
            "dead_letters", "Messages that a destination refused for good.", "destination", "priority"
        )
        self._dead_letters_open = gauge(
            "dead_letters_open", "Messages that were refused for good and are neither replayed nor outdated."
        )
        self._open = gauge("open_incidents", "Open incidents.", "priority")
        self._kept = gauge("stored_notifications", "Messages that are kept for audit.")
        self._kept_bytes = gauge("stored_notifications_bytes", "Their size as they are kept.")
        self._store_up = gauge("store_up", "Whether the store takes a durable commit.")
        self._store_errors = counter("store_errors", "Times that the reconciler could not use the store.")
        self._heard = gauge(
            "source_last_heard_timestamp_seconds", "When a source's Watchdog was last heard.", "source"
        )
        self._missing = gauge(
            "source_missing", "1 for a source that is expected and whose Watchdog stays away.", "source"
        )
        self._heartbeats = counter(
            "heartbeats", "Times that HEARTBEAT_URL was due, by what became of it.", "outcome"
        )
        self._peer_up = gauge(
            "alertmanager_up", "Whether an Alertmanager could be asked at the last look.", "alertmanager"
        )
        self._peer_believed = gauge(
            "alertmanager_believed",
            "Whether what an Alertmanager lists is believed: it is up long enough and lists a fresh Watchdog.",
            "alertmanager",
        )
        self._peer_failures = counter(
            "alertmanager_failures", "Looks at which an Alertmanager could not be asked.", "alertmanager"
        )
        self._resynced = gauge(
            "resync_last_success_timestamp_seconds", "When every Alertmanager was last asked with success."
        )
        self._resync_seconds = histogram(
            "resync_seconds", "How long a look at every Alertmanager took.", _FAST
        )
        self._resync_found = counter(
            "resync_findings", "Alerts about which resync found out something, by what it is.", "finding"
        )
        self._direct = counter(
            "direct_pages",
            "Pages of a P1 past the store, while it takes no record, by what became of them.",
            "outcome",
        )
        self._unrecorded = gauge(
            "unrecorded_pages", "Direct pages that wait to be recorded, or to be heard of again."
        )
        self._loaded = gauge(
            "config_last_reload_successful", "Whether the last reload of the configuration succeeded."
        )
        self._loaded_at = gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration was last loaded."
        )
        self._hash = gauge("config_hash", "Hash of the configuration that is in use.")
        gauge(
            "build_info", "1, with the versions as labels.", "version", "python_version", "sqlite_version"
        ).labels(version, platform.python_version(), sqlite_version).set(1)
        for status in _ANSWERS:
            self._answers.labels(status)
        for reason in connections.Cut:
            self._cut.labels(reason.value)
        for priority in model.Priority:
            self._open.labels(priority.name)
        for outcome in heartbeat.Outcome:
            self._heartbeats.labels(outcome)
        for became in direct.Outcome:
            self._direct.labels(became)
        self._lane_states: dict[str, str] = {}
        self._budget_waits_seen: dict[str, int] = {}
        self.know(destinations)

    def _counter(self, name: str, meaning: str, *labels: str) -> prometheus_client.Counter:
        return prometheus_client.Counter(name, meaning, labels, namespace=_PREFIX, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> prometheus_client.Gauge:
        return prometheus_client.Gauge(name, meaning, labels, namespace=_PREFIX, registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(
            name, meaning, labels, namespace=_PREFIX, registry=self.registry, buckets=buckets
        )

    def know(self, destinations: Iterable[str]) -> None:
        """Have series for these destinations, so that their first increase can be seen. Keeps what is there."""
        for destination in destinations:
            for outcome in OUTCOMES:
                self._deliveries.labels(destination, outcome)
            self._repeats.labels(destination)
            self._summarised.labels(destination)
            self._budget_waits.labels(destination)
            for priority in model.Priority:
                self._since_change.labels(destination, priority.name)
                self._since_start.labels(destination, priority.name)
                self._undelivered.labels(destination, priority.name)
                self._waiting.labels(destination, priority.name)
                self._dead_letters.labels(destination, priority.name)
            self._lane_is(destination, self._lane_states.get(destination, "working"))

    def listen(self, event: events.Event) -> None:
        """Hear of something that happened while delivering (`routing.events.Listener`)."""
        match event:
            case events.Sent():
                self._sent(event)
            case events.Summarised(destination=destination, incidents=incidents):
                self._deliveries.labels(destination, "sent").inc()
                self._summarised.labels(destination).inc(incidents)
                self._lane_is(destination, "working")
            case events.Retried(destination=destination) | events.SummaryFailed(destination=destination):
                self._deliveries.labels(destination, "retried").inc()
                if self._lane_states.get(destination) != "suspended":
                    self._lane_is(destination, "pausing")
            case events.Refused(destination=destination):
                self._deliveries.labels(destination, "refused").inc()
            case events.Dead(destination=destination, priority=priority):
                self._deliveries.labels(destination, "dead").inc()
                self._dead_letters.labels(destination, priority.name).inc()
            case events.LaneSuspended(destination=destination):
                self._lane_is(destination, "suspended")
            case events.LaneRecovered(destination=destination):
                self._lane_is(destination, "working")
            case events.StoreTrouble():
                self._store_errors.inc()

    def answered(self, answer: receive.Answered) -> None:
        """Hear of an answer of the webhook."""
        self._answers.labels(answer.status).inc()
        if answer.status == http.HTTPStatus.OK:
            self._accept.observe(answer.seconds)

    def login_failed(self) -> None:
        """Hear of a request that was turned away."""
        self._logins_failed.inc()

    def judged(self, judged: Sequence[sources.Source]) -> None:
        """Hear what is known of every source."""
        self._missing.clear()
        missing_first = sorted(judged, key=lambda source: source.state is not sources.State.MISSING)
        for source in missing_first[:_MOST_SOURCES]:
            if source.state is not sources.State.UNEXPECTED:
                self._missing.labels(source.name).set(source.state is sources.State.MISSING)

    def beaten(self, outcome: heartbeat.Outcome) -> None:
        """Hear what became of a heartbeat."""
        self._heartbeats.labels(outcome).inc()

    def connection_cut(self, reason: connections.Cut) -> None:
        """Hear of a connection that was cut."""
        self._cut.labels(reason.value).inc()

    def connections_open(self, count: int) -> None:
        """How many connections are open now."""
        self._connections.set(count)

    def looked(self, look: resync.Looked) -> None:
        """Hear of a look at every Alertmanager."""
        self._peer_up.clear()
        self._peer_believed.clear()
        for peer in look.seen:
            self._peer_up.labels(peer.address).set(not peer.error)
            self._peer_believed.labels(peer.address).set(peer.believed)
            self._peer_failures.labels(peer.address).inc(bool(peer.error))
        if not any(peer.error for peer in look.seen):
            self._resynced.set(look.at.timestamp())
        self._resync_seconds.observe(look.seconds)
        for finding, count in look.found.items():
            self._resync_found.labels(finding).inc(count)

    def paged_directly(self, outcome: direct.Outcome) -> None:
        """Hear what became of a page past the store."""
        self._direct.labels(outcome).inc()

    def unrecorded(self, count: int) -> None:
        """So many direct pages wait to be recorded, or to be heard of again."""
        self._unrecorded.set(count)

    def loaded(self, *, digest: bytes, at: datetime) -> None:
        """A configuration is in use, with this hash of it."""
        self._loaded.set(1)
        self._loaded_at.set(at.timestamp())
        self._hash.set(int.from_bytes(digest[:6], "little"))

    def reload_failed(self) -> None:
        """A configuration was refused; the one before stays in use."""
        self._loaded.set(0)

    def undelivered(self, destination: str, priority: model.Priority, oldest_seconds: float) -> None:
        """How long the oldest change of this priority has been waiting that this destination was not yet told."""
        self._undelivered.labels(destination, priority.name).set(oldest_seconds)

    def waiting(self, destination: str, counts: Mapping[model.Priority, int], budget_waits: int) -> None:
        """How many incidents wait, and how many messages of this lane have waited for the budget so far."""
        for priority, count in counts.items():
            self._waiting.labels(destination, priority.name).set(count)
        # A new configuration has new lanes, which begin to count at 0.
        grown = budget_waits - self._budget_waits_seen.get(destination, 0)
        self._budget_waits.labels(destination).inc(grown if grown >= 0 else budget_waits)
        self._budget_waits_seen[destination] = budget_waits

    def handler(self, *, store: contract.Store, readiness: health.Readiness) -> Handler:
        """Answers `GET /metrics`, in the format that is asked for; figures of the store are read at each request."""
        render = make_aiohttp_handler(self.registry)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            trouble = await readiness.trouble()
            self._store_up.set(trouble is None)
            if trouble is None:
                await self._read(store)
            return await render(request)  # type: ignore[arg-type]  # it reads the query and the headers

        return handler

    def _sent(self, event: events.Sent) -> None:
        self._deliveries.labels(event.destination, "sent").inc()
        self._told.labels(event.destination, event.act, event.reason).inc()
        self._since_change.labels(event.destination, event.priority.name).observe(event.since_change_seconds)
        if event.since_start_seconds is not None:
            self._since_start.labels(event.destination, event.priority.name).observe(
                event.since_start_seconds
            )
        if event.possibly_repeated:
            self._repeats.labels(event.destination).inc()
        self._lane_is(event.destination, "working")

    def _lane_is(self, destination: str, state: str) -> None:
        self._lane_states[destination] = state
        for each in STATES:
            self._lane.labels(destination, each).set(each == state)

    async def _read(self, store: contract.Store) -> None:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                counts = await store.counts()
                sources = await store.sources()
        except (ledger.Unavailable, TimeoutError):
            self._store_up.set(0)
            return
        for priority in model.Priority:
            self._open.labels(priority.name).set(counts.open_incidents.get(priority, 0))
        self._dead_letters_open.set(counts.dead_letters)
        self._kept.set(counts.notifications)
        self._kept_bytes.set(counts.notifications_bytes)
        self._heard.clear()
        # Whoever may post may name sources, so there is a bound: the latest heard.
        latest = sorted(sources.items(), key=lambda item: item[1], reverse=True)[:_MOST_SOURCES]
        for source, heard_at in latest:
            self._heard.labels(source).set(heard_at.timestamp())
