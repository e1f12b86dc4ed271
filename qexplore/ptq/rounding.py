"""Weights between two grid points each, and the search for the better one (white paper §3.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network.graph import channels_last, flat
from qexplore.network.sparsity import masked
from qexplore.numerics import Grid, Spec
from qexplore.ptq.reconstruction import Objective

ZETA, GAMMA = 1.1, -0.1  # the rectified sigmoid reaches 0 and 1
STRETCH = ZETA - GAMMA
EDGE = 1 / STRETCH
TINY = 1e-30
MOST = 10_000_000  # iterations


@dataclass(frozen=True)
class Schedule:
    """How a layer's rounding is learned.

    regularizer: λ; betas: β from the first iteration after the warm start to the last; warm: share of the iterations
    without regularizer. QexploreError for numbers with which nothing can be learned.
    """

    iterations: int
    rate: float
    regularizer: float
    betas: tuple[float, float]
    warm: float

    def __post_init__(self) -> None:
        if not 1 <= self.iterations <= MOST:
            raise QexploreError(f"AdaRound takes 1 to {MOST} iterations a layer; not {self.iterations}.")
        if not (self.rate > 0 and self.regularizer >= 0 and min(self.betas) > 0 and 0 <= self.warm <= 1):
            raise QexploreError(
                "AdaRound needs a rate and betas above 0, a regularizer of at least 0 and a warm share from 0 to 1; "
                f"not {self.rate}, {self.betas}, {self.regularizer} and {self.warm}."
            )

    def beta(self, iteration: int) -> float | None:
        """β at an iteration, a cosine from high to low; None during the warm start."""
        start = self.warm * self.iterations
        if iteration < start:
            return None
        done = (iteration - start) / max(self.iterations - start, 1)
        high, low = self.betas
        return low + 0.5 * (high - low) * (1 + math.cos(math.pi * done))


class Rounding:
    """A layer's weights, each with the grid points below and above it (the same one beyond an end of the grid).

    mask: False where a weight is pruned, which has 0 on both sides and stays there.
    """

    def __init__(self, weight: Tensor, spec: Spec, grid: Grid, mask: Tensor | None = None) -> None:
        rows = spec.slices(weight)
        units = rows / grid.scale[:, None]
        floor = units.floor()
        least, most = ((end - grid.zero)[:, None] for end in (grid.qmin, grid.qmax))
        ends = ((floor + step).clamp(least, most) * grid.scale[:, None] for step in (0, 1))
        self.low, self.high, self.fraction = (
            masked(channels_last(spec.unslice(each, weight.shape).contiguous()), mask)
            for each in (*ends, units - floor)
        )

    def weight(self, up: Tensor) -> Tensor:
        """The weight with the upper grid point where `up` holds and the lower one elsewhere."""
        return channels_last(torch.where(up, self.high, self.low))

    def start(self) -> Tensor:
        """V for which h(V) gives the weights as they are."""
        return 2 * torch.atanh((2 * self.fraction - 1) / STRETCH)

    @torch.inference_mode()
    def learn(
        self,
        objective: Objective,
        picks: list[int],
        schedule: Schedule,
        tick: Callable[[int], None] = lambda iteration: None,
    ) -> Tensor:
        """V, of the weight's shape, after an iteration for each batch of `picks`; a weight goes up where V ≥ 0.

        Because ζ + γ = 1, 2h(V) - 1 is (ζ - γ) tanh(V / 2) between -1 and 1; all of this works on that and on V / 2.
        Gradients by hand and in place: on small layers every further operation would cost as much as the layer.
        tick: called with the number of each iteration before it starts.
        """
        half = flat(self.start()).div_(2)
        adam = _Adam(half, schedule.rate)
        middle, reach = flat(self.low + self.high).div_(2), flat(self.high - self.low).mul_(STRETCH / 2)
        tanh, soft, weight, power, tiny = (torch.full_like(half, TINY) for _ in range(5))
        for iteration, pick in enumerate(picks):
            tick(iteration)
            torch.tanh(half, out=tanh)
            torch.clamp(tanh, -EDGE, EDGE, out=soft)
            torch.addcmul(middle, reach, soft, out=weight)
            gradient = objective.gradient(weight, pick).mul_(reach)
            beta = schedule.beta(iteration)
            if beta is not None:  # d/dx of -|(ζ - γ) x|^β; a power would take four times as long as the logarithm
                torch.addcmul(tiny, soft, soft, out=power).log_().mul_(beta / 2 - 1).exp_()
                gradient.addcmul_(power, soft, value=-schedule.regularizer * beta * STRETCH**beta)
            # No way out once h has reached 0 or 1.
            gradient = torch.ops.aten.hardtanh_backward(gradient, tanh, -EDGE, EDGE)
            adam.step(torch.ops.aten.tanh_backward(gradient, tanh))
        return (2 * half).as_strided(self.low.shape, self.low.stride())


class _Adam:
    """Adam with torch's defaults on V, given as V / 2, in six operations; torch's own costs more than a small layer."""

    def __init__(self, half: Tensor, rate: float) -> None:
        self.half, self.rate, self.steps = half, rate, 0
        self.mean, self.square, self.root = (torch.zeros_like(half) for _ in range(3))

    def step(self, gradient: Tensor) -> None:
        """gradient: to V / 2, so twice that to V."""
        self.steps += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        torch.sqrt(self.square, out=self.root)
        correction = math.sqrt(1 - 0.999**self.steps)
        self.root.add_(2e-8 * correction)
        self.half.addcdiv_(self.mean, self.root, value=-self.rate / 2 * correction / (1 - 0.9**self.steps))
