"""Changes the rules one mutant at a time and asks promtool's tests to notice. Says which of them nobody noticed.

  python -m tests.rules.mutants [--rule-file NAME]... [--jobs N] [--equivalents] [--renew]

Exit status 1 where a mutant survived, or where equivalents.yml is not current; 0 else. A mutant in equivalents.yml is
not tried, because each test that it survives takes its time; --equivalents tries those too. One generation is enough,
the newest: that all three come to the same verdicts is what test_rules.py shows.
"""

import argparse
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests import parts
from tests.rules import cases, judge, killers, mutations

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
    trials: int = 0
    noticed: list[killers.Noticed] = field(default_factory=list)

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
                    f"{self.trials} tests in {self.runs} runs of promtool in {self.seconds:.0f} s"
                ),
            ]
        )


def main(words: list[str]) -> int:
    """Run it; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.rules.mutants", description=__doc__)
    parser.add_argument("--rule-file", action="append", metavar="NAME", help="as in rules/, several times")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--equivalents", action="store_true", help="try what equivalents.yml lists, too")
    parser.add_argument("--renew", action="store_true", help="write anew what killers.yml says")
    asked = parser.parse_args(words)
    generation = parts.generation(parts.GENERATIONS[-1])
    if generation is None:
        print("promtool is not here: `./dev parts` brings it", file=sys.stderr)
        return 1
    report = hunt(generation.promtool, asked.rule_file, jobs=asked.jobs, equivalents=asked.equivalents)
    print(report)
    if asked.renew:
        killers.renew(report.noticed)
    return 0 if report.clean else 1


def hunt(
    promtool: Path,
    files: list[str] | None = None,
    *,
    jobs: int,
    equivalents: bool = False,
    folder: Path = RULES,
) -> Report:
    """Try every mutant of these rule files, or of all; those known to be equivalent only where that is asked for.

    Raises:
        judge.TestsFail: a test fails without any mutant.
    """
    started = time.monotonic()
    chosen = [path for path in sorted(folder.glob("*.rules.yml")) if not files or path.name in files]
    known = known_equivalents({path.name for path in chosen})
    rules = cases.rule_set(folder)
    hunter = _Hunter(
        judge=judge.Judge(promtool, rules),
        rules=rules,
        by_name={(case.file, case.name): case for case in cases.all_cases(folder / "tests")},
        table=killers.load(path.name for path in chosen),
        known=frozenset() if equivalents else frozenset(known),
    )
    mutants = [mutant for path in chosen for mutant in mutations.of_file(path)]
    with ThreadPoolExecutor(jobs) as pool:
        texts = list(pool.map(hunter.texts_of, chosen))
        verdicts = hunter.verdicts(mutants, pool)
    report = Report(noticed=hunter.noticed)
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
        f"{EQUIVALENTS.name}: there is no such mutant, take it out: {' / '.join(key)}" for key in known
    ]
    report.seconds = time.monotonic() - started
    report.runs, report.trials = hunter.judge.runs, hunter.judge.trials
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
    judge: judge.Judge
    rules: cases.RuleSet
    by_name: dict[tuple[str, str], cases.Case]
    table: killers.Table
    known: frozenset[mutations.Key]
    noticed: list[killers.Noticed] = field(default_factory=list)

    def verdicts(self, mutants: list[mutations.Mutant], pool: ThreadPoolExecutor) -> list[str]:
        """`killed`, `survived`, or `invalid` where Prometheus would not load it, for each."""
        verdicts = dict.fromkeys(
            (n for n, mutant in enumerate(mutants) if mutant.key in self.known), "survived"
        )
        asked = [
            (n, probe, case)
            for n, mutant in enumerate(mutants)
            if n not in verdicts
            for probe in self.table.of(mutant)
            if (case := self._case(probe))
        ]
        told = self.judge.verdicts([(mutants[n], case) for n, _, case in asked], pool)
        for (n, probe, _), said in zip(asked, told, strict=True):
            if n not in verdicts and said is not None and not judge.not_loaded(said):
                self.noticed.append((mutants[n], probe))
                verdicts[n] = "killed"
        rest = [n for n in range(len(mutants)) if n not in verdicts]
        verdicts.update(zip(rest, pool.map(self._verdict, [mutants[n] for n in rest]), strict=True))
        return [verdicts[n] for n in range(len(mutants))]

    def _verdict(self, mutant: mutations.Mutant) -> str:
        for case in self._likely(mutant):
            told = self.judge.verdict(mutant, case)
            if told is None:
                continue
            if judge.not_loaded(told):
                return "invalid"
            moment = min(judge.moments(told) & {*case.moments}, default=case.moments[-1])
            probe = killers.Probe(moment=moment, file=case.file, name=case.name)
            self.noticed.append((mutant, probe))
            self.table.add(mutant, probe)
            return "killed"
        # At once: the whole run takes minutes.
        print(f"{mutant}: no test noticed", file=sys.stderr, flush=True)
        return "survived"

    def _likely(self, mutant: mutations.Mutant) -> list[cases.Case]:
        """All cases that load its file; first what noticed others of its rule, then what costs little for its hope."""
        first = filter(None, map(self._case, self.table.of_rule(mutant)))
        able = [case for case in self.by_name.values() if mutant.place.file in case.rule_files]
        able.sort(key=lambda case: (case.cost + 200) * (1 if mutant.name in case.words else 10))
        return [*sorted(first, key=lambda case: case.cost), *able]

    def _case(self, probe: killers.Probe) -> cases.Case | None:
        case = self.by_name.get((probe.file, probe.name))
        return case.at(probe.moment) if case and probe.moment in case.moments else None

    def texts_of(self, path: Path) -> tuple[list[str], int]:
        """The pieces of annotations that no test states, and how many are stated."""
        marked, places = _marked(path)
        everything = frozenset(self.rules.places((path.name,)))
        unseen = dict(places)
        able = [case for case in self.by_name.values() if path.name in case.rule_files and case.expects]
        for case in sorted(able, key=lambda case: case.cost):
            if not unseen:
                break
            loaded = everything | frozenset(self.rules.places(case.rule_files))
            told = self.judge.run([judge.Trial(case=case, places=loaded, changed=marked)])[0]
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
