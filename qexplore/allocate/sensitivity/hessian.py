"""Sensitivity by the Hessian: the trace of each site's own block, by random vectors and a double backward pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from qexplore.allocate.sensitivity.metrics import METRICS, Losses
from qexplore.allocate.sensitivity.shared import shares_of
from qexplore.errors import QexploreError
from qexplore.network import Network, Site, summed_loss
from qexplore.network.footprint import micro_batch
from qexplore.ptq import Calibration
from qexplore.report import Report

PROBES = 8  # random vectors of a weight, at least one for each few images
IMAGES = 32  # at a time, at most: a vector drawn anew for a few images tells more than one for many
SHARE = 4  # of the images of one backward pass, what a double backward pass has room for


@METRICS.register("hessian-trace")
def hessian_trace(network: Network, calibration: Calibration, bits: Sequence[int], report: Report) -> Losses:
    """½ Tr(H)/n ‖δ‖²: the average trace of the loss's Hessian times the squared quantization error, in nats.

    The sensitivity of HAWQ-V2 (Dong et al. 2020; survey §IV-B), for weights and for activations; the factor ½ is that
    of the loss's second-order expansion. The Hessian of an activation is that of an image's loss, its mean over the
    images. Traces by Hutchinson with vectors of ±1 on the calibration images, on the real network. Project's own
    choice: each site has double backward passes of its own, without the noise that blocks between sites would add;
    a trace that comes out below 0 counts as 0; the trace of a weight that layers share is that of the one tensor, and
    each of its sites has as large a share of it as of its elements.
    Raises QexploreError where an operation has no second derivative, or a range was found without images.
    """
    errors = {(site.name, b): _error(network, site, b) for site in network.sites for b in bits}
    found = traces(network, calibration, report)
    return {(name, b): 0.5 * max(0.0, found[name]) * error for (name, b), error in errors.items()}


def traces(network: Network, calibration: Calibration, report: Report, probes: int = PROBES) -> dict[str, float]:
    """Site → estimated trace of the Hessian of the mean loss in all its elements (one image's, of an activation)."""
    double = _Double(network)
    generator = torch.Generator().manual_seed(calibration.seed)
    size = max(1, min(IMAGES, micro_batch(network.graph, calibration.batch) // SHARE))
    each = math.ceil(probes * size / max(1, calibration.images))
    sums = {site.name: 0.0 for site in network.sites}
    done = 0
    for x, y in _pieces(calibration.batches(), size):
        for name, value in double.quadratic(x, y, each, generator).items():
            sums[name] += value
        done += len(y)
        report.progress(done, calibration.images, "second derivatives")
    return {name: value / max(1, done) for name, value in sums.items()}


class _Double:
    """The real network, twice differentiable in every weight and activation.

    weights: leaves by the first of the sites that share them.
    """

    def __init__(self, network: Network) -> None:
        self.at = {site.at: site.name for site in network.sites if site.kind == "activation"}
        self.shares = shares_of(network.sites)
        self.weights = {
            name: network.layers[network.site(name).layer].weight.detach().requires_grad_() for name in self.shares
        }
        self.plan = network.real_plan(
            {network.site(site).layer: self.weights[name] for name, of in self.shares.items() for site in of}
        )

    def quadratic(self, x: Tensor, y: Tensor, probes: int, generator: torch.Generator) -> dict[str, float]:
        """Site → mean over the probes of vᵀ H v, H of the loss summed over the images."""
        with torch.enable_grad():
            tensors, loss = self._loss(x, y)
            slopes = _gradients(loss, tensors)
            sums = dict.fromkeys(slopes, 0.0)
            for name, slope in slopes.items():
                times = 1 if name in self.at.values() else probes  # an activation has a vector for each image
                for _ in range(times):
                    sums[name] += _curvature(name, slope, tensors[name], generator) / times
        return {site: share * sums[name] for name in sums for site, share in self.shares.get(name, {name: 1.0}).items()}

    def _loss(self, x: Tensor, y: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Weights and activations by site, and the loss summed over the images."""
        tensors = dict(self.weights)

        def watch(op: str, value: Any) -> None:
            if op in self.at and value.requires_grad:
                tensors[self.at[op]] = value

        images = x.detach().clone().requires_grad_()
        loss = summed_loss(self.plan.watch(images, watch), y)
        return tensors, loss


def _curvature(name: str, slope: Tensor, tensor: Tensor, generator: torch.Generator) -> float:
    """vᵀ H v of one tensor along a random v, from the gradient `slope` in it."""
    signs = torch.randint(0, 2, slope.shape, generator=generator).to(slope.dtype).mul_(2).sub_(1)
    curved = None
    try:
        (curved,) = torch.autograd.grad((slope * signs).sum(), tensor, retain_graph=True, allow_unused=True)
    except (RuntimeError, NotImplementedError) as error:
        if not any(word in str(error) for word in ("derivative", "differentiate", "does not require grad")):
            raise
    if curved is None:  # the loss is a function of every probability, so its gradient hangs on the tensor
        raise QexploreError(
            f"The metric 'hessian-trace' needs second derivatives, and an operation after {name!r} has none: take the "
            "metric 'fisher'."
        )
    return float((curved * signs).sum(dtype=torch.float64))


def _gradients(of: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Gradients of a scalar in those of the tensors on which it depends, to be differentiated again."""
    if not of.requires_grad:
        return {}
    found = torch.autograd.grad(of, list(tensors.values()), create_graph=True, allow_unused=True)
    return {name: gradient for name, gradient in zip(tensors, found, strict=True) if gradient is not None}


def _pieces(batches: Iterable[tuple[Tensor, Tensor]], size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for x, y in batches:
        yield from zip(torch.split(x, size), torch.split(y, size), strict=True)


def _error(network: Network, site: Site, bits: int) -> float:
    """Mean squared quantization error of the site's values: ‖δ‖² / n."""
    error = network.noise(site, bits)
    if math.isnan(error):
        raise QexploreError(
            f"The site {site.name!r} was ranged without images, and the metric 'hessian-trace' looks at values: take "
            "the metric 'fisher' or 'divergence', or a recipe that calibrates with images."
        )
    return error
