"""Makes .venv: the locked dependencies and this checkout, with uv where it works and with pip otherwise.

Standard library only: this runs before anything is installed.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from typing import NoReturn

from tests.parts import CHECKOUT
from tests.setup import debian

VENV = CHECKOUT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = CHECKOUT / "requirements-dev.lock"
STAMP = VENV / "installed-from"


class Failed(Exception):
    """The environment could not be made; the text says why, for people."""


def ensure() -> str:
    """Make .venv what the lock file and pyproject.toml say; return in a few words what was done.

    Raises:
        Failed: neither uv nor pip could install the dependencies.
    """
    digest = wanted()
    with debian.only_one():
        if PYTHON.exists() and STAMP.is_file() and STAMP.read_text(encoding="utf-8") == digest:
            return "as it was"
        how = "uv" if _with_uv() else _with_pip()
        STAMP.write_text(digest, encoding="utf-8")
        return f"installed with {how}"


def wanted() -> str:
    """Return a digest of all that decides what .venv holds."""
    total = hashlib.sha256()
    for file in (LOCK, CHECKOUT / "pyproject.toml"):
        total.update(file.read_bytes())
    # An editable install remembers where it was made: a moved checkout needs a new one.
    total.update(str(CHECKOUT).encode())
    return total.hexdigest()


def uv() -> str | None:
    """Return uv, if it is on PATH and starts. A version manager's shim may be there without its program."""
    found = shutil.which("uv")
    return found if found and _succeeds(found, "--version", quiet=True) else None


def _with_uv() -> bool:
    program = uv()
    if program is None:
        return False
    install = (program, "pip", "install", "-q", "--python", str(PYTHON))
    done = (
        (
            PYTHON.exists()
            or _succeeds(program, "venv", "-q", "--clear", "--python", sys.executable, str(VENV))
        )
        and _succeeds(*install, "--require-hashes", "-r", str(LOCK))
        and _succeeds(*install, "--no-deps", "--no-build-isolation", "-e", str(CHECKOUT))
    )
    if not done:
        # uv reads none of pip's configuration: behind a company's mirror only pip may get through.
        print("uv could not install the dependencies; trying pip", flush=True)
    return done


def _with_pip() -> str:
    if not _succeeds(str(PYTHON), "-m", "pip", "--version", quiet=True):
        _make_with_pip()
    pip = (str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    if not _succeeds(*pip, "--require-hashes", "-r", str(LOCK)):
        raise Failed("pip could not install requirements-dev.lock (its own words are above)")
    if not _succeeds(*pip, "--no-deps", "--no-build-isolation", "-e", str(CHECKOUT)):
        raise Failed("pip could not install this checkout (its own words are above)")
    return "pip"


def _make_with_pip() -> None:
    bare = importlib.util.find_spec("ensurepip") is None
    options = ["--clear", *(["--without-pip"] if bare else [])]
    if not _succeeds(sys.executable, "-m", "venv", *options, str(VENV)):
        raise Failed(f"{sys.executable} could not make a virtual environment in {VENV}")
    if not bare:
        return
    try:
        wheel = debian.pip_wheel()
    except debian.Unavailable as error:
        raise Failed(f"this python3 has no pip, and Debian's could not be fetched: {error}") from error
    # A wheel runs where it lies, so it can install itself.
    if not _succeeds(str(PYTHON), f"{wheel}/pip", "install", "-qq", "--no-index", "--no-deps", str(wheel)):
        raise Failed(f"{wheel} could not be installed into {VENV}")


def _succeeds(*command: str, quiet: bool = False) -> bool:
    """Run a command; its output goes to the terminal unless `quiet`."""
    output = subprocess.DEVNULL if quiet else None
    # A virtual environment that happens to be active must not be the one that is installed into.
    unset = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    except FileNotFoundError:
        return False
    return done.returncode == 0


LOCKS = {
    "pyproject.toml": "requirements.lock",
    "pyproject.toml --group dev": "requirements-dev.lock",
    "--group build --constraint requirements-dev.lock": "deploy/container/build.lock",
}
"""Every lock file, by what uv is to resolve for it."""


def renew_lock_files(options: list[str]) -> None:
    """Resolve the lock files anew, for every platform and Python from 3.11 on.

    Args:
        options: further options for uv, such as `--upgrade` or `--upgrade-package NAME`.

    Raises:
        Failed: uv is not here, or it could not resolve them.
    """
    program = uv()
    if program is None:
        raise Failed("`./dev lock` needs uv: https://docs.astral.sh/uv/")
    fixed = (
        "pip compile -q --universal --python-version 3.11 --generate-hashes"
        " --no-emit-index-url --no-emit-find-links --no-header --no-annotate"
    )
    for what, lock in LOCKS.items():
        if not _succeeds(program, *fixed.split(), *what.split(), *options, "-o", lock):
            raise Failed(f"uv could not resolve {lock} (its own words are above)")


def enter(module: str, arguments: list[str]) -> NoReturn:
    """Become a module of the tests, run from the checkout with .venv's Python."""
    os.chdir(CHECKOUT)
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), "-m", module, *arguments])
