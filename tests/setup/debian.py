"""Brings programs out of Debian's packages without root and without a trace on the system.

The machine's own apt client does the work, with its own proxies, keys and mirror, but with a configuration, lists
and a cache that lie in the checkout. Packages are unpacked, never installed, and no daemon starts.
Standard library only: this runs before anything is installed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import parts

PACKAGES = {
    "bookworm": ("prometheus", "prometheus-alertmanager"),
    "trixie": ("prometheus", "promtool", "prometheus-alertmanager"),
    "forky": ("prometheus", "promtool", "prometheus-alertmanager"),
}
SUITES = re.compile(
    r"(old)*stable|testing|unstable|sid|bullseye|bookworm|trixie|forky|duke"  # never -security, -updates
)
APT_CACHE = parts.CHECKOUT / ".cache" / "apt"
DEADLINE_SECONDS = 240
ATTEMPTS = 3

Field = tuple[str, str]


class Unavailable(Exception):
    """A part could not be brought; the text says why, for people."""


# --- the machine's own Debian source -------------------------------------------------------------------------


def machine_source(etc_apt: Path = Path("/etc/apt")) -> list[Field]:
    """Return the machine's own Debian source entry as deb822 fields.

    Raises:
        Unavailable: apt has no entry for Debian's main archive.
    """
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    found = []
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        found += deb822_entries(text) if file.suffix == ".sources" else one_line_entries(text)
    usable = [entry for entry in found if _is_debian_main(dict(entry))]
    if not usable:
        raise Unavailable(f"apt has no Debian source in {etc_apt}: put the programs on PATH instead")
    # Other vendors also name their suites after Debian's, so an address that says Debian goes first.
    return max(usable, key=lambda entry: "debian" in dict(entry)["uris"].lower())


def deb822_entries(text: str) -> list[list[Field]]:
    """Read a .sources file: paragraphs of `Field: value`, where a value may go on in indented lines."""
    entries = []
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", lines):
        matches = re.finditer(r"^([\w-]+):(.*(?:\n[ \t].*)*)", paragraph, re.MULTILINE)
        entries.append([(match[1].lower(), match[2].strip()) for match in matches])
    return [entry for entry in entries if entry]


def one_line_entries(text: str) -> list[list[Field]]:
    """Read a .list file: `deb [option=value ...] address suite component ...`."""
    entries = []
    for line in text.splitlines():
        match = re.match(r"(deb)\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)", line.strip())
        if match is None:
            continue
        options = [option.split("=", 1) for option in (match[2] or "").split() if "=" in option]
        entry = [("types", "deb"), ("uris", match[3]), ("suites", match[4]), ("components", match[5].strip())]
        # The two notations name one option differently: arch= is Architectures:.
        entry += [("architectures" if name == "arch" else name, value) for name, value in options]
        entries.append(entry)
    return entries


def _is_debian_main(entry: dict[str, str]) -> bool:
    return (
        "deb" in entry.get("types", "").split()
        and entry.get("enabled", "yes").lower() not in ("no", "false", "0", "off")
        and any(map(SUITES.fullmatch, entry.get("suites", "").split()))
        and "main" in entry.get("components", "").split()
        and "uris" in entry
    )


def source_for(suite: str, entry: list[Field]) -> str:
    """Return the entry as a .sources file with nothing changed but suite, component and type."""
    own = {"types": "deb", "suites": suite, "components": "main"}
    kept = [(name, value) for name, value in entry if name not in own]
    return "".join(f"{name.title()}: {value}\n" for name, value in [*own.items(), *kept])


# --- apt with a configuration of its own ---------------------------------------------------------------------


def _configure(suite: str) -> Path:
    home = APT_CACHE / suite
    for folder in ("state/lists/partial", "cache/archives/partial", "sources.d"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "status").touch()
    (home / "sources.d" / "debian.sources").write_text(source_for(suite, machine_source()), encoding="utf-8")
    settings = {
        "Dir::State": f"{home}/state",
        # What is installed here must not decide which version is fetched.
        "Dir::State::status": f"{home}/status",
        "Dir::Cache": f"{home}/cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": f"{home}/sources.d",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "APT::Default-Release": "",
        # Root's apt would download as another user, who may not enter the checkout.
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
        "Acquire::PDiffs": "false",
        "Acquire::Retries": "3",
    }
    # A machine's hooks belong to its own updates: they would clean caches that are not ours.
    hooks = ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")
    lines = [f"#clear APT::Update::{hook};" for hook in hooks]
    lines += [f'{name} "{value}";' for name, value in settings.items()]
    config = home / "apt.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        Unavailable: it failed, took too long, or is not on this machine.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not end within {DEADLINE_SECONDS} s") from error
    if done.returncode:
        lines = done.stdout.strip().splitlines()
        errors = [line for line in lines if line.startswith("E:")] or lines[-3:]
        raise Unavailable(f"{command[0]} ended with {done.returncode}: {' '.join(errors)}")
    return done.stdout


def unpack(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Download packages of a suite and unpack them as one tree at `target`: whole, or not at all.

    Raises:
        Unavailable: three attempts failed. Nothing is left at `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        half = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            config = _configure(suite)
            debs = half / "debs"
            tree = half / "tree"
            debs.mkdir()
            tree.mkdir()
            _run("apt-get", "-q", "-c", config, "update")
            _run("apt-get", "-q", "-c", config, "download", *packages, folder=debs)
            for package in sorted(debs.glob("*.deb")):
                _run("dpkg", "-x", package, tree)
            tree.chmod(0o755)
            tree.rename(target)
        except Unavailable:
            if attempt == ATTEMPTS:
                raise
            time.sleep(2 * attempt)
        else:
            return
        finally:
            # A broken list or a half-written file must not meet the next attempt.
            shutil.rmtree(APT_CACHE / suite, ignore_errors=True)
            shutil.rmtree(half, ignore_errors=True)


# --- what the two commands need ------------------------------------------------------------------------------


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Let only one `./dev` at a time change the cache of this checkout."""
    lock = parts.CHECKOUT / ".cache" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bring(suites: tuple[str, ...]) -> dict[str, str]:
    """Bring the parts of these suites, side by side; return what could not be brought, with the reason."""

    def one(suite: str) -> str | None:
        try:
            if parts.generation(suite) is None:
                shutil.rmtree(parts.CACHE / suite, ignore_errors=True)
                unpack(suite, PACKAGES[suite], parts.CACHE / suite)
            versions(suite)
        except Unavailable as error:
            return str(error)
        return None

    with only_one(), ThreadPoolExecutor(max_workers=len(suites)) as pool:
        reasons = dict(zip(suites, pool.map(one, suites), strict=True))
    return {suite: reason for suite, reason in reasons.items() if reason is not None}


def versions(suite: str) -> dict[Path, str]:
    """Start each part of a suite for its version, which also shows that it runs on this machine.

    Raises:
        Unavailable: the suite is not here, or one of its programs does not start.
    """
    found = parts.generation(suite)
    if found is None:
        raise Unavailable(f"Debian's {suite} packages do not hold all four programs")
    return {path: _version(path) for path in found.programs()}


def _version(program: Path) -> str:
    match = re.search(r"version (\S+)", _run(program, "--version"))
    if match is None:
        raise Unavailable(f"{program} does not tell its version")
    return match[1]


def pip_wheel() -> Path:
    """Bring pip as Debian's own wheel, for a python3 that came without pip and without ensurepip.

    The caller holds `only_one`.

    Raises:
        Unavailable: the package could not be had.
    """
    folder = parts.CACHE / "pip"
    if not folder.is_dir():
        unpack("trixie", ("python3-pip-whl",), folder)
    return next((folder / "usr" / "share" / "python-wheels").glob("pip-*.whl"))
