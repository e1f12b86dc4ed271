"""Which sensitivity metric gives bits out best, before any training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any

from scipy.stats import spearmanr

from qexplore.allocate.sensitivity import measured_tables, sensitivity_table
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.studies.statistics import mean_over_seeds, paired
from qexplore.studies.study import DRAWN, STUDIES, Claim, Extra, Study, Verdict
from qexplore.studies.trials import Gauge, NotMeasured, Trial, Trials, Variant
from qexplore.zoo import Task

TASKS = ("resnet-digits", "mobilenet-digits", "mobilenet-digits-unbalanced")
AVERAGES = ((4, 4), (3, 4), (3, 3), (2.5, 4), (2.5, 2.5))  # of weights, of activations
BEST, REFERENCE = "fisher", "divergence"
OTHERS = ("fit", REFERENCE, "loss", "sqnr")
ALL_SAME, RANDOM = "the same bits everywhere", "random"
BITS = (2, 3, 4, 6, 8)
AGAINST = "Against the measured divergence of single sites"
SMALL = 4  # bits from which on errors are small enough for an expansion
ORDERED, DISORDERED = 0.7, 0.5  # rank correlations
FEWER = ", ".join(f"{int(b)} for {b:g}" for b in sorted({b for pair in AVERAGES for b in pair}) if b != int(b))
Look = Callable[[Trials, str], Verdict]
HOW = (
    f"{DRAWN} Ranges are those of the preset w8a8, made with 8-bit weights as on the Budgets page; then the step "
    "'allocate-bits' gives the bits out, exactly, and nothing is trained. Where all sites cannot have the average of a "
    "budget, they have the next fewer bits in the row of the same bits."
)


@STUDIES.register("sensitivity")
def sensitivity() -> Study:
    """Accuracy of the allocations that each metric makes of the same budgets, and how well each foresees what a site
    does to the answers.
    """
    gauges = (Gauge(AGAINST, "correlation or ratio", _against),)
    title = "Which sensitivity metric gives bits out best"
    return Study(title, TASKS, tuple(_variants()), _claims(), gauges, extras=(OVERALL,), how=HOW)


def budget(weights: float, activations: float) -> str:
    """Name of the table of a budget."""
    return f"{weights:g} bits on average of weights, {activations:g} of activations"


def correlation(metric: str, bits: int) -> str:
    """Name of a figure of the gauge."""
    return f"rank correlation of {metric}, {bits} bits"


def ratio(metric: str, bits: int) -> str:
    """Name of a figure of the gauge."""
    return f"sum over the sites by {metric} / by {REFERENCE}, {bits} bits"


def _variants() -> list[Variant]:
    found = []
    for weights, activations in AVERAGES:
        table = budget(weights, activations)
        found.append(Variant(table, ALL_SAME, _allocated(_same(int(weights), int(activations)))))
        for metric in (RANDOM, BEST, *OTHERS):
            limits = {"weight_bits": weights, "activation_bits": activations}
            found.append(Variant(table, metric, _allocated({"metric": metric, **limits})))
    return found


def _same(weights: int, activations: int) -> dict[str, Any]:
    """A budget and bounds that one allocation alone meets, and no other one is better than."""
    ends = {"least": min(weights, activations), "most": max(weights, activations)}
    return {"metric": "sqnr", "weight_bits": weights, "activation_bits": activations, **ends}


def _allocated(settings: Mapping[str, Any]) -> Recipe:
    ready = Recipe.load("w8a8").to_document()
    return Recipe.from_document({**ready, "name": "variant", "steps": [*ready["steps"], {"allocate-bits": settings}]})


def _against(task: Task) -> Mapping[str, float]:
    """Rank correlations with the measured divergence over the sites, and ratios of sums."""
    network, calibration = prepare(task, Recipe.load("w8a8")), Calibration(task.data)
    tables = measured_tables(network, calibration, BITS, Report())
    for name in {BEST, *OTHERS}.difference(tables):
        tables[name] = sensitivity_table(network, calibration, name, BITS)
    found = {}
    for bits in BITS:
        at = {name: table.loc[table["bits"] == bits, "loss"] for name, table in tables.items()}
        for name in (BEST, *OTHERS):
            if name != REFERENCE:
                found[correlation(name, bits)] = float(spearmanr(at[name], at[REFERENCE]).statistic)
        for name in (BEST, "fit"):
            found[ratio(name, bits)] = float(at[name].sum() / at[REFERENCE].sum())
    return found


def _claims() -> tuple[Claim, ...]:
    small = [bits for bits in BITS if bits >= SMALL]
    better = [
        Claim(f"Mean over the budgets, bits given out by `{BEST}` are more accurate than by `{other}`.", _better(other))
        for other in (*OTHERS, RANDOM)
    ]
    same = (
        f"Mean over the budgets, bits given out by `{BEST}` are more accurate than the same bits everywhere, the most "
        f"that uniform bits can have within each ({FEWER})."
    )
    ordered = [Claim(f"`{BEST}` orders the sites as their divergence does at {b} bits.", _orders(b)) for b in small]
    lost = [Claim(f"The measured loss does not order them so at {b} bits.", _disorders(b)) for b in small]
    return (*better, Claim(same, _better(ALL_SAME)), *ordered, *lost)


def _better(other: str) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        change = paired(_all(trials, other, task), _all(trials, BEST, task))
        said = f"{100 * change.value:+.2f} points ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
        return Verdict(task, change.low > 0, said)

    return look


def _all(trials: Trials, name: str, task: str) -> list[Trial]:
    """The trials of one row under all budgets."""
    return [trial for pair in AVERAGES for trial in trials.of(budget(*pair), name, task)]


def _overall(trials: Trials, tasks: Sequence[str]) -> Sequence[Sequence[str]]:
    """What each way of giving bits out has over all budgets and seeds, a cell a task."""

    def cell(name: str, task: str) -> str:
        try:
            found = _all(trials, name, task)
        except NotMeasured:
            return ""
        share, loss = (mean(each) for each in zip(*((t.judged.accuracy.value, t.judged.loss) for t in found)))
        return f"{100 * share:.2f} / {loss:.3f}"

    rows = [[name, *(cell(name, task) for task in tasks)] for name in (ALL_SAME, RANDOM, BEST, *OTHERS)]
    return [row for row in rows if any(row[1:])]


OVERALL = Extra("Mean over the budgets", "accuracy, % / cross-entropy, nats", _overall)


def _orders(bits: int) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        over = mean_over_seeds(trials.read(AGAINST, correlation(BEST, bits), task))
        return Verdict(task, over.value >= ORDERED, f"{over.value:.2f}, threshold {ORDERED}")

    return look


def _disorders(bits: int) -> Look:
    def look(trials: Trials, task: str) -> Verdict:
        over = mean_over_seeds(trials.read(AGAINST, correlation("loss", bits), task))
        return Verdict(task, over.value < DISORDERED, f"{over.value:.2f}, below {DISORDERED}")

    return look
