"""Nobody can change a rule without a test noticing: every small change of every rule is tried."""

import os
from pathlib import Path

import pytest

from tests import parts
from tests.rules import mutants


@pytest.mark.real
@pytest.mark.parametrize("file", sorted(mutants.RULES.glob("*.rules.yml")), ids=lambda file: file.name)
def test_no_mutant_of_a_rule_survives(file: Path) -> None:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    report = mutants.hunt(here.promtool, [file.name], jobs=os.cpu_count() or 1)
    print(report)
    assert report.clean, str(report)


def test_a_known_equivalent_has_a_reason() -> None:
    known = mutants.known_equivalents({file.name for file in mutants.RULES.glob("*.rules.yml")})
    assert all(reason.endswith(".") for reason in known.values())
