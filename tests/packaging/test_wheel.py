"""The wheel is whole: built from the source distribution, installed away from the checkout, it runs."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.parts import CHECKOUT
from tests.setup import environment

DEADLINE_SECONDS = 240


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, with an environment that knows nothing of the checkout."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "CI")
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ours},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def must(*command: str | Path, folder: Path) -> str:
    done = run(*command, folder=folder)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution and not from the checkout, so that both are shown."""
    folder = tmp_path_factory.mktemp("dist")
    must(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, folder=CHECKOUT)
    must("tar", "-xzf", next(folder.glob("*.tar.gz")), folder=folder)
    source = next(path for path in folder.iterdir() if path.is_dir())
    must(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, folder=source)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the runtime lock file's packages and the wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv = folder / "venv"
    must(sys.executable, "-m", "venv", "--without-pip", venv, folder=folder)
    python = venv / "bin" / "python"
    uv = environment.uv()
    pip: list[str | Path] = (
        [uv, "pip", "install", "-q", "--python", python]
        if uv
        else [sys.executable, "-m", "pip", "--python", python, "install", "-q"]
    )
    must(*pip, "--require-hashes", "-r", CHECKOUT / "requirements.lock", folder=folder)
    must(*pip, "--no-deps", wheel, folder=folder)
    return venv


def test_the_wheel_holds_every_file_of_the_packages_and_the_rules(wheel: Path) -> None:
    places = {"webhook": "webhook", "routing": "routing", "rules": "webhook/_rules"}
    expected = {
        f"{place}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for folder, place in places.items()
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected


@pytest.mark.parametrize(
    "data", ["*.sql", "*.html", "style.css", "*.schema.json", "*.rules.yml", "runbooks/*.md", "routing.yml"]
)
def test_data_travels_with_the_code(wheel: Path, data: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert any(Path(name).match(data) for name in archive.namelist())


def test_the_runtime_lock_file_holds_all_that_the_wheel_needs(installed: Path, tmp_path: Path) -> None:
    script = """
import importlib.metadata as metadata, re
for need in metadata.requires("phantommesh-alerts"):
    metadata.version(re.match(r"[\\w.-]+", need)[0])
"""
    must(installed / "bin" / "python", "-I", "-c", script, folder=tmp_path)


def test_the_installed_command_tells_the_version_of_the_project(installed: Path, tmp_path: Path) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] in must(installed / "bin" / "phantommesh-alerts", "version", folder=tmp_path)


def test_the_installed_command_finds_its_own_configuration_rules_and_runbooks_faultless(
    installed: Path, tmp_path: Path
) -> None:
    must(installed / "bin" / "phantommesh-alerts", "check", folder=tmp_path)
