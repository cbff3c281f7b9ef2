"""deploy/systemd: systemd reads the unit without a complaint, and finds little that it exposes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.world import service

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "phantommesh-alerts.service"
PROGRAM = "/opt/phantommesh-alerts/venv/bin/phantommesh-alerts"
MOST_EXPOSED = 1.2
ANALYZE = shutil.which("systemd-analyze")

pytestmark = [
    pytest.mark.systemd,
    pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here; Debian's package is `systemd`"),
]


def analyze(*words: str | Path) -> tuple[int, str]:
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def unit(folder: Path, text: str) -> Path:
    """The unit with the program that is here; the place of its installation is not."""
    file = folder / UNIT.name
    file.write_text(text.replace(PROGRAM, str(service.CONSOLE_SCRIPT)))
    return file


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    assert analyze("verify", "--man=no", unit(tmp_path, UNIT.read_text())) == (0, "")


def test_a_misspelt_line_would_be_seen(tmp_path: Path) -> None:
    broken = UNIT.read_text().replace("PrivateTmp=", "PrivateTmpp=")
    assert "PrivateTmpp" in analyze("verify", "--man=no", unit(tmp_path, broken))[1]


def test_it_exposes_little() -> None:
    _, said = analyze("security", "--offline=true", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) <= MOST_EXPOSED


def test_each_secret_comes_as_a_credential_and_none_as_a_value() -> None:
    text = UNIT.read_text()
    credentials = set(
        re.findall(r"^LoadCredential=([\w-]+):/etc/phantommesh-alerts/\w+$", text, re.MULTILINE)
    )
    used = dict(re.findall(r"^Environment=(\w+)_FILE=%d/([\w-]+)$", text, re.MULTILINE))
    assert set(used.values()) == credentials
    assert {"PAGERDUTY_SERVICE_KEY", "WEBHOOK_TOKEN"} <= used.keys()
    assert text.count("\nEnvironment=") == len(used), "no other variable stands in the unit"
