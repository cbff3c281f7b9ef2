"""A real Prometheus."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests import parts as programs
from tests.world import ports, process, web

_READY_SECONDS = 30.0
# Prometheus waits 5 s before it believes its first discovery.
_DISCOVERY_SECONDS = 30.0


class Prometheus(process.Program):
    """A running Prometheus that knows its Alertmanagers when the context is entered."""

    async def query(self, expression: str) -> list[Mapping[str, Any]]:
        """The instant vector, as the API has it: `metric` and `value` of each series."""
        answer = await web.get_json(f"{self.url}/api/v1/query", query=expression)
        found: list[Mapping[str, Any]] = answer["data"]["result"]
        return found

    async def alerts(self) -> list[Mapping[str, Any]]:
        """What is pending or firing: `labels`, `annotations`, `state`, `activeAt`, `value`."""
        answer = await web.get_json(f"{self.url}/api/v1/alerts")
        found: list[Mapping[str, Any]] = answer["data"]["alerts"]
        return found

    async def wait_alert(self, name: str, state: str, *, timeout_seconds: float) -> Mapping[str, Any]:
        """The first alert of this name that is in this state ("pending" or "firing")."""

        def wanted(answer: Any) -> Mapping[str, Any] | None:
            found: list[Mapping[str, Any]] = answer["data"]["alerts"]
            return next(
                (one for one in found if (one["labels"]["alertname"], one["state"]) == (name, state)), None
            )

        found = await web.poll(f"{self.url}/api/v1/alerts", wanted, timeout_seconds=timeout_seconds)
        assert found is not None, "poll returns nothing untrue"
        return found

    async def wait_no_alert(self, name: str, *, timeout_seconds: float) -> None:
        """Wait until no alert of this name is pending or firing."""

        def wanted(answer: Any) -> bool:
            return all(one["labels"]["alertname"] != name for one in answer["data"]["alerts"])

        await web.poll(f"{self.url}/api/v1/alerts", wanted, timeout_seconds=timeout_seconds)

    async def wait_all_up(self, *, timeout_seconds: float) -> None:
        """Wait until every target was scraped with success at its last scrape."""

        def all_up(answer: Any) -> bool:
            return {one["health"] for one in answer["data"]["activeTargets"]} == {"up"}

        await web.poll(f"{self.url}/api/v1/targets?state=active", all_up, timeout_seconds=timeout_seconds)


@asynccontextmanager
async def run(
    parts: programs.Parts,
    config_path: Path,
    *,
    folder: Path,
    port: int | None = None,
    options: Sequence[str] = (),
) -> AsyncIterator[Prometheus]:
    """Run it on a configuration file, with its data and log under `folder`.

    It is ready, and has discovered an Alertmanager: an alert that fires before would be sent again only a
    resend-delay (a minute) later.

    Raises:
        process.ProgramFailedError: it ended, or was not ready within 30 s.
        TimeoutError: it found no Alertmanager within 30 s.
    """
    address = f"127.0.0.1:{port or ports.free()}"
    started = await process.start(
        parts.prometheus,
        f"--config.file={config_path}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
        "--web.enable-lifecycle",
        *options,
        name=f"Prometheus of {parts.name}",
        url=f"http://{address}",
        log_path=folder / "prometheus.log",
    )
    running = Prometheus(child=started.child, name=started.name, url=started.url, log_path=started.log_path)
    async with process.supervised(running):
        await running.wait_answer("/-/ready", timeout_seconds=_READY_SECONDS)
        await web.poll(
            f"{running.url}/api/v1/alertmanagers",
            lambda answer: answer["data"]["activeAlertmanagers"],
            timeout_seconds=_DISCOVERY_SECONDS,
        )
        yield running
