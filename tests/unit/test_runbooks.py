"""Which runbook an alert has, what it says to do first, and that no label can turn its commands into others."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing import runbooks
from tests.unit import told

NAMES = {"ServiceDown", "database"}
URL = "https://alerts.example/runbooks"


@pytest.mark.parametrize(
    ("annotation", "alertname", "found"),
    [
        (f"{URL}/database", "ServiceDown", "database"),
        (f"{URL}/database/", "ServiceDown", "database"),
        (f"{URL}/database.md?plain=1#top", "ServiceDown", "database"),
        (f"{URL}/unknown", "ServiceDown", "ServiceDown"),
        ("", "ServiceDown", "ServiceDown"),
        ("https://[broken", "ServiceDown", "ServiceDown"),
        (f"{URL}/unknown", "HighCPU", None),
        ("", "", None),
    ],
)
def test_the_runbook_of_an_alert(annotation: str, alertname: str, found: str | None) -> None:
    assert runbooks.find({"alertname": alertname}, {"runbook_url": annotation}, NAMES) == found


def test_an_alert_without_annotations_has_the_runbook_of_its_name() -> None:
    assert runbooks.find({"alertname": "database"}, {}, NAMES) == "database"


PAGE = """# Disk filling: less than 15 % is free

Text before the section, with a list:

1. Not a step.

## First three minutes

1. See what fills it,
   and how fast. See [the map](map.md).

   ```sh
   df -h
     # indented more
   ```

2. Call the owner.
3) Delete old dumps.
   ~~~
   find /dumps
   ## no heading
   ~~~

### Still inside

4. Look again.

## Later

1. Not a step either.
"""


def test_the_title_is_the_first_line() -> None:
    assert runbooks.parse(PAGE).title == "Disk filling: less than 15 % is free"


def test_steps_are_the_items_of_the_first_minutes() -> None:
    assert [step.sentence for step in runbooks.parse(PAGE).steps] == [
        "See what fills it, and how fast. See the map.",
        "Call the owner.",
        "Delete old dumps.",
        "Look again.",
    ]


def test_a_step_has_the_commands_of_its_block() -> None:
    assert [step.command for step in runbooks.parse(PAGE).steps] == [
        "df -h\n  # indented more",
        "",
        "find /dumps\n## no heading",
        "",
    ]


def test_the_first_command_is_the_first_block_of_the_first_minutes() -> None:
    page = "# T\n```sh\nnot this\n```\n## First three minutes\n1. Look.\n2. Do.\n```sh\nthis\n```\n"
    assert runbooks.parse(page).first_command == "this"


def test_a_page_without_commands_has_no_first_command() -> None:
    assert runbooks.parse("# T\n## First three minutes\n1. Look.\n").first_command == ""


def test_a_block_that_never_closes_ends_with_the_page() -> None:
    page = runbooks.parse("# T\n## First three minutes\n1. Look.\n```sh\nls\n## Later\n")
    assert page.first_command == "ls\n## Later"


@given(st.text() | told.texts)
def test_no_page_is_too_strange_to_be_read(markdown: str) -> None:
    runbooks.parse(markdown)
    runbooks.parse(f"# t\n## First three minutes\n{markdown}")


@pytest.mark.parametrize(
    ("command", "filled"),
    [
        ("kubectl -n {namespace} get pods", "kubectl -n prod get pods"),
        ("curl http://{service}.{namespace}.svc:8080", "curl http://vpn-core.prod.svc:8080"),
        ("kubectl logs {pod}", "kubectl logs <pod>"),
        ("echo {empty}", "echo <empty>"),
        ("awk '{print $1}'", "awk '{print $1}'"),
        ("jq '{a: .b}' ; jq '{}'", "jq '{a: .b}' ; jq '{}'"),
        ("echo ${namespace}", "echo ${namespace}"),
        ("curl -w '%{namespace}'", "curl -w '%{namespace}'"),
        ("docker ps --format '{{namespace}}'", "docker ps --format '{{namespace}}'"),
        ("touch {a,b}", "touch {a,b}"),
        ("echo {spaced}", "echo 'two words'"),
        ("echo x{spaced}y", "echo x'two words'y"),
        ("grep 'it' | echo {spaced}", "grep 'it' | echo 'two words'"),
        ('echo "$HOME" {spaced}', "echo \"$HOME\" 'two words'"),
        ("# don't\necho {spaced}", "# don't\necho 'two words'"),
        ("echo '{spaced}'", "echo '<spaced>'"),
        ('echo "{spaced}"', 'echo "<spaced>"'),
        ("echo '{namespace}'", "echo 'prod'"),
        ('echo "$(echo "{spaced}")"', 'echo "$(echo "<spaced>")"'),
        ("cat <<EOF\n{spaced}\nEOF", "cat <<EOF\n<spaced>\nEOF"),
        ("echo $'it\\'s {spaced}'", "echo $'it\\'s <spaced>'"),
        ("rm {option}", "rm <option>"),
        ("echo {long}", "echo <long>"),
    ],
)
def test_labels_are_filled_in(command: str, filled: str) -> None:
    labels = {
        "namespace": "prod",
        "service": "vpn-core",
        "empty": "",
        "spaced": "two words",
        "option": "-rf",
        "long": "x" * 1_001,
    }
    assert runbooks.fill(command, labels) == filled


def test_a_filled_value_is_not_filled_again() -> None:
    assert runbooks.fill("echo {a}", {"a": "{b}", "b": "$(x)"}) == "echo '{b}'"


@pytest.mark.parametrize("strange", ["\n", "\r", "\x00", "\x1b", "\u202e", "\u2028", "\ud800"])
def test_a_value_cannot_end_the_line_or_hide(strange: str) -> None:
    assert runbooks.fill("echo {a}", {"a": f"x{strange}rm"}) == "echo 'x\ufffdrm'"


TEMPLATES = (
    "printf %s {a}",
    "printf %s x{a}y",
    'printf %s "{a}"',
    "printf %s '{a}'",
    'printf %s "$(printf %s {a})"',
    'printf %s "$(printf %s "{a}")"',
    "printf %s $(printf %s {a})",
    "printf %s `printf %s {a}`",
    "# it's {a}\ntrue",
    "# it's\nprintf %s '{a}'",
    "printf %s \\'{a}",
    "printf %s \\\\{a}",
    "cat <<END\n{a}\nEND",
    'printf %s "it\'s" {a}',
    "printf %s 'say \"' {a} '\"'",
)
PIECES = st.sampled_from(
    [
        "$(touch broken)",
        "`touch broken`",
        "; touch broken;",
        "| touch broken",
        "&& touch broken ",
        "\ntouch broken\n",
        "'",
        '"',
        "\\",
        "#",
        "$",
        "!",
        "-",
        " ",
        "<",
        ">",
        "END",
        "a",
        "\x00",
        "\r",
    ]
)
VALUES = st.lists(PIECES, min_size=1, max_size=6).map("".join)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each example removes what it made, so they may share the folder
@given(st.sampled_from(TEMPLATES), VALUES)
def test_no_value_runs_anything_in_a_real_shell(tmp_path: Path, template: str, value: str) -> None:
    subprocess.run(
        ["sh", "-c", runbooks.fill(template, {"a": value})],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        timeout=10,
    )
    assert not (tmp_path / "broken").exists()


@settings(max_examples=60, deadline=None)
@given(VALUES.filter(lambda value: not value.startswith("-") and value.isprintable()))
def test_a_shell_reads_back_the_very_value(value: str) -> None:
    ran = subprocess.run(
        ["sh", "-c", runbooks.fill("printf %s {a}", {"a": value})],
        check=True,
        capture_output=True,
        timeout=10,
    )
    assert ran.stdout.decode() == value
