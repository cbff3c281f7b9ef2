"""Our matchers and Alertmanager's own say the same about the same labels, in its oldest and newest generation."""

import json
import subprocess
from pathlib import Path

import pytest

from routing import matchers
from tests import parts

pytestmark = pytest.mark.real

SOURCES = (
    "a=b", 'a="b"', "a!=b", "a=~b|c", 'a=~"b.*"', 'a!~"b.*"', 'a=""', 'a!=""', '{a="b"}', '{a="b",}', "{}",
    'a="b", c!="d"', r'a=~"\d+"', r'a=~"\\d+"', r'a="x\\y"', r'a="x\ny"', r'a="say \"hi\""', 'a=~"(?i)B"',
    'a=~"(?i)É"', 'a=~"b{2}"', 'a=~"b{,2}"', 'a=~"^b$"', 'a=~"(?s).*"', 'a=~"."', 'a=~"(?P<x>b)"', 'a=~"b|"',
    r'a=~"\\x62"', 'a=~"b$|c"', 'a=~"(b|c){2,3}"', r'a=~"b\\-c"', r'a=~"\\_"', 'a=~"[^b]"', 'a=~"[]b]"', 'a=~"é"',
    r'a=~"b\\z"', 'a=~"(a{2}){3}"', 'a=~"(a|aa)+b?"',
)  # fmt: skip
VALUES = (
    "",
    "b",
    "c",
    "bc",
    "bb",
    "B",
    "12",
    r"x\y",
    'say "hi"',
    "é",
    "É",
    "b-c",
    "_",
    "]",
    "a" * 6,
    "bxc",
    "b{,2}",
)


@pytest.mark.parametrize("name", [parts.GENERATIONS[0], parts.GENERATIONS[-1]])
def test_alertmanager_says_the_same(name: str, tmp_path: Path) -> None:
    found = parts.generation(name)
    if found is None:
        pytest.skip(f"./dev parts has not brought {name}'s Alertmanager here")
    routes = [
        {"receiver": str(index), "matchers": [source], "continue": True}
        for index, source in enumerate(SOURCES)
    ]
    receivers = ["none", *map(str, range(len(SOURCES)))]
    (tmp_path / "alertmanager.yml").write_text(
        json.dumps(
            {
                "route": {"receiver": "none", "routes": routes},
                "receivers": [{"name": receiver} for receiver in receivers],
            }
        ),
        "utf-8",
    )

    def theirs(value: str) -> set[str]:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        answer = subprocess.run(
            [found.amtool, "config", "routes", "test", "--config.file=alertmanager.yml", f'a="{escaped}"'],
            cwd=tmp_path, check=True, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return {SOURCES[int(index)] for index in answer.stdout.splitlines()[-1].split(",")}

    def ours(value: str) -> set[str]:
        labels = {"a": value}
        return {
            source for source in SOURCES if all(matcher.matches(labels) for matcher in matchers.parse(source))
        }

    assert {value: ours(value) for value in VALUES} == {value: theirs(value) for value in VALUES}
