"""The whole table of sensitivities against one FP32 evaluation of the same images."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qexplore.allocate.sensitivity import MENU, sensitivity_table
from qexplore.bench.subjects import DIGITS, LARGE, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network, evaluate
from qexplore.network.execute import Plan
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report

METRICS = ("fisher", "fit")


@BENCHES.register("fit")
def fit(report: Report, *, images: int = 32) -> dict[str, float]:
    """`fisher` and `fit` for all sites × 7 bit widths, ranges known / FP32 evaluation of the same calibration images.

    images: of the large networks, at 224 × 224, for which the limit of 8 is meant: on the digits networks what 64 small
    passes of `fisher` cost apiece decides.
    """
    ratios: dict[str, float] = {}
    for name in report.track((*DIGITS, *LARGE), "fisher and fit"):
        task, large = subject(name, images), name in LARGE
        network = prepare(task, Recipe.load("w8a8"))
        calibration = Calibration(task.data, batch=16 if large else 128)
        sensitivity_table(network, calibration, METRICS[0], MENU)  # finds the ranges
        works: dict[str, Callable[[], object]] = {"fp32": partial(_evaluate, network.real_plan(), calibration)}
        works |= {metric: partial(_scored, network, calibration, metric) for metric in METRICS}
        times = medians(works, repeats=1 if large else 5, uncounted=0 if large else 2)
        ratios |= {f"{metric}/fp32 {name}": times[metric] / times["fp32"] for metric in METRICS}
    return ratios


def _evaluate(real: Plan, calibration: Calibration) -> None:
    evaluate(real, calibration.batches())


def _scored(network: Network, calibration: Calibration, metric: str) -> None:
    network.forget_weights(ranges=False)
    sensitivity_table(network, calibration, metric, MENU)
