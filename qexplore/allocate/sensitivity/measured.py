"""Sensitivity as measured: quantize one site, leave all others real, and look at the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses, table_of
from qexplore.allocate.sensitivity.shared import Shares, shares_of
from qexplore.network import Network, summed_loss
from qexplore.network.divergence import divergence as divergences
from qexplore.network.execute import Plan, Step, Values, carry_out
from qexplore.network.footprint import resumed_batch
from qexplore.ptq import Calibration
from qexplore.report import Report

Score = Callable[[Tensor, Tensor, Tensor], float]
"""(logits of the network in FP32, logits with one site quantized, labels) → sum over the images, in nats."""


def _moved(real: Tensor, logits: Tensor, _: Tensor) -> float:
    return float(divergences(real, logits).sum())


def _risen(real: Tensor, logits: Tensor, y: Tensor) -> float:
    return float(summed_loss(logits, y)) - float(summed_loss(real, y))


SCORES: dict[str, Score] = {"divergence": _moved, "loss": _risen}


def measured(
    network: Network, calibration: Calibration, bits: Sequence[int], report: Report, names: Sequence[str] = (*SCORES,)
) -> dict[str, Losses]:
    """The tables of several measured metrics from one sweep over the calibration images, one site at a time.

    Where activations are dynamic the range of the samples stands in. What comes before the site is computed once a
    batch: the real network is carried out step by step, and at the first step that a site changes each of its bits goes
    on from the values that live there. The numbers are those of complete passes. A weight that layers share is
    quantized in all of them at once, and each of its sites has as large a share of what that does as of its elements.
    """
    keys = [(site.name, b) for site in network.sites for b in bits]
    sums = {name: dict.fromkeys(keys, 0.0) for name in names}
    total, images, shares = len(keys) * calibration.images, 0, shares_of(network.sites)
    with torch.inference_mode(), network.static(), network.using(network.uniform(None, None)):
        weights = sum(layer.weight.nbytes for layer in network.layers.values())  # a second time, beside the model's
        plan, size = network.real_plan(), resumed_batch(network.graph, calibration.batch, besides=weights)
        for x, y in replace(calibration, batch=size).batches():
            done, real = 0, plan(x)
            values = plan.begin(x)
            for number, step in _halts(plan, values):
                for first in _starting(network, step.name, shares):
                    of = shares.get(first, {first: 1.0})
                    for b in bits:
                        with network.using(dict.fromkeys(of, b)):
                            changed = network.plan()
                        logits = changed.resume(values, changed.steps[number:])
                        for name in names:
                            score = SCORES[name](real, logits, y)
                            for site, share in of.items():
                                sums[name][site, b] += score * share
                        done += len(y) * len(of)
                        report.progress(images * len(keys) + done, total, "one site at a time")
            images += len(y)
    return {name: {key: value / images for key, value in found.items()} for name, found in sums.items()}


def measured_tables(
    network: Network, calibration: Calibration, bits: Sequence[int], report: Report
) -> dict[str, pd.DataFrame]:
    """The tables of all measured metrics, as `sensitivity_table` gives them one by one, in the time of one."""
    found = measured(network, calibration, bits, report)
    return {name: table_of(network, losses, name) for name, losses in found.items()}


@METRICS.register("divergence")
def divergence(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Mean KL divergence of the answers from those of FP32 on the calibration images, in nats, with one site quantized
    at a time. Needs no labels. Project's own choice.

    Never negative and 0 only where no answer moves: a network in FP32 lies at its minimum, so that it grows with the
    square of small errors, as `fit` has it, and at few bits it is what really happens and no expansion.
    """
    return measured(network, calibration, bits, report, ["divergence"])["divergence"]


@METRICS.register("loss")
def loss(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Rise of the mean cross-entropy on the calibration images, in nats, with one site quantized at a time.

    May be negative or rise with bits: no network lies exactly at the minimum of its cross-entropy on these images, so
    that small errors raise or lower it by chance, in proportion to their size and not to its square. That hides what
    they do: orders of sites by it, and bits given out by it, are only good where few bits do great harm. The project's
    own choice.
    """
    return measured(network, calibration, bits, report, ["loss"])["loss"]


def _halts(plan: Plan, values: Values) -> Iterator[tuple[int, Step]]:
    """Every step with its number, before it is carried out on `values`."""
    for number, step in enumerate(plan.steps):
        yield number, step
        carry_out(step, values)


def _starting(network: Network, name: str, shares: Shares) -> list[str]:
    """Sites whose quantizer changes operation `name` and none before it: an activation's grid is that of the whole
    fused chain. Of a weight that layers share, the first site stands for all.
    """
    return [s.name for s in network.sites if s.layer == name and (s.kind != "weight" or s.name in shares)]
