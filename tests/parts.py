"""Where the real programs are that the tests and the demo start.

`./dev` unpacks them (tests/setup/debian.py). This module only looks: it fetches nothing and starts nothing.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
CACHE = CHECKOUT / ".cache" / "parts"

# Debian's suites, oldest first: Prometheus 2.42 with Alertmanager 0.25, 2.53 with 0.28, 3.5 with 0.33.
GENERATIONS = ("bookworm", "trixie", "forky")
PROGRAMS = ("prometheus", "promtool", "alertmanager", "amtool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One set of programs that belong together."""

    name: str
    prometheus: Path
    promtool: Path
    alertmanager: Path
    amtool: Path

    def programs(self) -> list[Path]:
        return [getattr(self, field) for field in PROGRAMS]


def generation(name: str) -> Parts | None:
    """Return the parts of one Debian suite, or None if `./dev parts` has not brought them here."""
    folder = CACHE / name / "usr" / "bin"
    parts = Parts(
        name=name,
        prometheus=folder / "prometheus",
        promtool=folder / "promtool",
        alertmanager=folder / "prometheus-alertmanager",
        amtool=folder / "amtool",
    )
    return parts if all(program.is_file() for program in parts.programs()) else None


def on_path() -> dict[str, Path]:
    """Return those of the four programs that PATH holds, by their field name in `Parts`."""
    # Debian calls its binary prometheus-alertmanager; everyone else calls it alertmanager.
    names = {
        "prometheus": ("prometheus",),
        "promtool": ("promtool",),
        "alertmanager": ("alertmanager", "prometheus-alertmanager"),
        "amtool": ("amtool",),
    }
    found = {field: next(filter(None, map(shutil.which, tries)), None) for field, tries in names.items()}
    return {field: Path(path) for field, path in found.items() if path}


def for_demo() -> Parts:
    """Return each program from PATH where it is there, else from the newest generation in the cache.

    Raises:
        FileNotFoundError: a program is in neither. The text names the command that brings it.
    """
    own = on_path()
    brought = generation(GENERATIONS[-1])
    cached = {} if brought is None else {program: getattr(brought, program) for program in PROGRAMS}
    chosen = {**cached, **own}
    missing = [program for program in PROGRAMS if program not in chosen]
    if missing:
        raise FileNotFoundError(f"not on PATH: {', '.join(missing)}. `./dev parts` brings them.")
    return Parts(name="PATH" if len(own) == len(PROGRAMS) else GENERATIONS[-1], **chosen)


def no_containers() -> str:
    """Why this machine cannot run containers, whatever is installed; "" where it can."""
    if os.geteuid() != 0:
        return "containers are run by root"
    if not any(Path("/sys/fs/cgroup").glob("*")):
        return "containers need /sys with its cgroups, which is not mounted here"
    return ""


def chromium() -> Path | None:
    """Return the Chromium that the browser tests drive, or None."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return Path(found) if found else None
