"""Sensitivity as measured: quantize one site, leave all others real, and look at the loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.network import Network, Site
from qexplore.network.execute import Values
from qexplore.ptq import Calibration
from qexplore.report import Report


@METRICS.register("loss")
def loss(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """Rise of the mean cross-entropy on the calibration images, in nats, with one site quantized at a time.

    May be negative or rise with bits: it is a measurement, averages that round to the site's grid included. What comes
    before the site is computed once a batch; what does not depend on it is not computed again.
    """
    changes = [(site, b, _Change(network, site, b)) for site in network.sites for b in bits]
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


class _Change:
    """One site at one number of bits, and the steps that have to be carried out anew because of it."""

    def __init__(self, network: Network, site: Site, bits: int) -> None:
        self.site = site
        self.grid = network.fitted(site, bits).grid
        with network.using({**network.uniform(None, None), site.name: bits}):
            self.plan = network.plan()
        anew = _descendants(network, site.at) | ({site.at} if site.kind == "weight" else set())
        self.steps = [step for step in self.plan.steps if step.name in anew]

    def logits(self, known: Values) -> Tensor:
        """Logits from what each operation gives on real numbers."""
        if self.site.kind == "weight":
            return self.plan.resume(known, self.steps)
        grid, value = self.grid, known[self.site.at]
        zero = float(grid.zero)
        codes = (value / float(grid.scale)).round_().clamp_(grid.qmin - zero, grid.qmax - zero)
        return self.plan.resume({**known, self.site.at: codes}, self.steps)


def _descendants(network: Network, name: str) -> frozenset[str]:
    """Operations whose result depends on that of `name`."""
    found = {name}
    for op in network.graph.ops:
        if found.intersection(op.inputs):
            found.add(op.name)
    return frozenset(found - {name})
