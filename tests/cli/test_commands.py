"""What a script case cannot say: answers that change with each version, and the speed of the answer."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner

from webhook import cli

CHECKOUT = Path(__file__).parents[2]
VERSION = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
RULESET_VERSION = (CHECKOUT / "rules" / "VERSION").read_text("utf-8").strip()


def test_the_version_is_told_with_that_of_the_rules() -> None:
    result = CliRunner().invoke(cli.main, ["version"])
    assert result.stdout == f"phantommesh-alerts {VERSION} (rules {RULESET_VERSION})\n"


def test_the_version_is_told_to_scripts() -> None:
    result = CliRunner().invoke(cli.main, ["version", "--output", "json"])
    assert json.loads(result.stdout) == {"version": VERSION, "ruleset_version": RULESET_VERSION}


def test_what_this_repository_ships_passes_its_own_check() -> None:
    result = CliRunner(env={"WEBHOOK_TOKEN": "hidden"}).invoke(cli.main, ["check"])
    assert re.search(r"^no errors, \d+ notes?$", result.stdout, flags=re.MULTILINE), result.stdout
    assert result.exit_code == 0


def test_every_command_has_help_with_an_example() -> None:
    for words in (["serve"], ["check"], ["route", "test"]):
        answer = CliRunner().invoke(cli.main, [*words, "--help"]).stdout
        assert f"phantommesh-alerts {' '.join(words)}" in answer.partition("Examples:")[2], words


def test_checking_does_not_wait_for_the_libraries_of_the_server() -> None:
    program = (
        "import sys; from webhook import check, cli, config, routetest, rulefiles; config.load(None, {}); "
        "print(*sorted({'aiohttp', 'slack_sdk', 'pdpyras', 'sqlite3'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=True
    )
    assert answer.stdout == "\n"
