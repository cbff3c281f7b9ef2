"""The list of mutants that change nothing. The hunt itself takes too long here: `python -m tests.rules.mutants`."""

from tests.rules import mutants


def test_a_known_equivalent_has_a_reason() -> None:
    known = mutants.known_equivalents({file.name for file in mutants.RULES.glob("*.rules.yml")})
    assert all(reason.endswith(".") for reason in known.values())
