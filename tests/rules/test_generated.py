"""What repeats the rules is in step with them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import parts
from tests.rules import generate

OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all(generate.OBJECTS.read_text("utf-8")))


@pytest.mark.parametrize(
    "path",
    [generate.OBJECTS, generate.README, generate.ALERTMANAGER_CONFIG, generate.ALERTMANAGER_SECRET],
    ids=lambda path: path.name,
)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text("utf-8") == generate.wanted()[path], "run ./dev rules"


def test_each_rule_file_is_one_object_with_the_same_rules() -> None:
    files = {
        f"phantommesh-{file.name.removesuffix('.rules.yml')}": yaml.safe_load(file.read_text("utf-8"))
        for file in generate.RULES.glob("*.rules.yml")
    }
    assert {made["metadata"]["name"]: made["spec"] for made in OBJECTS} == files


def test_the_objects_are_prometheusrules_that_say_their_version() -> None:
    version = (generate.RULES / "VERSION").read_text("utf-8").strip()
    assert {(made["apiVersion"], made["kind"]) for made in OBJECTS} == {
        ("monitoring.coreos.com/v1", "PrometheusRule")
    }
    assert {made["metadata"]["labels"]["app.kubernetes.io/version"] for made in OBJECTS} == {version}


@pytest.mark.real
@pytest.mark.parametrize("generation", parts.GENERATIONS)
def test_what_the_operator_would_hand_to_prometheus_loads(generation: str, tmp_path: Path) -> None:
    here = parts.generation(generation)
    if here is None:
        pytest.skip(f"the {generation} generation is not here: `./dev parts` brings it")
    files = [tmp_path / f"{made['metadata']['name']}.yml" for made in OBJECTS]
    for file, made in zip(files, OBJECTS, strict=True):
        file.write_text(yaml.safe_dump(made["spec"]), "utf-8")
    done = subprocess.run(
        [here.promtool, "check", "rules", *files], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_names_every_alert() -> None:
    table = "\n".join(generate.table())
    names = {
        rule["alert"]
        for file in generate.RULES.glob("*.rules.yml")
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert {name for name in names if f"| {name}" not in table} == set()
