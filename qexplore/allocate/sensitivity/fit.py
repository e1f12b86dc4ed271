"""Sensitivity by the Fisher information trace: all sites and all bits from one backward pass a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.network import Network
from qexplore.ptq import Calibration
from qexplore.report import Report


@METRICS.register("fit")
def fit(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """½ Tr(F) · E[δ²]: trace of the empirical Fisher information times the measured quantization noise, in nats.

    QBitOpt's sensitivity is FIT (§3 there); the second-order factor ½ and the noise measured on the site's own values, in
    place of step²/12, are this project's choice. The Fisher information is that of the real network, from the labels of
    the calibration images.
    """
    traces = fisher_traces(network, calibration, report)
    return {
        (site.name, b): 0.5 * traces[site.name] * network.fitted(site, b).noise
        for site in report.track(network.sites, "noise of the sites")
        for b in bits
    }


def fisher_traces(network: Network, calibration: Calibration, report: Report) -> dict[str, float]:
    """Site → mean over images of the squared norm of the gradient of the cross-entropy (nats² / unit²).

    Activations: exact image by image. Weights: from the gradient of a batch's summed loss, whose squared norm has
    images × the trace as its expectation where the mean gradient is near zero.
    """
    at = {site.at: site.name for site in network.sites if site.kind == "activation"}
    weights = {name: layer.weight.detach().requires_grad_() for name, layer in network.layers.items()}
    plan = network.real_plan(weights)
    names = [f"{name}.weight" for name in weights] + list(at.values())
    sums = torch.zeros(len(names), dtype=torch.float64)
    images = 0
    for x, y in calibration.batches():
        seen: dict[str, Tensor] = {}

        def watch(op: str, value: Any, seen: dict[str, Tensor] = seen) -> None:
            if op in at:
                seen[at[op]] = value

        logits = plan.watch(x.detach().clone().requires_grad_(), watch)
        loss = torch.nn.functional.cross_entropy(logits, y, reduction="sum")
        tensors = [*weights.values(), *(seen[name] for name in at.values())]
        gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
        sums += torch.tensor([0.0 if g is None else float(g.square().sum()) for g in gradients], dtype=torch.float64)
        images += len(y)
        report.progress(images, calibration.images, "gradients")
    return dict(zip(names, (sums / images).tolist(), strict=True))
