"""Runs promtool's tests against changed rules, many of them in one run of promtool, and says which tests fail."""

import copy
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.rules import cases, mutations

_SLOWEST_SECONDS = 300
# A start of promtool costs as much as a few short cases.
_AT_ONCE = 16
_NOT_LOADED = re.compile(r"could not parse expression|error parsing|cannot unmarshal|not a valid duration")

Places = frozenset[mutations.Place]
Rules = dict[mutations.Place, mutations.Rule]


class TestsFail(Exception):
    """A test of promtool fails without any mutant, so it can judge none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A case, the rules that are loaded for it, and those that are not as in the files."""

    case: cases.Case
    places: Places
    changed: Rules


class Judge:
    """Runs cases with promtool, and remembers how they end without a mutant."""

    def __init__(self, promtool: Path, rules: cases.RuleSet) -> None:
        self._promtool = promtool
        self._rules = rules
        self._around: dict[tuple[mutations.Place, tuple[str, ...]], Places] = {}
        self._passes: dict[tuple[cases.Case, Places], bool] = {}
        self.runs = 0
        self.trials = 0

    def verdicts(
        self, asked: Sequence[tuple[mutations.Mutant, cases.Case]], pool: ThreadPoolExecutor
    ) -> list[str | None]:
        """Whether each case fails because of its mutant: what promtool says then, None where it passes.

        Raises:
            TestsFail: one of the cases fails without its mutant, too.
        """
        few = [self._few(mutant.place, case) for mutant, case in asked]
        self._learn(((case, places) for (_, case), places in zip(asked, few, strict=True)), pool)
        # A case that states more than these few rules say has all of its rules loaded.
        enough = [
            places if self._passes[case, places] else self._everything(case)
            for (_, case), places in zip(asked, few, strict=True)
        ]
        self._learn(((case, places) for (_, case), places in zip(asked, enough, strict=True)), pool)
        for (_, case), places in zip(asked, enough, strict=True):
            if not self._passes[case, places]:
                raise TestsFail(f"{case.file}: {case.name}")
        return self._ask(
            [
                Trial(case=case, places=places, changed={mutant.place: mutant.rule})
                for (mutant, case), places in zip(asked, enough, strict=True)
            ],
            pool,
        )

    def verdict(self, mutant: mutations.Mutant, case: cases.Case) -> str | None:
        """The same for one, in the caller's thread."""
        few = self._few(mutant.place, case)
        for places in (few, self._everything(case)):
            told = self.run([Trial(case=case, places=places, changed={mutant.place: mutant.rule})])[0]
            if told is None or not_loaded(told):
                return told
            if (case, places) not in self._passes:
                self._passes[case, places] = (
                    self.run([Trial(case=case, places=places, changed={})])[0] is None
                )
            if self._passes[case, places]:
                return told
        raise TestsFail(f"{case.file}: {case.name}")

    def run(self, trials: Sequence[Trial]) -> list[str | None]:
        """What promtool says where a case fails; None where it passes. One run of promtool for all."""
        with tempfile.TemporaryDirectory(prefix="mutant-") as name:
            files = [self._written(trial, Path(name) / str(number)) for number, trial in enumerate(trials)]
            done = subprocess.run(
                [self._promtool, "test", "rules", f"--junit={name}/told.xml", *files],
                capture_output=True,
                text=True,
                timeout=_SLOWEST_SECONDS,
                check=False,
                # One mutant a core is faster than one on two.
                env={**os.environ, "GOMAXPROCS": "1", "GOGC": "400", "TMPDIR": name},
            )
            self.runs += 1
            self.trials += len(trials)
            told = Path(name, "told.xml")
            suites = ET.parse(told).getroot().findall("testsuite") if told.is_file() else []
        if [suite.get("name") for suite in suites] != [str(file) for file in files]:
            raise RuntimeError(f"promtool does not say how each test ended: {done.stdout}{done.stderr}")
        return [_failure(suite) for suite in suites]

    def _ask(self, trials: Sequence[Trial], pool: ThreadPoolExecutor) -> list[str | None]:
        # The dearest first and dealt like cards, so that no run is much longer than another.
        order = sorted(range(len(trials)), key=lambda number: -trials[number].case.cost)
        hands = -(-len(trials) // _AT_ONCE)
        dealt = [order[hand::hands] for hand in range(hands)]
        told: list[str | None] = [None] * len(trials)
        answers = pool.map(lambda hand: self.run([trials[number] for number in hand]), dealt)
        for hand, answer in zip(dealt, answers, strict=True):
            for number, said in zip(hand, answer, strict=True):
                told[number] = said
        return told

    def _learn(self, asked: Iterable[tuple[cases.Case, Places]], pool: ThreadPoolExecutor) -> None:
        new = [pair for pair in dict.fromkeys(asked) if pair not in self._passes]
        told = self._ask([Trial(case=case, places=places, changed={}) for case, places in new], pool)
        self._passes.update((pair, said is None) for pair, said in zip(new, told, strict=True))

    def _few(self, place: mutations.Place, case: cases.Case) -> Places:
        key = place, case.rule_files
        if key not in self._around:
            self._around[key] = self._rules.around(place, case.rule_files)
        return self._around[key]

    def _everything(self, case: cases.Case) -> Places:
        return frozenset(self._rules.places(case.rule_files))

    def _written(self, trial: Trial, folder: Path) -> Path:
        folder.mkdir()
        for file in {place.file for place in trial.places}:
            (folder / file).write_text(json.dumps(self._chosen(file, trial)), "utf-8")
        written = folder / "case.test.yml"
        written.write_text(trial.case.document, "utf-8")
        return written

    def _chosen(self, file: str, trial: Trial) -> cases.Document:
        document = copy.copy(self._rules.files[file])
        document["groups"] = [
            {
                **group,
                "rules": [
                    trial.changed.get(place, rule)
                    for position, rule in enumerate(group["rules"])
                    if (place := mutations.Place(file=file, group=number, rule=position)) in trial.places
                ],
            }
            for number, group in enumerate(document["groups"])
        ]
        return document


def not_loaded(told: str) -> bool:
    """Whether promtool says that the mutant is no rule any more."""
    return _NOT_LOADED.search(told) is not None


def moments(told: str) -> set[float]:
    """The seconds at which promtool got other than what a case expects."""
    return {mutations.seconds(moment) for moment in re.findall(r"\btime: (\w+),", told)}


def _failure(suite: ET.Element) -> str | None:
    if suite.get("failures") == "0" and suite.get("errors") == "0":
        return None
    return "\n".join(suite.itertext()).strip() or "it failed"
