"""The last lines of `./dev test`: nothing that failed or could not run is passed over."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts import CHECKOUT
from tests.setup import suite

SAMPLE = """\
import pytest

def test_good():
    pass

def test_bad():
    assert False

@pytest.fixture
def broken():
    raise OSError("no")

def test_with_a_broken_fixture(broken):
    pass

@pytest.mark.real
def test_without_its_part():
    pytest.skip("Alertmanager is not here")

@pytest.mark.skip(reason="only on a Tuesday")
def test_of_another_day():
    pass
"""


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own, with tests that end in every way, and tools that say yes to everything."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_sample.py").write_text(SAMPLE, encoding="utf-8")
    (tmp_path / "tests" / "setup").symlink_to(CHECKOUT / "tests" / "setup")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["real"]\ntestpaths = ["tests/test_sample.py"]\n',
        encoding="utf-8",
    )
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    for tool in ("ruff", "mypy"):
        (tools / tool).symlink_to("/bin/true")
    (tools / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (tools / "python").chmod(0o755)
    monkeypatch.setattr(suite, "CHECKOUT", tmp_path)
    monkeypatch.setattr(suite, "WORKERS", ("-n1", *suite.WORKERS[1:]))  # one shows what many do
    monkeypatch.setattr(suite, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(suite, "OUTCOMES", tmp_path / ".cache" / "outcomes.json")
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def last_lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    printed = capfd.readouterr().out.splitlines()
    return printed[max(number for number, line in enumerate(printed) if line.startswith("Ran: ")) :]


@pytest.mark.usefixtures("sample")
def test_it_ends_with_what_failed_what_could_not_run_and_the_sums(capfd: pytest.CaptureFixture[str]) -> None:
    assert suite.run([], {"chromium": "install it with: sudo apt-get install chromium"}) == 1
    assert last_lines(capfd)[1:] == [
        "Failed:",
        "  tests/test_sample.py::test_bad",
        "  tests/test_sample.py::test_with_a_broken_fixture",
        "Could not run here:",
        "  chromium: install it with: sudo apt-get install chromium",
        "  Alertmanager is not here (1 tests)",
        "  only on a Tuesday (1 tests)",
        "4 passed, 2 failed, 2 skipped",
    ]


def test_a_text_that_cannot_be_encoded_reaches_the_summary(
    sample: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (sample / "tests" / "conftest.py").symlink_to(CHECKOUT / "tests" / "conftest.py")
    test = "def test_bad():\n    assert '\\ud800' == ''\n"
    (sample / "tests" / "test_sample.py").write_text(test, encoding="utf-8")
    suite.run([], {})
    assert "  tests/test_sample.py::test_bad" in last_lines(capfd)


def test_one_by_one_it_dies_without_its_outcomes(capfd: pytest.CaptureFixture[str], sample: Path) -> None:
    (sample / "tests" / "test_sample.py").write_text("import os\nos._exit(3)", encoding="utf-8")
    assert suite.run(["-x"], {}) == 1
    assert "  pytest did not come to its end (status 3)" in last_lines(capfd)


@pytest.mark.usefixtures("sample")
def test_it_ends_well_where_a_part_is_missing_on_someones_machine(capfd: pytest.CaptureFixture[str]) -> None:
    assert suite.run(["-k", "good or part"], {}) == 0
    assert last_lines(capfd)[-1] == "4 passed, 0 failed, 1 skipped"


@pytest.mark.usefixtures("sample")
def test_on_ci_a_test_that_was_skipped_for_a_missing_part_has_failed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert suite.run(["-k", "good or part or Tuesday"], {}) == 1
    lines = last_lines(capfd)
    assert "  tests/test_sample.py::test_without_its_part was skipped: Alertmanager is not here" in lines
    assert lines[-1] == "4 passed, 1 failed, 0 skipped"


@pytest.mark.usefixtures("sample")
def test_on_ci_a_part_that_could_not_be_brought_is_a_failure(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    assert suite.run(["-k", "good"], {"forky": "no way to the mirror"}) == 1
    assert "  forky: no way to the mirror" in last_lines(capfd)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("import nothing_of_that_name", "  tests/test_sample.py"),
        ("import os\nos._exit(3)", "  pytest's worker gw0: Not properly terminated"),
        ("def test_dying():\n    import os\n    os._exit(3)", "  tests/test_sample.py::test_dying"),
        (
            "def test_for_ever():\n    import time\n    time.sleep(60)",
            "  tests/test_sample.py::test_for_ever",
        ),
        ("", "  pytest collected no test"),
    ],
    ids=["not importable", "dying at once", "dying", "hanging", "empty"],
)
def test_tests_that_do_not_start_or_do_not_end_are_a_failure(
    sample: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    words: str,
) -> None:
    monkeypatch.setattr(suite, "HANGING_SECONDS", 2)
    (sample / "tests" / "test_sample.py").write_text(broken, encoding="utf-8")
    assert suite.run([], {}) == 1
    assert words in last_lines(capfd)


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_a_check_that_fails_is_a_failure(sample: Path, capfd: pytest.CaptureFixture[str], tool: str) -> None:
    (sample / ".venv" / "bin" / tool).unlink()
    (sample / ".venv" / "bin" / tool).symlink_to("/bin/false")
    assert suite.run(["-k", "good"], {}) == 1
    assert any(line.startswith(f"  {tool}") for line in last_lines(capfd))


def test_dev_explains_itself_and_refuses_what_it_does_not_know() -> None:
    told = subprocess.run([CHECKOUT / "dev", "--help"], capture_output=True, text=True, check=False)
    refused = subprocess.run([CHECKOUT / "dev", "tset"], capture_output=True, text=True, check=False)
    assert (told.returncode, refused.returncode) == (0, 2)
    assert all("./dev test" in text for text in (told.stdout, refused.stderr))
