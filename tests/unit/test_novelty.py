"""What was met before, as far back as memory is bounded."""

from webhook import novelty


def test_thing_is_new_once() -> None:
    met = novelty.Novelty()
    assert [met.is_new(thing) for thing in "abab"] == [True, True, False, False]


def test_oldest_is_forgotten_when_there_are_too_many() -> None:
    met = novelty.Novelty(most=2)
    assert [met.is_new(thing) for thing in "abcab"] == [True] * 5


def test_thing_that_keeps_coming_is_not_forgotten() -> None:
    met = novelty.Novelty(most=2)
    assert [met.is_new(thing) for thing in "abaca"] == [True, True, False, True, False]
