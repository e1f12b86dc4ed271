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
    learned = problem.weight(problem.learn(schedule, generator))
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
        self.layer, self.bounds, self.inputs, self.targets = layer, bounds, inputs, targets
        shape = layer.weight.shape
        rows = spec.slices(layer.weight)
        units = rows / grid.scale[:, None]
        below = units.floor()
        # All of the weight's shape, in units of its scale and with the zero point at 0.
        self.scale = spec.unslice(grid.scale[:, None].expand_as(rows), shape).contiguous()
        self.floor = spec.unslice(below, shape).contiguous()
        self.fraction = spec.unslice(units - below, shape).contiguous()
        least, most = (
            spec.unslice((end - grid.zero)[:, None].expand_as(rows), shape) for end in (grid.qmin, grid.qmax)
        )
        self.low = torch.maximum(torch.minimum(self.floor, most), least)
        self.high = torch.minimum(torch.maximum(self.floor + 1, least), most)

    def weight(self, up: Tensor) -> Tensor:
        """The weight with the upper grid point where `up` holds and the lower one elsewhere."""
        return torch.where(up, self.high, self.low) * self.scale

    def distance(self, weight: Tensor) -> float:
        """Squared distance to the targets over all images."""
        with torch.no_grad():
            pairs = zip(self.inputs, self.targets, strict=True)
            return sum(float((self._output(x, weight) - t).square().sum()) for x, t in pairs)

    @torch.no_grad()
    def learn(self, schedule: Schedule, generator: torch.Generator) -> Tensor:
        """Whether each weight goes up (bool, of the weight's shape).

        Gradients by hand and in place: on small layers every further operation would cost as much as the layer.
        """
        v = -torch.log((ZETA - GAMMA) / (self.fraction - GAMMA) - 1)
        adam = _Adam(v, schedule.rate)
        sigmoid, raw, codes, pull = (torch.empty_like(v) for _ in range(4))
        weight = torch.empty_like(v).requires_grad_()
        base, twice = self.floor + GAMMA, -2 * self.floor - 1
        slope = self.scale * (ZETA - GAMMA)
        for iteration, pick in enumerate(
            torch.randint(len(self.inputs), (schedule.iterations,), generator=generator).tolist()
        ):
            torch.sigmoid(v, out=sigmoid)
            torch.add(base, sigmoid, alpha=ZETA - GAMMA, out=raw)
            torch.clamp(raw, self.low, self.high, out=codes)
            torch.mul(codes, self.scale, out=weight.detach())
            gradient = self._gradient(weight, pick).mul_(slope)
            beta = schedule.beta(iteration)
            if beta is not None:  # h = codes - floor; d/dh of 1 - |2h - 1|^β
                torch.add(twice, codes, alpha=2, out=pull)
                gradient.sub_(
                    pull.abs().pow_(beta - 1).copysign_(pull), alpha=2 * beta * schedule.regularizer * (ZETA - GAMMA)
                )
            gradient.mul_(raw.eq_(codes))  # no way out once h has reached 0 or 1
            adam.step(torch.ops.aten.sigmoid_backward(gradient, sigmoid))
        return v >= 0  # h(0) = 1/2

    def _gradient(self, weight: Tensor, pick: int) -> Tensor:
        """d/dW̃ of the squared distance, summed over channels, mean over images and places."""
        with torch.enable_grad():
            output = self._output(self.inputs[pick], weight)
        difference = output.detach() - self.targets[pick]
        channels = difference.shape[-1 if self.layer.kind == "linear" else 1]
        (gradient,) = torch.autograd.grad(output, weight, difference.mul_(2 * channels / difference.numel()))
        return gradient

    def _output(self, x: Tensor, weight: Tensor) -> Tensor:
        return clamp(self.layer.forward(x, weight, self.layer.bias), *self.bounds)


class _Adam:
    """Adam on one tensor with torch's defaults, in six operations; torch's own costs more than a small layer does."""

    def __init__(self, parameter: Tensor, rate: float) -> None:
        self.parameter, self.rate, self.steps = parameter, rate, 0
        self.mean, self.square, self.root = (torch.zeros_like(parameter) for _ in range(3))

    def step(self, gradient: Tensor) -> None:
        self.steps += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        torch.sqrt(self.square, out=self.root)
        correction = math.sqrt(1 - 0.999**self.steps)
        self.root.add_(1e-8 * correction)
        self.parameter.addcdiv_(self.mean, self.root, value=-self.rate * correction / (1 - 0.9**self.steps))
