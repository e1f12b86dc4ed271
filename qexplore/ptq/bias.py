"""Bias correction: the mean error that quantized weights leave in a layer's output, taken off its bias."""

from __future__ import annotations

import torch
from torch import Tensor

from qexplore.errors import UnknownName
from qexplore.network import Network
from qexplore.network.graph import Layer
from qexplore.ptq.memory import DEFAULT, Memory
from qexplore.ptq.moments import mean_error, told_inputs
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.ptq.sweep import channel_means, per_channel, side_by_side
from qexplore.report import Report

METHODS = ("empirical", "analytic")


@STEPS.register("correct-bias")
def correct_bias(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    method: str = "empirical",
    batch: int = 64,
    memory: float = DEFAULT,
) -> Network:
    """Bias correction: b ← b - ΔW E[x], ΔW = Ŵ - W (white paper §3.3).

    empirical: E[Ŵx] - E[Wx] on the calibration images, layer after layer, each with the inputs that its corrected
    predecessors give. analytic: E[x] from the batch norm before the layer, no image; layers whose input no batch norm
    describes stay as they are. Quantize the weights first.
    memory: gigabytes of RAM for results of all images that later layers read; what surpasses them lies on disk.
    """
    if method not in METHODS:
        raise UnknownName("method of bias correction", method, METHODS)
    if method == "analytic":
        return _analytic(network, report)
    corrected: dict[str, Tensor] = {}
    for step, real, quantized in side_by_side(network, calibration, batch, Memory(memory)):
        quantized.carry_out(step)
        layer = network.layers.get(step.name)
        if layer is not None:
            error = channel_means(quantized.of(step.name), layer) - channel_means(real.of(step.name), layer)
            for y in quantized.of(step.name):
                y.sub_(per_channel(error.float(), layer, y))
            corrected[step.name] = _bias(layer) - error.float()
            report.progress(len(corrected), len(network.layers), "correcting biases")
    for name, bias in corrected.items():
        network.set_bias(name, bias)
    return network


def _analytic(network: Network, report: Report) -> Network:
    told, bits = told_inputs(network), network.bits
    if not told:
        report.event(
            "log",
            text="correct-bias: no batch norm tells of the input of any layer, so that no bias is corrected; method: "
            "empirical asks the calibration images.",
        )
    for site in network.sites:
        if site.kind == "weight" and site.name in bits and site.layer in told:
            layer = network.layers[site.layer]
            change = network.quantized_weight(site, bits[site.name]) - layer.weight
            network.set_bias(site.layer, _bias(layer) - mean_error(change, told[site.layer].moments.mean, layer))
    return network


def _bias(layer: Layer) -> Tensor:
    return torch.zeros(len(layer.weight)) if layer.bias is None else layer.bias
