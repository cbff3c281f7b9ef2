"""Which test noticed which mutant the last time, so that the next hunt asks it first. An order, never a verdict.

A wrong or a missing line costs time and nothing else: what the test that is named here does not notice goes to all the
others. `python -m tests.rules.mutants --renew` writes it anew.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.rules import mutations

FILE = Path(__file__).with_name("killers.yml")
_HEAD = """\
# Which test noticed which mutant the last time, written by `python -m tests.rules.mutants --renew`; see killers.py.
# Rule file, rule, `seconds test-file: test`, and the checksums of the changes that it notices.
"""


class Probe(NamedTuple):
    """A case by its file and name, and the moment at which it looks."""

    moment: float
    file: str
    name: str


Noticed = tuple[mutations.Mutant, Probe]
_Loaded = dict[str, dict[str, dict[str, str]]]


def load(files: Iterable[str]) -> "Table":
    """The table of these rule files."""
    loaded = _loaded()
    return Table({file: loaded.get(file, {}) for file in files})


def renew(noticed: Iterable[Noticed]) -> None:
    """Write the rule files of these mutants anew; what FILE says of others stays."""
    new: defaultdict[str, dict[str, dict[Probe, list[str]]]] = defaultdict(dict)
    for mutant, probe in noticed:
        rule = new[mutant.place.file].setdefault(mutant.name, {})
        rule.setdefault(probe, []).append(_checksum(mutant))
    text = {
        file: {
            rule: {
                _words(probe): " ".join(sorted(set(checksums))) for probe, checksums in sorted(probes.items())
            }
            for rule, probes in sorted(rules.items())
        }
        for file, rules in new.items()
    }
    told = yaml.safe_dump({**_loaded(), **text}, allow_unicode=True, width=110)
    FILE.write_text(_HEAD + told, "utf-8")


def _loaded() -> _Loaded:
    found: _Loaded = yaml.safe_load(FILE.read_text("utf-8")) if FILE.is_file() else {}
    return found


class Table:
    """What FILE says, by rule file and rule."""

    def __init__(self, loaded: _Loaded) -> None:
        # Dictionaries, for their order.
        self._probes: dict[tuple[str, str], dict[Probe, None]] = defaultdict(dict)
        self._by_change: dict[tuple[str, str, str], list[Probe]] = defaultdict(list)
        for file, rules in loaded.items():
            for rule, lines in rules.items():
                for words, checksums in lines.items():
                    probe = _probe(words)
                    self._probes[file, rule][probe] = None
                    for one in checksums.split():
                        self._by_change[file, rule, one].append(probe)

    def add(self, mutant: mutations.Mutant, probe: Probe) -> None:
        """Learn who noticed a mutant, for others of its rule."""
        self._probes[mutant.place.file, mutant.name][probe] = None

    def of(self, mutant: mutations.Mutant) -> list[Probe]:
        """Who noticed this mutant; more than one where two rules of one name have the same line."""
        return self._by_change[mutant.place.file, mutant.name, _checksum(mutant)]

    def of_rule(self, mutant: mutations.Mutant) -> list[Probe]:
        """Who noticed any mutant of its rule."""
        return list(self._probes[mutant.place.file, mutant.name])


def _probe(words: str) -> Probe:
    moment, _, rest = words.partition(" ")
    file, _, name = rest.partition(": ")
    return Probe(moment=float(moment), file=file, name=name)


def _words(probe: Probe) -> str:
    return f"{probe.moment:g} {probe.file}: {probe.name}"


def _checksum(mutant: mutations.Mutant) -> str:
    return f"{zlib.crc32(mutant.change.encode()):08x}"
