"""Which Prometheus and Alertmanager the tests and the demo start."""

from pathlib import Path

import pytest

from tests import parts

DEBIAN_NAMES = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")


def place(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch(mode=0o755)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a PATH that holds nothing."""
    monkeypatch.setattr(parts, "CACHE", tmp_path / "cache")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    return tmp_path / "cache"


def test_a_generation_of_which_a_program_is_missing_is_not_here(cache: Path) -> None:
    place(cache / "trixie" / "usr" / "bin", *DEBIAN_NAMES[:-1])
    assert parts.generation("trixie") is None


def test_the_demo_takes_all_from_path_where_all_are_there(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(cache / "forky" / "usr" / "bin", *DEBIAN_NAMES)
    own = place(tmp_path / "own", "prometheus", "promtool", "alertmanager", "amtool")
    monkeypatch.setenv("PATH", str(own))
    chosen = parts.for_demo()
    assert chosen.name == "PATH"
    assert {program.parent for program in chosen.programs()} == {own}


def test_the_demo_takes_what_path_does_not_hold_from_the_newest_generation(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = place(cache / "forky" / "usr" / "bin", *DEBIAN_NAMES)
    own = place(tmp_path / "own", "prometheus")
    monkeypatch.setenv("PATH", str(own))
    chosen = parts.for_demo()
    assert chosen == parts.Parts(
        name="forky",
        prometheus=own / "prometheus",
        promtool=newest / "promtool",
        alertmanager=newest / "prometheus-alertmanager",
        amtool=newest / "amtool",
    )


@pytest.mark.usefixtures("cache")
def test_the_demo_names_the_command_that_brings_what_is_missing() -> None:
    with pytest.raises(FileNotFoundError, match=r"\./dev parts"):
        parts.for_demo()
