"""What a study is: variants to carry out, and claims that its trials bear out or do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from qexplore.errors import QexploreError
from qexplore.registry import Registry
from qexplore.studies.trials import CALIBRATION, Draw, Gauge, NotMeasured, Trials, Variant, seeded


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds on one task, and the figures that say so; None: the claim says nothing about it."""

    task: str
    holds: bool | None
    figures: str


@dataclass(frozen=True)
class Claim:
    """A sentence that can turn out false, and the function that looks."""

    text: str
    look: Callable[[Trials, str], Verdict]

    def verdicts(self, trials: Trials, tasks: Sequence[str]) -> list[Verdict]:
        """What `look` says, task by task, less the tasks on which what it looks at was not measured."""
        found = []
        for task in tasks:
            with suppress(NotMeasured):
                found.append(self.look(trials, task))
        return found


@dataclass(frozen=True)
class Extra:
    """A table of other figures of the trials: its name, the head of its first column, and its rows, a cell a task."""

    table: str
    head: str
    rows: Callable[[Trials, Sequence[str]], Sequence[Sequence[str]]]


DRAWN = (
    f"Each seed draws its own {CALIBRATION} calibration images from the training and calibration parts (the networks "
    "were trained on the former) and seeds what is random in a step."
)


@dataclass(frozen=True)
class Study:
    """Variants, gauges and extras table by table, the tasks, and the claims.

    draw: the task of a name for a seed. how: what a seed changes, and what else a reader has to know of the method.
    """

    title: str
    tasks: tuple[str, ...]
    variants: tuple[Variant, ...]
    claims: tuple[Claim, ...]
    gauges: tuple[Gauge, ...] = ()
    extras: tuple[Extra, ...] = ()
    draw: Draw = seeded
    how: str = DRAWN

    def only(self, words: Sequence[str]) -> Study:
        """The study with the tables alone whose names contain one of `words`; QexploreError for a word in no name."""
        tables = list(dict.fromkeys([*(v.table for v in self.variants), *(g.table for g in self.gauges)]))
        for word in words:
            if not any(word.lower() in table.lower() for table in tables):
                raise QexploreError(f"No table of the study has {word!r} in its name; they are: {'; '.join(tables)}.")
        chosen = {table for table in tables if any(word.lower() in table.lower() for word in words)}
        variants = tuple(v for v in self.variants if v.table in chosen)
        gauges = tuple(g for g in self.gauges if g.table in chosen)
        return replace(self, variants=variants, gauges=gauges)

    def rows(self, words: Sequence[str]) -> Study:
        """The study with the variants alone whose names contain one of `words`; QexploreError for a word in no name.

        A word that is a whole name means that row and no longer name: "QBitOpt" is not "QBitOpt by the answers".
        """
        names = list(dict.fromkeys(v.name for v in self.variants))
        chosen = set[str]()
        for word in words:
            found = [name for name in names if name.lower() == word.lower()]
            found = found or [name for name in names if word.lower() in name.lower()]
            if not found:
                raise QexploreError(f"No row of the tables has {word!r} in its name; they are: {'; '.join(names)}.")
            chosen.update(found)
        return replace(self, variants=tuple(v for v in self.variants if v.name in chosen))


STUDIES: Registry[Callable[..., Study]] = Registry("study")
