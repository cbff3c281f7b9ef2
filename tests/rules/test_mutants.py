"""Nobody can change a rule without a test noticing: every small change of every rule is tried."""

import os
from collections.abc import Iterator

import pytest

from tests import parts
from tests.rules import mutants, mutations

# So many that a share takes about a minute on two cores.
MUTANTS_AT_ONCE = 120


def shares() -> Iterator[tuple[str, int, int]]:
    """Each rule file's name, with the number of each share of its mutants and of all its shares."""
    for file in sorted(mutants.RULES.glob("*.rules.yml")):
        count = sum(1 for _ in mutations.of_file(file)) // MUTANTS_AT_ONCE + 1
        yield from ((file.name, share, count) for share in range(count))


@pytest.mark.real
@pytest.mark.parametrize(("name", "share", "of"), list(shares()))
def test_no_mutant_of_a_rule_survives(name: str, share: int, of: int) -> None:
    here = parts.generation(parts.GENERATIONS[-1])
    if here is None:
        pytest.skip("the newest generation is not here: `./dev parts` brings it")
    report = mutants.hunt(here.promtool, [name], jobs=os.cpu_count() or 1, share=(share, of))
    print(report)
    assert report.clean, str(report)


def test_a_known_equivalent_has_a_reason() -> None:
    known = mutants.known_equivalents({file.name for file in mutants.RULES.glob("*.rules.yml")})
    assert all(reason.endswith(".") for reason in known.values())
