"""Sensitivity as measured: quantize one site, leave all others real, and look at the loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.network import Network, Site, summed_loss
from qexplore.network.execute import Plan, Step, Values, carry_out
from qexplore.ptq import Calibration
from qexplore.report import Report


@METRICS.register("loss")
def loss(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Rise of the mean cross-entropy on the calibration images, in nats, with one site quantized at a time.

    May be negative or rise with bits: it is a measurement, averages that round to the site's grid included. Where
    activations are dynamic the range of the samples stands in. What comes before the site is computed once a batch: the
    real network is carried out step by step, and at the first step that a site changes each of its bits goes on from
    the values that live there. The numbers are those of complete passes.
    """
    sums: Losses = {(site.name, b): 0.0 for site in network.sites for b in bits}
    total, images, before = len(sums) * calibration.images, 0, 0.0
    with torch.inference_mode(), network.static(), network.using(network.uniform(None, None)):
        real = network.real_plan()
        for x, y in calibration.batches():
            done = 0
            values = real.begin(x)
            for number, step in _halts(real, values):
                for site in _starting(network, step.name):
                    for b in bits:
                        with network.using({site.name: b}):
                            plan = network.plan()
                        sums[site.name, b] += _cross_entropy(plan.resume(values, plan.steps[number:]), y)
                        done += len(y)
                        report.progress(images * len(sums) + done, total, "one site at a time")
            before += _cross_entropy(real.end(values), y)
            images += len(y)
    return {key: (after - before) / images for key, after in sums.items()}


def _halts(plan: Plan, values: Values) -> Iterator[tuple[int, Step]]:
    """Every step with its number, before it is carried out on `values`."""
    for number, step in enumerate(plan.steps):
        yield number, step
        carry_out(step, values)


def _starting(network: Network, name: str) -> list[Site]:
    """Sites whose quantizer changes operation `name` and none before it: an activation's grid is that of the whole
    fused chain.
    """
    return [site for site in network.sites if site.layer == name]


def _cross_entropy(logits: Tensor, y: Tensor) -> float:
    return float(summed_loss(logits, y))
