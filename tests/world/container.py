"""The service as a container: the image of deploy/container, built and run by podman as its README says.

The base image is made from Debian's packages, because no registry is needed for that; a base from one differs in where
Python comes from. Everything of podman's lies in a folder of its own and is gone in the end.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests import parts
from tests.setup import debian
from tests.world import service

BASE_PACKAGES = "python3,python3-venv,ca-certificates,tzdata"
STATE = "/var/lib/phantommesh-alerts"
SETTINGS = "/etc/phantommesh-alerts"
_USER = 65532
_BASE = parts.CHECKOUT / ".cache" / "containers" / "base.tar"
_ATTEMPTS = 2
_PLENTY_BYTES = 8 * 1024**3
_STEP_SECONDS = 240
# Longest life of a container: whoever started it may have died with a kill -9.
_LIFE_SECONDS = 600
# What this machine's network needs of pip is its administrator's to say.
_PIP = ("INDEX_URL", "EXTRA_INDEX_URL", "TRUSTED_HOST")
_CONTAINERS_CONF = """\
[containers]
default_ulimits = []
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


class PodmanFailedError(RuntimeError):
    """Podman, or what makes its base image, did not do what it was told; the text is what it said."""


class Podman:
    """Podman with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        conf = folder / "containers.conf"
        conf.write_text(_CONTAINERS_CONF)
        self.env = {"CONTAINERS_CONF": str(conf), "HOME": str(folder), "TMPDIR": str(folder)}
        self.command: list[str] = []
        # vfs copies every file for every container, and works where overlay cannot be mounted.
        for driver in ("overlay", "vfs"):
            places = ["--root", str(folder / driver), "--runroot", str(folder / "run" / driver)]
            self.command = ["podman", *places, "--storage-driver", driver]
            with contextlib.suppress(PodmanFailedError):
                self.run("info")
                break

    def run(self, *words: str) -> str:
        """Run one command to its end; what it printed."""
        return _run([*self.command, *words], env=self.env)

    def build(self, tag: str) -> None:
        """Build the image of this checkout on a base of Debian's packages."""
        self.run("import", "--quiet", str(base()), "localhost/base")
        (self.folder / "pip.conf").write_text(_pip_configuration())
        mounts = {self.folder / "pip.conf": "/etc/pip.conf", Path("/etc/ssl/certs"): "/etc/ssl/certs"}
        self.run(
            "build", "--quiet", "--pull=never", "--format=docker", "--isolation=chroot", "--network=host",
            "--layers=false", "--build-arg", "BASE=localhost/base",
            *(f"--volume={here}:{there}:ro" for here, there in mounts.items() if here.exists()),
            "--file", str(parts.CHECKOUT / "deploy" / "container" / "Containerfile"), "--tag", tag,
            str(parts.CHECKOUT),
        )  # fmt: skip


@contextlib.contextmanager
def podman() -> Iterator[Podman]:
    """Podman; all that it started and stored is gone in the end."""
    # Sockets lie below it, and their paths are short.
    folder = Path(tempfile.mkdtemp(prefix="podman.", dir=_roomy_folder()))
    folder.chmod(0o755)
    running = Podman(folder)
    try:
        yield running
    finally:
        running.run("rm", "--force", "--all", "--time=0")
        shutil.rmtree(folder)


def _roomy_folder() -> str:
    """In memory, where there is plenty: an image is thousands of small files that are gone in a minute."""
    memory = Path("/dev/shm")
    plenty = memory.is_dir() and shutil.disk_usage(memory).free > _PLENTY_BYTES
    return str(memory) if plenty and os.access(memory, os.W_OK | os.X_OK) else "/tmp"


def base() -> Path:
    """A bare Debian 12 with Python as a file, made once a checkout."""
    if not _BASE.exists():
        _BASE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_BASE.parent) as half:
            sources, made = Path(half, "debian.sources"), Path(half, "base.tar")
            sources.write_text(debian.source_for("bookworm", debian.machine_source()))
            docs = [
                f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")
            ]
            _run(
                [
                    "mmdebstrap", "--quiet", "--variant=minbase", f"--include={BASE_PACKAGES}", *docs,
                    f"--aptopt={_transport(Path(half))}", "bookworm", str(made), str(sources),
                ],
                env={},
            )  # fmt: skip
            made.rename(_BASE)
    return _BASE


def _transport(folder: Path) -> Path:
    """How this machine's own apt reaches its mirror."""
    wanted = ("http", "https", "ftp", "Check-Valid-Until", "Check-Date", "Retries", "Force")
    lines = _run(["apt-config", "dump", "Acquire"], env={}).splitlines()
    file = folder / "apt.conf"
    file.write_text(
        "".join(f"{line}\n" for line in lines if line.startswith(tuple(f"Acquire::{w}" for w in wanted)))
    )
    return file


def _pip_configuration() -> str:
    own = Path("/etc/pip.conf")
    text = own.read_text() if own.exists() else "[global]\n"
    if "[global]" not in text:
        text += "\n[global]\n"
    given = {name: os.environ.get(f"PIP_{name}") for name in _PIP}
    lines = "".join(f"{name.lower().replace('_', '-')} = {value}\n" for name, value in given.items() if value)
    return text.replace("[global]\n", f"[global]\n{lines}", 1)


def _run(command: list[str], *, env: Mapping[str, str]) -> str:
    for attempt in range(1, _ATTEMPTS + 1):
        done = subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C.UTF-8", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_STEP_SECONDS,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout
        # Only what downloads may do better the next time.
        if attempt == _ATTEMPTS or not {"build", "mmdebstrap"} & set(command):
            break
    raise PodmanFailedError(
        f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-8_000:]
    )


class Contained(service.Service):
    """The service in a container, hardened as its README says; its state is on a volume of its own.

    Every secret comes as a file. A shell is not needed, so there is none: a file that cannot be started lies over it.
    """

    def __init__(self, *, with_podman: Podman, image: str, env: Mapping[str, str], **others: Any) -> None:
        super().__init__(env=with_podman.env, **others)
        self.podman = with_podman
        self.image = image
        self.name = f"alerts-{os.urandom(4).hex()}"
        self._secrets = with_podman.folder / self.name
        self._secrets.mkdir(mode=0o700)
        self._settings: list[str] = []
        for name, value in env.items():
            if name.endswith(("_KEY", "_TOKEN", "_WEBHOOK")):
                (self._secrets / name).write_text(f"{value}\n")
                os.chown(self._secrets / name, _USER, _USER)
                self._settings.append(f"--env={name}_FILE={SETTINGS}/{name}")
            else:
                self._settings.append(f"--env={name}={value}")
        os.chown(self._secrets, _USER, _USER)
        (with_podman.folder / "no-shell").touch(mode=0o644)

    async def kill(self) -> None:
        """End the service itself with kill -9, and not the podman that waits for it."""
        if self._own().child.returncode is None:
            await asyncio.to_thread(self.podman.run, "kill", "--signal=KILL", self.name)
            await self._own().child.wait()
        await self._end(signal.SIGTERM)

    async def inside(self, *words: str) -> str:
        """Run a command in the container; what it printed.

        Raises:
            PodmanFailedError: it ended with another status than 0.
        """
        return await asyncio.to_thread(self.podman.run, "exec", self.name, *words)

    def _command(self) -> list[str | Path]:
        return [
            *self.podman.command, "run", "--rm", "--name", self.name, "--network=host", "--ulimit=host",
            "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", f"--timeout={_LIFE_SECONDS}",
            f"--volume={self.name}:{STATE}", f"--volume={self.podman.folder}/no-shell:/bin/sh:ro",
            f"--volume={self._secrets}:{SETTINGS}:ro", *self._settings, self.image,
            "serve", "--listen", self.url.removeprefix("http://"), "--state-dir", STATE, *self.options,
        ]  # fmt: skip
