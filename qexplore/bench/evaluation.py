"""Quantized evaluation against plain FP32 with folded batch norms."""

from __future__ import annotations

from itertools import cycle

from qexplore.bench.subjects import MOBILENET, SUBJECTS, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import evaluate
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.zoo import Task

OTHER = (7, 6, 5, 4, 3)


@BENCHES.register("evaluation")
def evaluation(report: Report) -> dict[str, float]:
    """Evaluation of the same images in one run: quantized (W8A8) / FP32, and a new allocation / FP32.

    FP32 is the same network with folded batch norms and in-place ReLUs, channels last. New allocation: other bits at
    every
    site; the ranges are known, none of the weights has been quantized before. With range search: nor are the ranges of
    the weights known.
    """
    ratios: dict[str, float] = {}
    for name in report.track(SUBJECTS, "evaluation"):
        ratios |= _of(name, subject(name))
    return ratios


def _of(name: str, task: Task) -> dict[str, float]:
    network = prepare(task, Recipe.load("w8a8"))
    real, quantized = network.real_plan(), network.plan()
    batch = 16 if name == MOBILENET else 128
    batches = list(task.data.batches("evaluation", size=batch))
    menu = cycle(OTHER)

    def new(ranges: bool) -> None:
        bits = next(menu)
        network.forget_weights(ranges=ranges)
        network.set_bits({site.name: bits for site in network.sites})
        evaluate(network, batches)

    searched = medians({"fp32": lambda: evaluate(real, batches), "new": lambda: new(True)}, repeats=5)
    for site in network.sites:
        for bits in OTHER:
            network.fitted(site, bits)
    times = medians(
        {
            "fp32": lambda: evaluate(real, batches),
            "quantized": lambda: evaluate(quantized, batches),
            "new": lambda: new(False),
        }
    )
    return {
        f"quantized/fp32 {name}": times["quantized"] / times["fp32"],
        f"new-allocation/fp32 {name}": times["new"] / times["fp32"],
        f"new-allocation-with-range-search/fp32 {name}": searched["new"] / searched["fp32"],
    }
