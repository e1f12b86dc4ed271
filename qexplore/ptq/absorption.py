"""High-bias absorption: what a channel always carries is moved into the bias of the next layer."""

from __future__ import annotations

import torch
from torch import Tensor

from qexplore.errors import UnknownName
from qexplore.network import Network
from qexplore.ptq.equalization import Pair, scalable_pairs
from qexplore.ptq.moments import mean_error
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report

METHODS = ("statistics", "empirical")


@STEPS.register("absorb-high-bias")
def absorb_high_bias(
    network: Network, calibration: Calibration, report: Report, *, method: str = "statistics"
) -> Network:
    """High-bias absorption through a ReLU: b₁ ← b₁ - c, b₂ ← b₂ + W₂ c (white paper §3.2).

    statistics: c = max(0, β - 3 γ) from the batch norm folded into the first layer. empirical: c = max(0, least
    output of the channel on the calibration images). Approximate where an output falls below c, and at zero-padded
    borders.
    """
    if method not in METHODS:
        raise UnknownName("method of absorption", method, METHODS)
    pairs = [pair for pair in scalable_pairs(network) if _plain_relu(network, pair)]
    if method == "statistics" and all(network.layers[pair.first].mean is None for pair in pairs):
        report.event(
            "log",
            text="absorb-high-bias: no batch norm that was folded tells of a layer before a ReLU, so that nothing is "
            "absorbed; method: empirical asks the calibration images.",
        )
    least = _least_outputs(network, calibration, report) if method == "empirical" else {}
    for pair in pairs:
        first, second = network.layers[pair.first], network.layers[pair.second]
        if method == "empirical":
            constant = least[pair.first].clamp(min=0)
        elif first.mean is not None and first.std is not None:
            constant = (first.mean - 3 * first.std).clamp(min=0)
        else:
            continue
        if first.bias is not None and bool((constant > 0).any()):
            network.set_bias(pair.first, first.bias - constant)
            moved = mean_error(second.weight, constant, second)
            network.set_bias(pair.second, moved if second.bias is None else second.bias + moved)
            first.mean = None if first.mean is None else first.mean - constant
    return network


def _plain_relu(network: Network, pair: Pair) -> bool:
    clamp = network.graph.by_name.get(pair.clamp)
    return clamp is not None and clamp.lower == 0 and clamp.upper is None and not pair.function


def _least_outputs(network: Network, calibration: Calibration, report: Report) -> dict[str, Tensor]:
    """Layer → least output of each channel, before the non-linearity."""
    least: dict[str, Tensor] = {}

    def watch(name: str, value: Tensor) -> None:
        if name in network.layers:
            found = value.movedim(-1 if network.layers[name].kind == "linear" else 1, 0).flatten(1).amin(dim=1)
            least[name] = torch.minimum(least[name], found) if name in least else found

    plan = network.real_plan()
    with torch.inference_mode():
        for x, _ in report.track(list(calibration.batches()), "least outputs"):
            plan.watch(x, watch)
    return {name: found.clone() for name, found in least.items()}
