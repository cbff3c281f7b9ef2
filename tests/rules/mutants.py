"""Changes the rules one mutant at a time and asks promtool's tests to notice. Says which of them nobody noticed.

  python -m tests.rules.mutants [--rule-file NAME]... [--jobs N] [--equivalents]

Exit status 1 where a mutant survived, or where equivalents.yml is not current; 0 else. A mutant in equivalents.yml is
not tried, because each test that it survives takes its time; --equivalents tries those too. One generation is enough,
the newest: that all three come to the same verdicts is what test_rules.py shows.
"""

import argparse
import os
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests import parts
from tests.rules import cases, mutations

RULES = parts.CHECKOUT / "rules"
EQUIVALENTS = Path(__file__).with_name("equivalents.yml")

_MARK = re.compile(r"mutant~(\d+)~")


@dataclass(slots=True, kw_only=True)
class Report:
    """What became of the mutants. `stale` says which lines of equivalents.yml are no longer true."""

    killed: int = 0
    invalid: list[str] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    equivalent: int = 0
    stale: list[str] = field(default_factory=list)
    seconds: float = 0.0
    runs: int = 0

    @property
    def mutants(self) -> int:
        return self.killed + len(self.survivors) + self.equivalent

    @property
    def clean(self) -> bool:
        return not self.survivors and not self.stale

    def __str__(self) -> str:
        """One line a survivor, then the sums."""
        return "\n".join(
            [
                *(f"{survivor}: survived" for survivor in self.survivors),
                *self.stale,
                (
                    f"{self.mutants} mutants: {self.killed} killed, {self.equivalent} equivalent, "
                    f"{len(self.survivors)} survived; {len(self.invalid)} that Prometheus does not load; "
                    f"{self.runs} runs of promtool in {self.seconds:.0f} s"
                ),
            ]
        )


def main(words: list[str]) -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutants", description=__doc__)
    parser.add_argument("--rule-file", action="append", metavar="NAME", help="as in rules/, several times")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--equivalents", action="store_true", help="try what equivalents.yml lists, too")
    asked = parser.parse_args(words)
    generation = parts.generation(parts.GENERATIONS[-1])
    if generation is None:
        print("promtool is not here: `./dev parts` brings it", file=sys.stderr)
        return 1
    report = hunt(generation.promtool, asked.rule_file, jobs=asked.jobs, equivalents=asked.equivalents)
    print(report)
    return 0 if report.clean else 1


def hunt(
    promtool: Path,
    files: list[str] | None = None,
    *,
    jobs: int,
    equivalents: bool = False,
    share: tuple[int, int] = (0, 1),
) -> Report:
    """Try every mutant of these rule files, or of all; those known to be equivalent only where that is asked for.

    With `share` (2, 5) only the third of five equal shares of them.

    Raises:
        cases.TestsFail: a test fails without any mutant.
    """
    started = time.monotonic()
    chosen = [path for path in sorted(RULES.glob("*.rules.yml")) if not files or path.name in files]
    rules = cases.rule_set(RULES)
    hunter = _Hunter(judge=cases.Judge(promtool, rules), rules=rules, cases=cases.all_cases(RULES / "tests"))
    known = known_equivalents({path.name for path in chosen})
    with ThreadPoolExecutor(jobs) as pool:
        first, shares = share
        texts = list(pool.map(hunter.texts_of, [path.name for path in chosen[first::shares]]))
        all_mutants = [mutant for path in chosen for mutant in mutations.of_file(path)]
        mutants = all_mutants[first::shares]
        hunter.known = () if equivalents else frozenset(known)
        verdicts = list(pool.map(hunter.verdict, mutants))
    report = Report()
    for unseen, seen in texts:
        report.killed += seen
        report.survivors += unseen
    for mutant, verdict in zip(mutants, verdicts, strict=True):
        expected = known.pop(mutant.key, None)
        if expected and verdict != "survived":
            report.stale.append(f"{EQUIVALENTS.name}: no longer equivalent, take it out: {mutant}")
        if verdict == "invalid":
            report.invalid.append(str(mutant))
        elif verdict == "killed":
            report.killed += 1
        elif expected:
            report.equivalent += 1
        else:
            report.survivors.append(str(mutant))
    report.stale += [
        f"{EQUIVALENTS.name}: there is no such mutant, take it out: {' / '.join(key)}"
        for key in known.keys() - {mutant.key for mutant in all_mutants}
    ]
    report.seconds = time.monotonic() - started
    report.runs = hunter.judge.runs
    return report


def known_equivalents(files: set[str]) -> dict[mutations.Key, str]:
    """The reason for each mutant that is known to change nothing, by file, rule and change."""
    loaded = yaml.safe_load(EQUIVALENTS.read_text("utf-8")) or []
    return {
        (entry["file"], entry["rule"], change): entry["reason"]
        for entry in loaded
        for change in entry["changes"]
        if entry["file"] in files
    }


@dataclass(slots=True, kw_only=True)
class _Hunter:
    judge: cases.Judge
    rules: cases.RuleSet
    cases: list[cases.Case]
    known: Collection[mutations.Key] = ()
    kills: defaultdict[mutations.Place, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    def verdict(self, mutant: mutations.Mutant) -> str:
        """`killed`, `survived`, or `invalid` where Prometheus would not load it."""
        if mutant.key in self.known:
            return "survived"
        kills = self.kills[mutant.place]
        able = [n for n, case in enumerate(self.cases) if mutant.place.file in case.rule_files]
        for number in sorted(able, key=lambda n: self._hope(mutant, n), reverse=True):
            case = self.cases[number]
            try:
                if self.judge.kills(case, mutant):
                    kills[number] += 1
                    return "killed"
            except cases.NotLoaded:
                return "invalid"
        # At once: the whole run takes minutes.
        print(f"{mutant}: no test noticed", file=sys.stderr, flush=True)
        return "survived"

    def _hope(self, mutant: mutations.Mutant, number: int) -> float:
        """Kills to be expected for the time that a case takes."""
        case = self.cases[number]
        about = mutant.name in case.words
        likely = self.kills[mutant.place][number] + (1 if about else 0.1) * (2 if case.expects else 1)
        return likely / (case.cost + 20)

    def texts_of(self, file: str) -> tuple[list[str], int]:
        """The pieces of annotations that no test states, and how many are stated."""
        marked, places = _marked(RULES / file)
        everything = frozenset(self.rules.places((file,)))
        unseen = dict(places)
        able = [case for case in self.cases if file in case.rule_files and case.expects]
        for case in sorted(able, key=lambda case: case.cost):
            if not unseen:
                break
            loaded = everything | frozenset(self.rules.places(case.rule_files))
            told = self.judge.output(case, loaded, marked)
            for mark in _MARK.findall(told or ""):
                unseen.pop(int(mark), None)
        return list(unseen.values()), len(places) - len(unseen)


def _marked(path: Path) -> tuple[dict[mutations.Place, mutations.Rule], dict[int, str]]:
    """The alerts of a file with a mark in each piece of each annotation, and what each mark stands for.

    A mark that promtool shows, in what it got where it expected something else, is a piece that a test states. One
    run answers for all of them.
    """
    marked: dict[mutations.Place, mutations.Rule] = {}
    pieces: dict[int, str] = {}
    for place, line, rule, key in mutations.annotations_of(path):
        changed = marked.setdefault(place, {**rule, "annotations": dict(rule["annotations"])})
        text = ""
        for piece, is_control in mutations.pieces(rule["annotations"][key]):
            if is_control or not piece.strip():
                text += piece
                continue
            pieces[len(pieces)] = (
                f"rules/{path.name}:{line}: {rule['alert']}: `{piece.strip()}` in {key} becomes another"
            )
            text += f" mutant~{len(pieces) - 1}~ "
        changed["annotations"][key] = text
    return marked, pieces


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
