"""A real Alertmanager."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests import parts as programs
from tests.world import ports, process, unpacked, web

_READY_SECONDS = 30.0


class Alertmanager(process.Program):
    """A running Alertmanager, ready when the context is entered."""

    async def alerts(self) -> list[Mapping[str, Any]]:
        """What `/api/v2/alerts` lists."""
        found: list[Mapping[str, Any]] = await web.get_json(f"{self.url}/api/v2/alerts")
        return found

    async def silence(self, name: str, seconds: float, comment: str = "new disk") -> str:
        """Silence the alerts of a name from now on; returns the silence's id."""
        now = datetime.now(UTC)
        answer = await web.post_json(
            f"{self.url}/api/v2/silences",
            {
                "matchers": [{"name": "alertname", "value": name, "isRegex": False}],
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(seconds=seconds)).isoformat(),
                "createdBy": "ann",
                "comment": comment,
            },
        )
        return str(answer["silenceID"])

    async def reload(self) -> None:
        """Read the configuration anew."""
        await web.post_json(f"{self.url}/-/reload", None)

    async def post_alerts(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Post alerts as Prometheus does: labels, annotations, startsAt, endsAt, generatorURL."""
        await web.post_json(f"{self.url}/api/v2/alerts", list(alerts))


@asynccontextmanager
async def run(
    parts: programs.Parts,
    config_path: Path,
    *,
    folder: Path,
    port: int | None = None,
    cluster_address: str = "",
    peers: Sequence[str] = (),
) -> AsyncIterator[Alertmanager]:
    """Run it on a configuration file, with its data and log under `folder`.

    `cluster_address` empty: no cluster, and no gossip that a notification would wait for.

    Raises:
        process.ProgramFailedError: it ended, or was not ready within 30 s.
    """
    address = f"127.0.0.1:{port or ports.free()}"
    program, cwd = unpacked.startable(parts.alertmanager)
    started = await process.start(
        program,
        *_files(config_path=config_path, folder=folder),
        f"--web.listen-address={address}",
        f"--web.external-url=http://{address}/",
        f"--cluster.listen-address={cluster_address}",
        *(f"--cluster.peer={peer}" for peer in peers),
        name=f"Alertmanager of {parts.name}",
        url=f"http://{address}",
        log_path=folder / "alertmanager.log",
        cwd=cwd,
    )
    running = Alertmanager(child=started.child, name=started.name, url=started.url, log_path=started.log_path)
    async with process.supervised(running):
        await running.wait_answer("/-/ready", timeout_seconds=_READY_SECONDS)
        yield running


def _files(*, config_path: Path, folder: Path) -> tuple[str, str]:
    # Absolute, because it may start in another folder.
    return f"--config.file={config_path.absolute()}", f"--storage.path={folder.absolute() / 'alertmanager'}"
