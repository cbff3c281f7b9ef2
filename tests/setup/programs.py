"""Programs that only apt and root can bring: Chromium, what runs containers, systemd's own checks.

Everything that is missing is installed by one call. Standard library only: this runs before anything is installed.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from tests import parts
from tests.setup.progress import step

_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something that tests need. `here` says whether it is, `obstacle` why it cannot be, "" where it can."""

    name: str
    packages: tuple[str, ...]
    here: Callable[[], bool]
    obstacle: Callable[[], str] = str


def has_libatomic() -> bool:
    """Whether Playwright's driver can be loaded."""
    try:
        ctypes.CDLL("libatomic.so.1")
    except OSError:
        return False
    return True


WANTED = (
    # libatomic1: Playwright's driver needs it, and a bare Debian has none.
    Program(
        name="chromium",
        packages=("chromium", "fonts-liberation", "libatomic1"),
        here=lambda: parts.chromium() is not None and has_libatomic(),
    ),
    Program(
        name="containers",
        packages=("podman", "runc", "mmdebstrap"),
        here=lambda: all(map(shutil.which, ("podman", "runc", "mmdebstrap"))),
        obstacle=parts.no_containers,
    ),
    Program(name="systemd", packages=("systemd",), here=lambda: shutil.which("systemd-analyze") is not None),
)


def bring() -> dict[str, str]:
    """Install what is missing, where that is allowed; return what is missing then, each with the reason."""
    hopeless = {one.name: obstacle for one in WANTED if (obstacle := one.obstacle())}
    missing = [one for one in WANTED if one.name not in hopeless and not one.here()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        with step(f"From Debian's packages: {', '.join(one.name for one in missing)}") as words:
            said = _install(missing)
            absent = [one.name for one in missing if not one.here()]
            words.append(f"could not be installed: {', '.join(absent)}" if absent else "installed")
        if absent:
            print(said[-2000:], flush=True)
    return hopeless | {
        one.name: f"install it with: sudo {' '.join((*_INSTALL, *one.packages))}"
        for one in missing
        if not one.here()
    }


def _install(missing: list[Program]) -> str:
    said = ""
    packages = [package for one in missing for package in one.packages]
    for command in (("apt-get", "-q", "update"), (*_INSTALL, *packages)):
        said += subprocess.run(
            command,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        ).stdout
    return said
