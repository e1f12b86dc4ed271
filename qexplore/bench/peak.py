"""The peak memory of one work, measured in a process that does nothing else: `python -m qexplore.bench.peak`."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable

from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.bench.subjects import subject
from qexplore.network import Network, evaluate
from qexplore.ptq import STEPS, Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.zoo import Task


def _fp32(task: Task, given: Calibration) -> None:
    evaluate(task.model, given.batches())


def _calibration(task: Task, given: Calibration) -> Network:
    network = Network.of(task.model, task.example)
    for name in ("fold-bn", "weight-ranges", "activation-ranges"):
        network = STEPS.get(name)(network, given, Report())
    return network


def _evaluation(task: Task, given: Calibration) -> None:
    evaluate(_calibration(task, given), given.batches())


def _metric(name: str) -> Callable[[Task, Calibration], None]:
    def work(task: Task, given: Calibration) -> None:
        sensitivity_table(_calibration(task, given), given, name, (4,))

    return work


WORKS: dict[str, Callable[[Task, Calibration], object]] = {
    "fp32": _fp32,
    "calibration": _calibration,
    "evaluation": _evaluation,
    "fit": _metric("fit"),
    "loss": _metric("loss"),
}


def _resident() -> int:
    """Largest resident memory of this process so far, in bytes (Linux counts in kilobytes, macOS in bytes)."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def main(work: str, name: str, images: int) -> None:
    import torchvision.models  # noqa: F401  (before the measurement)

    prepare(Task("resnet-digits"), Recipe.load("w8a8"))  # what torch loads when it is first used
    before = _resident()
    task = subject(name, images)
    WORKS[work](task, Calibration(task.data, batch=images))
    print(json.dumps({"bytes": _resident() - before}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
