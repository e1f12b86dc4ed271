"""AdaRound against the forward and backward passes of its layers alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.bench.subjects import DIGITS, MOBILENET, subject
from qexplore.bench.timing import BENCHES, medians
from qexplore.network import Network
from qexplore.network.clamps import clamp
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.adaround import bounds_after
from qexplore.ptq.reconstruction import Problem
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report
from qexplore.zoo import Task

BATCH = 32
ITERATIONS = {**dict.fromkeys(DIGITS, 300), MOBILENET: 4}
IMAGES = 4  # of 224 × 224
PIPELINE = "mobilenet-digits"


@BENCHES.register("adaround")
def adaround(report: Report) -> dict[str, float]:
    """The whole step AdaRound / the bare passes of its layers, at few iterations; and seconds of a whole recipe.

    Bare: as many iterations of each layer's forward, its clamp, the mean squared error, and backward to the weight by
    autograd, on the same batches.
    """
    found = {}
    for name in report.track(list(ITERATIONS), "AdaRound"):
        found[f"adaround/bare-layer-passes {name}"] = _ratio(subject(name, IMAGES), ITERATIONS[name])
    start = time.perf_counter()
    prepare(Task(PIPELINE), Recipe.load("w4a8-adaround"))
    return {**found, f"w4a8-adaround pipeline seconds {PIPELINE}": time.perf_counter() - start}


def _ratio(task: Task, iterations: int) -> float:
    network = prepare(task, Recipe.load("w4a8"))
    calibration = Calibration(task.data, batch=BATCH)
    problems = _problems(network, [x for x, _ in calibration.batches()])
    step = STEPS.get("adaround")

    def whole() -> object:
        return step(network, calibration, Report(), iterations=iterations, batch=BATCH)  # type: ignore[call-arg]

    times = medians({"bare": lambda: _bare(problems, iterations), "adaround": whole}, repeats=3)
    return times["adaround"] / times["bare"]


def _problems(network: Network, batches: Sequence[Tensor]) -> list[Problem]:
    """Every layer with its real inputs and outputs."""
    known: list[dict[str, Any]] = [{} for _ in batches]
    for x, values in zip(batches, known, strict=True):
        network.real_plan().watch(x, values.__setitem__)
    return [_problem(network, name, known) for name in network.layers]


def _problem(network: Network, name: str, known: Sequence[dict[str, Any]]) -> Problem:
    (source,), bounds = network.graph.by_name[name].inputs, bounds_after(network, name)
    targets = [clamp(values[name], *bounds) for values in known]
    return Problem(network.layers[name], [values[source] for values in known], targets, *bounds)


def _bare(problems: Sequence[Problem], iterations: int) -> None:
    for problem in problems:
        layer, picks = problem.layer, torch.randint(len(problem.inputs), (iterations,)).tolist()
        weight = layer.weight.clone().requires_grad_()
        for pick in picks:
            y = clamp(layer.forward(problem.inputs[pick], weight, layer.bias), problem.lower, problem.upper)
            torch.autograd.grad(nn.functional.mse_loss(y, problem.targets[pick]), weight)
