"""A make-believe PhantomMesh: one exporter for all its jobs, which breaks and mends on command.

Every instance of every job has a path of its own on one port. `targets()` tells Prometheus where; the job names and
paths of deploy/prometheus.yml stay as they are.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web

from tests.world import mesh_series

How = Literal["unavailable", "gone"]

# The text format's own type; Prometheus 3 refuses a scrape without one that it knows.
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One entry of Prometheus' file discovery."""

    address: str
    labels: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Fault:
    """One break or mend: when it happened, and when a scrape first saw it. Wall-clock seconds."""

    service: str
    at_unix_seconds: float
    first_scraped_unix_seconds: float | None = None
    seen: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_scraped(self, *, timeout_seconds: float) -> float:
        """When a scrape first saw it.

        Raises:
            TimeoutError: nobody scraped.
        """
        await asyncio.wait_for(self.seen.wait(), timeout=timeout_seconds)
        assert self.first_scraped_unix_seconds is not None, "set before seen"
        return self.first_scraped_unix_seconds


class Mesh:
    """The control in the hands of a test. A break stands until it is mended."""

    def __init__(self) -> None:
        self.port = 0
        self.scrapes: dict[str, int] = {}
        self._started_seconds = time.monotonic()
        self._started_unix_seconds = time.time()
        self._broken: dict[str, How] = {}
        self._stopped: set[str] = set()
        self._unseen: list[Fault] = []

    def break_service(self, service: str, *, how: How = "unavailable") -> Fault:
        """From now on no replica of the service is available; or, with "gone", its workload's series are not there."""
        self._broken[_known(service)] = how
        return self._note(service)

    def mend(self, service: str) -> Fault:
        self._broken.pop(_known(service), None)
        return self._note(service)

    def stop_exporter(self, job: str) -> None:
        """From now on every scrape of the job fails."""
        assert job in mesh_series.EXPORTERS, f"no job {job}"
        self._stopped.add(job)

    def start_exporter(self, job: str) -> None:
        self._stopped.discard(job)

    def targets(self) -> dict[str, list[Target]]:
        """For each job the targets that Prometheus finds here."""
        return {
            job: [self._target(job, instance) for instance in exporters]
            for job, exporters in mesh_series.EXPORTERS.items()
        }

    def render(self, job: str, instance: str) -> str:
        """What the instance exposes now."""
        samples = mesh_series.EXPORTERS[job][instance](self._moment())
        return "".join(f"{sample.line()}\n" for sample in samples)

    async def scrape(self, request: web.Request) -> web.Response:
        job = request.match_info.get("job", "blackbox")
        instance = request.match_info.get("instance") or request.query.get("target", "")
        if instance not in mesh_series.EXPORTERS.get(job, {}):
            return web.Response(status=404)
        if job in self._stopped:
            return web.Response(status=503)
        self.scrapes[job] = self.scrapes.get(job, 0) + 1
        if job == "kube-state-metrics":
            self._tell_scraped()
        return web.Response(body=self.render(job, instance).encode(), headers={"Content-Type": _CONTENT_TYPE})

    def _target(self, job: str, instance: str) -> Target:
        address = f"127.0.0.1:{self.port}"
        if job == "blackbox":
            return Target(address=instance, labels={"__exporter__": address})
        labels = {"__metrics_path__": f"/{job}/{instance}", "instance": instance}
        return Target(address=address, labels=labels)

    def _moment(self) -> mesh_series.Moment:
        return mesh_series.Moment(
            running_seconds=time.monotonic() - self._started_seconds,
            started_unix_seconds=self._started_unix_seconds,
            unavailable=self._in_state("unavailable"),
            gone=self._in_state("gone"),
        )

    def _in_state(self, how: How) -> frozenset[str]:
        return frozenset(service for service, state in self._broken.items() if state == how)

    def _note(self, service: str) -> Fault:
        fault = Fault(service=service, at_unix_seconds=time.time())
        self._unseen.append(fault)
        return fault

    def _tell_scraped(self) -> None:
        for fault in self._unseen:
            fault.first_scraped_unix_seconds = time.time()
            fault.seen.set()
        self._unseen.clear()


@asynccontextmanager
async def run() -> AsyncIterator[Mesh]:
    """A healthy mesh that answers scrapes on a port of its own."""
    mesh = Mesh()
    app = web.Application()
    app.router.add_get("/probe", mesh.scrape)
    app.router.add_get("/{job}/{instance}", mesh.scrape)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        mesh.port = runner.addresses[0][1]
        yield mesh
    finally:
        await runner.cleanup()


def _known(service: str) -> str:
    if service not in mesh_series.SERVICES:
        raise ValueError(f"no service {service!r}, only {', '.join(mesh_series.SERVICES)}")
    return service
