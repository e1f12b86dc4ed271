"""Learned rounding by hand-written gradients: the same as autograd and torch's Adam, for every kind of layer."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from qexplore.network.clamps import clamp
from qexplore.network.graph import Layer, channels_last, flat
from qexplore.numerics import Grid, Spec, estimate_range, grid_of
from qexplore.ptq.reconstruction import Problem
from qexplore.ptq.rounding import Rounding, Schedule

SCHEDULE = Schedule(30, 0.01, 0.01, (20.0, 2.0), 0.2)
LAYERS = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (3, 6, 6)),
    "strided and dilated": (nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2), (4, 9, 9)),
    "pointwise": (nn.Conv2d(6, 8, 1), (6, 4, 4)),
    "without bias": (nn.Conv2d(3, 8, (1, 3), bias=False), (3, 6, 6)),
    "depthwise": (nn.Conv2d(6, 6, 3, padding=1, groups=6), (6, 5, 5)),
    "grouped": (nn.Conv2d(6, 8, 3, groups=2), (6, 5, 5)),
    "reflected": (nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), (3, 6, 6)),
    "same": (nn.Conv2d(4, 4, 3, padding="same", groups=4), (4, 6, 6)),
    "one dimension": (nn.Conv1d(4, 6, 3, padding=1), (4, 9)),
    "three dimensions": (nn.Conv3d(3, 4, 2, padding=1), (3, 3, 3, 3)),
    "linear": (nn.Linear(12, 7), (12,)),
    "linear on tokens": (nn.Linear(6, 7), (5, 6)),
}
BOUNDS = {"none": (None, None), "relu": (0.0, None), "relu6": (0.0, 0.4), "channels": (0.0, "channels")}


def problem_of(name: str, bounds: str) -> Problem:
    """The layer with inputs that differ from those that its targets come from."""
    module, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    weight = channels_last(torch.randn(module.weight.shape, generator=generator) * 0.3)
    bias = None if module.bias is None else torch.randn(len(weight), generator=generator) * 0.1
    layer = Layer(name, "linear" if isinstance(module, nn.Linear) else "conv", module, weight, bias)
    lower, upper = BOUNDS[bounds]
    if upper == "channels":
        places = [] if layer.kind == "linear" else [1] * (len(shape) - 1)
        upper = torch.linspace(0.1, 0.9, len(weight)).view(-1, *places)
    images = [channels_last(torch.randn(n, *shape, generator=generator)) for n in (5, 5, 3)]
    targets = [clamp(layer.forward(x, weight, bias), lower, upper) for x in images]
    inputs = [channels_last(x + 0.1 * torch.randn(x.shape, generator=generator)) for x in images]
    return Problem(layer, inputs, targets, lower, upper)


def fitted(weight: Tensor, granularity: str | int) -> tuple[Spec, Grid]:
    spec = Spec(bits=3, granularity=granularity)  # type: ignore[arg-type]
    return spec, grid_of(spec, estimate_range(weight, spec, "mse"))


def plainly(problem: Problem, spec: Spec, grid: Grid, picks: list[int]) -> Tensor:
    """V by the formulas of the paper, as one would write them down."""
    layer = problem.layer
    rows = spec.slices(layer.weight)
    scale = spec.unslice(grid.scale[:, None].expand_as(rows), layer.weight.shape)
    below = (layer.weight / scale).floor()
    v = -torch.log(1.2 / (layer.weight / scale - below + 0.1) - 1)
    adam = torch.optim.Adam([v.requires_grad_()], lr=SCHEDULE.rate)
    axis = -1 if layer.kind == "linear" else 1
    for iteration, pick in enumerate(picks):
        h = (torch.sigmoid(v) * 1.2 - 0.1).clamp(0, 1)
        weight = scale * (below + h).clamp(grid.qmin, grid.qmax)
        y = clamp(layer.forward(problem.inputs[pick], weight, layer.bias), problem.lower, problem.upper)
        distance = (y - problem.targets[pick]).square().sum(dim=axis)
        loss = distance.sum() * len(problem.targets) / sum(t.numel() // t.shape[axis] for t in problem.targets)
        beta = SCHEDULE.beta(iteration)
        if beta is not None:
            loss = loss + SCHEDULE.regularizer * (1 - (2 * h - 1).abs() ** beta).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return v.detach()


@pytest.mark.parametrize("granularity", ["tensor", "channel", 4])
@pytest.mark.parametrize("name", LAYERS)
def test_v_goes_where_autograd_and_torchs_adam_take_it(name: str, granularity: str | int) -> None:
    problem = problem_of(name, "none" if granularity == "tensor" else "relu6")
    spec, grid = fitted(problem.layer.weight, granularity)
    rounding = Rounding(problem.layer.weight, spec, grid)
    for count in (1, 30):
        picks = [number % 3 for number in range(count)]
        learned = rounding.learn(problem.objective(), picks, SCHEDULE)
        torch.testing.assert_close(learned, plainly(problem, spec, grid, picks), atol=2e-3, rtol=0)
    assert float((learned - rounding.start()).abs().max()) > 0.1  # it has gone somewhere


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("name", LAYERS)
def test_every_form_of_a_layer_has_the_gradient_of_autograd(name: str, bounds: str) -> None:
    problem = problem_of(name, bounds)
    layer = problem.layer
    weight = (layer.weight + 0.05).requires_grad_()
    y = clamp(layer.forward(problem.inputs[2], weight, layer.bias), problem.lower, problem.upper)
    channel = -1 if layer.kind == "linear" else 1
    places = sum(target.numel() // target.shape[channel] for target in problem.targets) / len(problem.targets)
    (exact,) = torch.autograd.grad((y - problem.targets[2]).square().sum() / places, weight)
    line = channels_last(weight.detach()).as_strided((weight.numel(),), (1,))
    for room in (math.inf, 0.0):
        found = problem.objective(room).gradient(line, 2).as_strided(layer.weight.shape, layer.weight.stride())
        torch.testing.assert_close(found, exact, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("bounds", ["none", "relu6"])
@pytest.mark.parametrize("name", LAYERS)
def test_batches_drawn_evenly_stand_for_all_images_evenly_whatever_their_sizes(name: str, bounds: str) -> None:
    problem = problem_of(name, bounds)
    together = replace(problem, inputs=[torch.cat(problem.inputs)], targets=[torch.cat(problem.targets)])
    line = flat(problem.layer.weight + 0.05)
    for room in (math.inf, 0.0):
        split, whole = problem.objective(room), together.objective(room)
        mean = sum(split.gradient(line, pick).clone() for pick in range(3)) / 3
        torch.testing.assert_close(mean, whole.gradient(line, 0), atol=1e-5, rtol=1e-4)


def test_a_layer_without_activation_needs_no_image_while_it_learns() -> None:
    problem = problem_of("pointwise", "none")
    objective = problem.objective()
    before = objective.gradient(problem.layer.weight.flatten(), 0)
    for x in problem.inputs:
        x.zero_()
    assert torch.equal(objective.gradient(problem.layer.weight.flatten(), 0), before)


def test_weights_beyond_the_grid_stay_at_its_end() -> None:
    weight = torch.tensor([[-9.0, 9.0, 0.4]])
    grid = Grid(torch.tensor([1.0]), torch.tensor([0.0]), -4, 3)
    rounding = Rounding(weight, Spec(bits=3), grid)
    for up in (True, False):
        assert rounding.weight(torch.full((1, 3), up)).tolist() == [[-4.0, 3.0, float(up)]]


def test_v_starts_where_the_weights_are() -> None:
    problem = problem_of("convolution", "none")
    rounding = Rounding(problem.layer.weight, *fitted(problem.layer.weight, "channel"))
    h = (torch.sigmoid(rounding.start()) * 1.2 - 0.1).clamp(0, 1)
    torch.testing.assert_close(h, rounding.fraction, atol=1e-6, rtol=0)
