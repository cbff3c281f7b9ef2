"""Every `*.txt` beside this file is a case: a command line, its input files, and all that it answers.

A case looks like this (the order of the sections does not matter):

    # What it shows.
    env PAGERDUTY_SERVICE_KEY=secret
    $ phantommesh-alerts check --config routing.yml
    exit 1
    -- stdout --
    ...
    -- stderr --
    -- routing.yml --
    ...

After a wanted change of wording, REWRITE_EXPECTATIONS=1 writes what is answered now into the cases; read the
difference before you commit it.
"""

import os
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from webhook import cli

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
ANSWERS = ("stdout", "stderr")


def sections(text: str) -> dict[str, str]:
    """The parts of a case by name; what stands before the first one is called "head"."""
    parts = re.split(r"^-- (.+) --\n", text, flags=re.MULTILINE)
    return {"head": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


@pytest.mark.parametrize("case", sorted(HERE.glob("*.txt")), ids=lambda case: case.stem)
def test_the_command_answers_as_the_case_says(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = sections(case.read_text("utf-8"))
    head = expected.pop("head")
    for name in expected.keys() - set(ANSWERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(expected[name], "utf-8")
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^\$ phantommesh-alerts(.*)$", head, flags=re.MULTILINE)
    given = dict(re.findall(r"^env (\w+)=(.*)$", head, flags=re.MULTILINE))
    runner = CliRunner(env={**dict.fromkeys(os.environ), "COLUMNS": "100", **given})

    result = runner.invoke(cli.main, shlex.split(command), prog_name="phantommesh-alerts")

    answered = {
        "stdout": result.stdout.replace(str(CHECKOUT), "CHECKOUT"),
        "stderr": result.stderr.replace(str(CHECKOUT), "CHECKOUT"),
    }
    head_now = re.sub(r"^exit .*$", f"exit {result.exit_code}", head, flags=re.MULTILINE)
    if os.environ.get("REWRITE_EXPECTATIONS"):
        now = {**answered, **{name: text for name, text in expected.items() if name not in ANSWERS}}
        case.write_text(head_now + "".join(f"-- {name} --\n{text}" for name, text in now.items()), "utf-8")
    assert (head, *map(expected.get, ANSWERS)) == (head_now, *answered.values())
