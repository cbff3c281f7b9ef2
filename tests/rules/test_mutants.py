"""Nobody can change a rule without a test noticing: every small change was tried."""

import os

import pytest

from tests import parts
from tests.rules import mutants


@pytest.mark.real
def test_no_mutant_of_a_rule_survives() -> None:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    report = mutants.hunt(here.promtool, jobs=os.cpu_count() or 1)
    print(report)
    assert report.clean, str(report)
