"""Fake quantization as the white paper writes it, operation by operation on dequantized float64 tensors.

Shares no arithmetic with the engine: only its graph, its ranges' scale and zero point, and the weights as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Op
from qexplore.numerics import Grid

TIE = 1e-3  # of a step: where the value before rounding is that close to a half, either code is right


def calibrated(model: nn.Module, x: Tensor, bits: int | None = 8, weight_bits: int | None = 8, **specs: Any) -> Network:
    """The network of `model` with ranges from the images `x` and the same bits at every activation and weight."""
    network = Network.of(model, x[:1], **specs)
    samples: dict[str, Tensor] = {}

    def watch(name: str, value: Any) -> None:
        if name in network.placement.at:
            samples[network.placement.at[name].name] = value.detach().reshape(-1).clone()

    with torch.no_grad():
        network.real_plan().watch(x, watch)
    network.set_samples(samples)
    network.set_bits(network.uniform(weight_bits, bits))
    return network


def stored(network: Network, x: Tensor) -> dict[str, Any]:
    """What the engine leaves as the result of each operation: codes less the zero point where a grid is on."""
    found: dict[str, Any] = {}
    with torch.no_grad():
        network.plan().watch(x.clone(), lambda name, value: found.update({name: _copy(value)}))
    return found


def assert_equals_fake_quantization(network: Network, x: Tensor) -> None:
    """Every stored tensor has the codes that the formulas give, ties apart; logits equal to float precision."""
    found = stored(network, x)
    at = network.placement.at
    grids = {s.name: network.fitted(s, b).grid for s in network.sites if (b := network.bits.get(s.name)) is not None}
    reference: dict[str, Any] = {}
    for op in network.graph.ops:
        value = x.double() if op.kind == "input" else real_result(network, op, reference)
        site = at[op.name].name if op.name in at else network.placement.grid[op.name]
        grid = grids.get(site)
        if grid is not None and isinstance(value, Tensor):
            rounded = op.name in at or op.kind in ("avg-pool", "clamp")
            value = _compared(op, value, found[op.name], grid, rounded=rounded)
        elif isinstance(value, Tensor) and value.is_floating_point() and op.name in at:
            assert torch.allclose(value, found[op.name].double(), rtol=1e-4, atol=1e-5 * float(value.abs().max())), op
        reference[op.name] = value
    with torch.no_grad():
        logits, expected = network(x.clone()).double(), reference[network.graph.output]
    assert torch.allclose(logits, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max() + 1e-9))


def _compared(op: Op, value: Tensor, codes: Tensor, grid: Grid, *, rounded: bool) -> Tensor:
    """Checks the codes of one tensor; returns what they stand for, so that a tie is not met again further on."""
    scale, zero = float(grid.scale), float(grid.zero)
    units = value / scale
    if not rounded:
        assert torch.equal(codes.double(), units.round()), f"{op.name} moved off the grid of its input"
        return codes.double() * scale
    expected = (units.round() + zero).clamp(grid.qmin, grid.qmax) - zero
    tie = ((units - units.floor()) - 0.5).abs() < TIE
    wrong = (codes.double() != expected) & ~(tie & ((codes.double() - expected).abs() <= 1))
    assert not bool(wrong.any()), f"{op.name}: {int(wrong.sum())} of {wrong.numel()} codes differ"
    assert bool((codes == codes.round()).all())
    return codes.double() * scale


def real_result(network: Network, op: Op, values: Mapping[str, Any]) -> Any:
    """The operation itself on real numbers, float64 where it is a formula."""
    inputs = [values[name] for name in op.inputs]
    if op.kind in LAYERS:
        return _layer(network, op, inputs[0])
    if op.kind == "batchnorm":
        norm = op.module
        assert norm is not None
        shape = (1, -1, *[1] * (inputs[0].dim() - 2))
        gain = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        return (inputs[0] - norm.running_mean.double().view(shape)) * gain.view(shape) + norm.bias.double().view(shape)
    if op.kind == "clamp":
        lower = None if op.lower is None else torch.as_tensor(op.lower).double()
        upper = None if op.upper is None else torch.as_tensor(op.upper).double()
        return inputs[0].clamp(lower, upper)
    if op.kind == "add":
        return inputs[0] + inputs[1]
    assert op.call is not None
    with torch.no_grad():
        return _double(op.call(*(_float(value) for value in inputs)))


def _layer(network: Network, op: Op, x: Tensor) -> Tensor:
    layer = network.layers[op.name]
    site = next(s for s in network.sites if s.kind == "weight" and s.layer == op.name)
    weight, bits = layer.weight.double(), network.bits.get(site.name)
    if bits is not None:
        grid = network.fitted(site, bits).grid
        scale, zero = _a_number_each(grid.scale, weight), _a_number_each(grid.zero, weight)
        # Weights are rounded in float32 by the engine: a quotient within an ulp of a tie may go either way.
        codes = (layer.weight / scale.float()).double().round().add(zero).clamp(grid.qmin, grid.qmax)
        weight = scale * (codes - zero)
    bias = None if layer.bias is None else layer.bias.double()
    module = layer.module
    if layer.kind == "linear":
        return nn.functional.linear(x, weight, bias)
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    return module._conv_forward(x.contiguous(), weight.contiguous(), bias)


def _a_number_each(slices: Tensor, weight: Tensor) -> Tensor:
    """A value for each slice (the tensor, its channels, or groups of a channel's elements) as one for each element."""
    channels, elements = len(weight), weight[0].numel()
    groups = max(1, len(slices) // channels)
    size = next(k for k in range(1, elements + 1) if -(-elements // k) == groups)
    each = slices.double().expand(channels * groups).reshape(channels, groups).repeat_interleave(size, dim=1)
    return each[:, :elements].reshape(weight.shape)


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    return type(value)(_map(v, change) for v in value) if type(value) in (tuple, list) else value


def _float(value: Any) -> Any:
    return _map(value, lambda v: v.float().clone() if v.is_floating_point() else v.clone())


def _double(value: Any) -> Any:
    return _map(value, lambda v: v.double() if v.is_floating_point() else v)


def _copy(value: Any) -> Any:
    return _map(value, lambda v: v.clone())
