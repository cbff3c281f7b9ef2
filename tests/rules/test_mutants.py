"""Nobody can change a rule without a test noticing: every small change of every rule is tried."""

import os
from pathlib import Path

import pytest

from tests import parts
from tests.rules import mutants

FILES = sorted(file.name for file in mutants.RULES.glob("*.rules.yml"))

A_RULE = """
groups: [{name: g, rules: [{record: "a:above_1", expr: a > 1}]}]
"""
A_TEST = """
rule_files: [../a.rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series: [{series: a, values: "VALUES"}]
    promql_expr_test: [{expr: "a:above_1", eval_time: 0m SEEN}, {expr: "a:above_1", eval_time: 1m}]
"""


@pytest.fixture
def promtool() -> Path:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    return here.promtool


@pytest.mark.real
@pytest.mark.parametrize("name", FILES)
def test_no_mutant_of_a_rule_survives(promtool: Path, name: str) -> None:
    report = mutants.hunt(promtool, [name], jobs=os.cpu_count() or 1)
    print(report)
    assert report.clean, str(report)


@pytest.mark.real
@pytest.mark.parametrize(
    ("values", "survivors"),
    [("2 1", []), ("3 1", ["`1` becomes `2`"]), ("2 0.5", ["`>` becomes `>=`"])],
)
def test_a_mutant_that_no_test_notices_is_named(
    promtool: Path, tmp_path: Path, values: str, survivors: list[str]
) -> None:
    seen = f", exp_samples: [{{labels: 'a:above_1', value: {values[0]}}}]"
    (tmp_path / "tests").mkdir()
    (tmp_path / "a.rules.yml").write_text(A_RULE)
    (tmp_path / "tests" / "a.test.yml").write_text(A_TEST.replace("VALUES", values).replace(" SEEN", seen))
    report = mutants.hunt(promtool, jobs=1, folder=tmp_path)
    assert report.mutants == 4
    assert report.survivors == [
        f"rules/a.rules.yml:2: a:above_1: {survivor} in `a > 1`" for survivor in survivors
    ]


def test_a_known_equivalent_has_a_reason() -> None:
    known = mutants.known_equivalents(set(FILES))
    assert all(reason.endswith(".") for reason in known.values())
