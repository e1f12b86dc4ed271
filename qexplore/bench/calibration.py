"""Calibration at W8A8 against one FP32 pass over the same images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qexplore.bench.subjects import LARGE, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network, evaluate
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.calibrate import collect_samples
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report

BATCH = 16


@BENCHES.register("calibration")
def calibration(report: Report, *, images: int = 64) -> dict[str, float]:
    """Time of calibration / time of the FP32 forward pass over the same `images` of 224 × 224 (limit: 1.6).

    Calibration: the ranges of the activations by mse, sampling included. With weights: those of the weights too.
    Sampling alone is the part that grows with the images; all else takes as long for one as for a thousand (ask for
    --images 1000). FP32 has batch norms folded, channels last.
    """
    ratios: dict[str, float] = {}
    for name in report.track(LARGE, "calibration"):
        task = subject(name, images)
        network, given = prepare(task, Recipe.load("w8a8")), Calibration(task.data, batch=BATCH)
        works: dict[str, Callable[[], object]] = {
            "fp32": partial(_evaluate, network, given),
            "sampling": partial(collect_samples, network, given, Report()),
            "weights": partial(_ranges, "weight", network, given),
            "activations": partial(_ranges, "activation", network, given),
        }
        times = medians(works, repeats=1, uncounted=0)
        ratios[f"sampling/fp32 {name}"] = times["sampling"] / times["fp32"]
        ratios[f"calibration/fp32 {name}"] = times["activations"] / times["fp32"]
        ratios[f"calibration-with-weights/fp32 {name}"] = (times["activations"] + times["weights"]) / times["fp32"]
    return ratios


def _evaluate(network: Network, given: Calibration) -> None:
    evaluate(network.real_plan(), given.batches())


def _ranges(kind: str, network: Network, given: Calibration) -> None:
    """The step that ranges a kind of site, as on a network that has no ranges yet."""
    network.set_estimator(kind, *network.estimators[kind])  # forgets those that were found
    STEPS.get(f"{kind}-ranges")(network, given, Report())
