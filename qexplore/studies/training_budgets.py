"""Whether a budget was met whenever bits were allocated and by the network that was handed over, counted in whole
numbers from the bits that the quantizers had.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qexplore.allocate.budget import whole
from qexplore.numerics import MAX_BITS
from qexplore.studies.study import Extra
from qexplore.studies.trials import HANDED_OVER, Trial, Trials

KINDS = {"weight_bits": "weight", "activation_bits": "activation"}


@dataclass(frozen=True)
class Spent:
    """What one allocation spends of a limit on average bits, and what it may: bits · elements, whole numbers."""

    kind: str
    spent: int
    cap: int
    elements: int

    @property
    def met(self) -> bool:
        return self.spent <= self.cap

    @property
    def average(self) -> float:
        return self.spent / self.elements


def allocations(trial: Trial) -> int:
    """How often bits were allocated."""
    return sum(event["event"] == "allocation" for event in trial.events)


def handed_over(trial: Trial) -> bool:
    """Whether the network's bits at the end are known; trials that were kept before these were told do not."""
    return any(event["event"] == HANDED_OVER for event in trial.events)


def spent(trial: Trial) -> Iterator[Spent]:
    """Every limit on average bits at every allocation of a trial, and of the network at its end, in order."""
    started = next((event for event in trial.events if event["event"] == "training-started"), None)
    if started is None:
        return
    budget: dict[str, Any] = {}
    for event in trial.events:
        if event["event"] not in ("allocation", HANDED_OVER):
            continue
        budget = event.get("budget", budget)
        for limit, kind in KINDS.items():
            if limit in budget:
                sizes = {site["site"]: site["numel"] for site in started["sites"] if site["kind"] == kind}
                elements = sum(sizes.values())
                cap = whole(budget[limit], elements, MAX_BITS * elements)
                yield Spent(kind, sum(event["bits"][site] * n for site, n in sizes.items()), cap, elements)


def _rows(trials: Trials, tasks: Sequence[str]) -> Sequence[Sequence[str]]:
    rows = []
    variants = dict.fromkeys((t.table, t.name) for t in trials.done if allocations(t))
    for table, name in variants:
        cells = [f"{name}; {table}"]
        for task in tasks:
            mine = [t for t in trials.done if (t.table, t.name, t.task) == (table, name, task)]
            cells.append(_told(mine))
        rows.append(cells)
    return rows


def _told(trials: Sequence[Trial]) -> str:
    counts = sorted({allocations(trial) for trial in trials})
    said = []
    for kind in KINDS.values():
        found = [each for trial in trials for each in spent(trial) if each.kind == kind]
        if found:
            averages = [each.average for each in found]
            broken = sum(not each.met for each in found)
            said.append(f"{kind}s {min(averages):.4f} to {max(averages):.4f}, {broken} over")
    return f"{' or '.join(map(str, counts))} a training: {'; '.join(said)}"


SPENT = Extra("Allocations, and the least and greatest average bits of any of them", "allocations of", _rows)


def _images(trials: Trials, tasks: Sequence[str]) -> Sequence[Sequence[str]]:
    """Images of trainings, as they told them."""
    rows = []
    for key, said in {"images": "that are trained on", "held_out": "for calibration, held out"}.items():
        told = {t.task: event[key] for t in trials.done for event in t.events if event["event"] == "training-started"}
        rows.append([said, *(str(told.get(task, "none")) for task in tasks)])
    return rows


IMAGES = Extra("Images", "images", _images)
