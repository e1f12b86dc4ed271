"""The whole table of sensitivities against one FP32 evaluation of the same images."""

from __future__ import annotations

from qexplore.allocate.sensitivity import MENU, sensitivity_table
from qexplore.bench.subjects import MOBILENET, SUBJECTS, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import evaluate
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report


@BENCHES.register("fit")
def fit(report: Report) -> dict[str, float]:
    """`fit` for all sites × 7 bit widths, ranges known / FP32 evaluation of the same calibration images."""
    ratios = {}
    for name in report.track(SUBJECTS, "fit"):
        task = subject(name)
        network = prepare(task, Recipe.load("w8a8"))
        calibration = Calibration(task.data, batch=16 if name == MOBILENET else 128)
        real = network.real_plan()
        sensitivity_table(network, calibration, "fit", MENU)  # finds the ranges

        def table(network=network, calibration=calibration) -> None:  # type: ignore[no-untyped-def]
            network.forget_weights(ranges=False)
            sensitivity_table(network, calibration, "fit", MENU)

        def fp32(real=real, calibration=calibration) -> None:  # type: ignore[no-untyped-def]
            evaluate(real, calibration.batches())

        times = medians({"fp32": fp32, "fit": table}, repeats=5)
        ratios[f"fit/fp32 {name}"] = times["fit"] / times["fp32"]
    return ratios
