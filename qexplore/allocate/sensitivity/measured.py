"""Sensitivity as measured: quantize one site, leave all others real, and look at the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.alone import Alone
from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.network import Network
from qexplore.network.execute import Values
from qexplore.ptq import Calibration
from qexplore.report import Report


@METRICS.register("loss")
def loss(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Rise of the mean cross-entropy on the calibration images, in nats, with one site quantized at a time.

    May be negative or rise with bits: it is a measurement, averages that round to the site's grid included. What comes
    before the site is computed once a batch; what does not depend on it is not computed again.
    """
    changes = [(site, b, Alone.quantized(network, site, b)) for site in network.sites for b in bits]
    real = network.real_plan()
    sums: Losses = {(site.name, b): 0.0 for site, b, _ in changes}
    images = 0
    with torch.inference_mode():
        for x, y in calibration.batches():
            known: Values = {}
            before = float(_cross_entropy(real.watch(x, known.__setitem__), y))
            known[real.input] = known.get(real.input, x)
            for number, (site, b, change) in enumerate(changes, 1):
                sums[site.name, b] += float(_cross_entropy(change.logits(known), y)) - before
                done = images * len(changes) + number * len(y)
                report.progress(done, calibration.images * len(changes), "one site at a time")
            images += len(y)
    return {key: total / images for key, total in sums.items()}


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, y, reduction="sum")
