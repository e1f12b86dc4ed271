"""Bias correction: the mean error that quantized weights leave in a layer's output, taken off its bias."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from qexplore.errors import UnknownName
from qexplore.network import Network, Site
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

    The correction is part of the quantized layer: it holds while the weight has the bits and the grid that it has now,
    and takes the place of an earlier one; the real weights keep the bias b.
    empirical: E[Ŵx] - E[Wx] on the calibration images, layer after layer, each with the inputs that its corrected
    predecessors give. analytic: E[x] from the batch norm before the layer, no image; layers whose input no batch norm
    describes stay as they are. Quantize the weights first.
    memory: gigabytes of RAM for results of all images that later layers read; what surpasses them lies on disk.
    """
    if method not in METHODS:
        raise UnknownName("method of bias correction", method, METHODS)
    network.forget_corrections()
    sites = _quantized(network)
    if method == "analytic":
        return _analytic(network, sites, report)
    corrected: dict[str, Tensor] = {}
    for step, real, quantized in side_by_side(network, calibration, batch, Memory(memory)):
        quantized.carry_out(step)
        if step.name in sites:
            layer = network.layers[step.name]
            error = channel_means(quantized.of(step.name), layer) - channel_means(real.of(step.name), layer)
            for y in quantized.of(step.name):
                y.sub_(per_channel(error.float(), layer, y))
            corrected[step.name] = -error.float()
            report.progress(len(corrected), len(sites), "correcting biases")
    for name, shift in corrected.items():
        network.set_correction(sites[name], network.bits[sites[name].name], shift)
    return network


def _analytic(network: Network, sites: Mapping[str, Site], report: Report) -> Network:
    told = told_inputs(network)
    if not told:
        report.event(
            "log",
            text="correct-bias: no batch norm tells of the input of any layer, so that no bias is corrected; method: "
            "empirical asks the calibration images.",
        )
    for name, site in sites.items():
        if name not in told:
            continue
        layer, bits = network.layers[name], network.bits[site.name]
        change = network.quantized_weight(site, bits) - layer.weight
        network.set_correction(site, bits, -mean_error(change, told[name].moments.mean, layer))
    return network


def _quantized(network: Network) -> dict[str, Site]:
    """Layer → site of its weight, of those that are quantized."""
    return {site.layer: site for site in network.sites if site.kind == "weight" and site.name in network.bits}
