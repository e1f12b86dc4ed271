"""AdaRound: for every weight, learn whether it is rounded up or down, so that the layer's output changes least."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Network, Site
from qexplore.network.execute import clamp
from qexplore.network.graph import Bound, Layer
from qexplore.numerics import Grid, Spec
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.ptq.sweep import Sweep, side_by_side
from qexplore.report import Report

ZETA, GAMMA = 1.1, -0.1  # the rectified sigmoid reaches 0 and 1 (white paper §3.4)


@dataclass(frozen=True)
class Schedule:
    """How a layer's rounding is learned.

    regularizer: λ; betas: β from the first iteration after the warm start to the last; warm: share of the iterations
    without regularizer.
    """

    iterations: int
    rate: float
    regularizer: float
    betas: tuple[float, float]
    warm: float

    def beta(self, iteration: int) -> float | None:
        """β at an iteration, a cosine from high to low; None during the warm start."""
        start = self.warm * self.iterations
        if iteration < start:
            return None
        done = (iteration - start) / max(self.iterations - start, 1)
        high, low = self.betas
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * done))


@STEPS.register("adaround")
def adaround(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    iterations: int = 1000,
    batch: int = 32,
    rate: float = 0.01,
    regularizer: float = 0.01,
    beta_high: float = 20.0,
    beta_low: float = 2.0,
    warm: float = 0.2,
) -> Network:
    """AdaRound: min over V of ‖f(Wx) - f(W̃x̂)‖² + λ Σ 1 - |2h(V) - 1|^β, W̃ = s clamp(⌊W/s⌋ + h(V)) (white paper §3.4).

    Layer after layer, with the inputs x̂ that the layers rounded before give and the non-linearity f inside; scales stay
    as 'weight-ranges' has set them, which comes before this step. The paper runs 10,000 iterations at a rate of 0.001;
    1,000 at 0.01 are this project's default. A layer that ends no better than rounding to nearest keeps that.
    """
    if iterations < 1 or batch < 1:
        raise QexploreError(
            f"AdaRound needs at least one iteration and images in a batch; not {iterations} and {batch}."
        )
    schedule = Schedule(iterations, rate, regularizer, (beta_high, beta_low), warm)
    sites = {site.layer: site for site in network.sites if site.kind == "weight" and site.name in network.bits}
    if not sites:
        raise QexploreError("AdaRound rounds quantized weights: put the step 'weight-ranges' before it.")
    generator = torch.Generator().manual_seed(calibration.seed)
    done = 0
    for step, real, quantized in side_by_side(network, calibration, batch):
        site = sites.get(step.name)
        if site is None:
            quantized.carry_out(step)
            continue
        report.progress(done, len(sites), f"AdaRound: {site.layer}")
        _round_layer(network, site, real, quantized, schedule, generator)
        done += 1
    report.progress(done, len(sites), "AdaRound")
    return network


def _round_layer(
    network: Network, site: Site, real: Sweep, quantized: Sweep, schedule: Schedule, generator: torch.Generator
) -> None:
    """Learns one layer's rounding, gives it to the network and carries the layer out with it."""
    layer, bits = network.layers[site.layer], network.bits[site.name]
    spec, _, grid, _ = network.fitted(site, bits)
    clamps = [op for op in network.graph.chain(site.layer) if op.kind == "clamp"]
    bounds = (clamps[0].lower, clamps[0].upper) if clamps else (None, None)
    source = network.graph.by_name[site.layer].inputs[0]
    inputs = quantized.of(source)
    targets = [clamp(y, *bounds) for y in real.of(site.layer)]
    problem = _Problem(layer, spec, grid, inputs, targets, bounds)
    nearest = network.quantized_weight(site, bits)
    learned = problem.weight(problem.learn(schedule, generator) >= 0.5)
    best = learned if problem.distance(learned) < problem.distance(nearest) else nearest
    network.set_quantized(site, bits, best)
    for values in quantized.batches:
        values[site.layer] = layer.forward(values[source], best, layer.bias)


class _Problem:
    """One layer: its weights between two grid points each, and what its output should be."""

    def __init__(
        self,
        layer: Layer,
        spec: Spec,
        grid: Grid,
        inputs: Sequence[Tensor],
        targets: Sequence[Tensor],
        bounds: tuple[float | None, Bound],
    ) -> None:
        self.layer, self.spec, self.grid, self.bounds = layer, spec, grid, bounds
        self.inputs, self.targets = inputs, targets
        units = spec.slices(layer.weight) / grid.scale[:, None] + grid.zero[:, None]
        self.floor = units.floor()
        self.fraction = units - self.floor

    def weight(self, up: Tensor) -> Tensor:
        """The weight with `up` [slices, elements], 0 to 1, of a step added to the grid point below."""
        codes = (self.floor + up).clamp_(self.grid.qmin, self.grid.qmax)
        return self.spec.unslice(self.grid.values(codes), self.layer.weight.shape)

    def distance(self, weight: Tensor) -> float:
        """Squared distance to the targets over all images."""
        with torch.no_grad():
            return sum(
                float((self._output(x, weight) - t).square().sum())
                for x, t in zip(self.inputs, self.targets, strict=True)
            )

    def learn(self, schedule: Schedule, generator: torch.Generator) -> Tensor:
        """h(V) [slices, elements] after the iterations."""
        v = -torch.log((ZETA - GAMMA) / (self.fraction - GAMMA) - 1)
        v.grad = torch.zeros_like(v)
        optimizer = torch.optim.Adam([v], lr=schedule.rate, fused=True)
        picks = torch.randint(len(self.inputs), (schedule.iterations,), generator=generator).tolist()
        inside = (self.floor >= self.grid.qmin - 1) & (self.floor <= self.grid.qmax)
        slope = (ZETA - GAMMA) * self.grid.scale[:, None] * inside
        for iteration, pick in enumerate(picks):
            sigmoid = torch.sigmoid(v)
            h = (sigmoid * (ZETA - GAMMA)).add_(GAMMA).clamp_(0, 1)
            free = sigmoid.mul_(1 - sigmoid).mul_((h > 0) & (h < 1))
            gradient = self._gradient(self.weight(h), pick).mul_(slope)
            beta = schedule.beta(iteration)
            if beta is not None:
                away = h.mul_(2).sub_(1)
                pull = away.abs().pow_(beta - 1).mul_(away.sign())
                gradient.sub_(pull, alpha=2 * beta * schedule.regularizer * (ZETA - GAMMA))
            torch.mul(gradient, free, out=v.grad)
            optimizer.step()
        return (torch.sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp_(0, 1)

    def _gradient(self, weight: Tensor, pick: int) -> Tensor:
        """d/dW̃ [slices, elements] of the squared distance, summed over channels, mean over images and places."""
        weight.requires_grad_()
        difference = self._output(self.inputs[pick], weight) - self.targets[pick]
        channels = difference.shape[-1 if self.layer.kind == "linear" else 1]
        loss = difference.square().sum() * (channels / difference.numel())
        (gradient,) = torch.autograd.grad(loss, weight)
        return self.spec.slices(gradient)

    def _output(self, x: Tensor, weight: Tensor) -> Tensor:
        return clamp(self.layer.forward(x, weight, self.layer.bias), *self.bounds)
