"""What a quantizer learns moves as LSQ says, and other bits keep its range."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qexplore.network import Site
from qexplore.network.clamps import clamp
from qexplore.network.fitting import Fitted
from qexplore.network.graph import LAYERS
from qexplore.numerics import Grid, Range, Spec, grid_of
from qexplore.numerics.learned import Codes, fake_quantize_rows
from qexplore.qat.quantizers import LEAST, Quantizer, quantizers_of
from qexplore.qat.trainable import Trainable
from tests.network.nets import built
from tests.numerics.whole import fake_quantize
from tests.qat.small import calibration, quantized

SPECS = {
    "weight": Spec(symmetric=True, granularity="channel"),
    "signed": Spec(symmetric=True),
    "unsigned": Spec(symmetric=True, signed=False),
    "asymmetric": Spec(symmetric=False),
    "signed asymmetric": Spec(symmetric=False, signed=True),
}
BITS = st.integers(2, 8)


def quantizer(spec: Spec, lo: float, hi: float, *, learn: bool = True, slices: int = 1) -> Quantizer:
    grid = grid_of(spec, Range(torch.full((slices,), lo), torch.full((slices,), hi)))
    return of(spec, grid, learn=learn)


def of(spec: Spec, grid: Grid, *, learn: bool) -> Quantizer:
    kind = "weight" if spec.granularity == "channel" else "activation"
    shape = (len(grid.scale), 6, 5)
    site = Site("a", 0, kind, "a", "conv", "a", shape, math.prod(shape), 0, "a")  # type: ignore[arg-type]
    return Quantizer.of(site, Fitted(spec, grid.span, grid, 0.0), learn=learn, one_sided=False)


@given(st.sampled_from(sorted(SPECS)), BITS, BITS, st.floats(0.01, 9), st.floats(0.01, 9), st.floats(0.3, 2))
def test_other_bits_keep_the_width_of_the_range_and_zero_on_the_grid(
    name: str, before: int, after: int, below: float, above: float, size: float
) -> None:
    spec = Spec(before, SPECS[name].symmetric, SPECS[name].signed, SPECS[name].granularity)
    it = quantizer(spec, -below, above, slices=3 if name == "weight" else 1)
    it.size.data.mul_(size)
    first = it.range()
    it.set_bits(after)
    second = it.range()
    assert torch.allclose(second.hi - second.lo, first.hi - first.lo, rtol=1e-5)
    grid = grid_of(it.spec, second)
    assert bool((grid.zero == grid.zero.round()).all())
    assert bool(((second.lo <= 0) & (second.hi >= 0)).all())
    if not it.spec.symmetric:  # the zero point is a code, so that the ends move by half a code at most
        assert bool(((second.lo - first.lo).abs() <= (grid.scale / 2 + first.hi / 1e4) + 1e-6).all())


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("name", SPECS)
@given(st.lists(BITS, max_size=5), st.floats(0.01, 9))
def test_there_and_back_again_is_the_same_grid(name: str, learn: bool, way: list[int], below: float) -> None:
    it = quantizer(SPECS[name], -below, 3.0, learn=learn)
    before, zero = it.range(), it.zero.item()
    for bits in [*way, 8]:
        it.set_bits(bits)
    after = it.range()
    assert torch.equal(before.lo, after.lo)
    assert torch.equal(before.hi, after.hi)
    assert it.zero.item() == zero


@given(st.integers(1, 8))
def test_scales_that_are_powers_of_two_are_so_at_other_bits(bits: int) -> None:
    it = quantizer(Spec(power_of_two=True), -0.7, 0.9, learn=False)
    it.set_bits(bits)
    exponent = (it.base * it.size).log2()
    assert torch.equal(exponent, exponent.round())
    interval = it.range()
    assert float(interval.hi - interval.lo) >= 0.9  # at least what it was


def test_what_would_be_at_other_bits_changes_nothing() -> None:
    it = quantizer(SPECS["asymmetric"], -1, 2)
    other = it.at(3)
    assert (it.spec.bits, other.spec.bits) == (8, 3)
    assert other.size is it.size
    assert other.offset is it.offset


@pytest.mark.parametrize("name", SPECS)
def test_the_gradient_of_a_size_is_that_of_the_scale(name: str) -> None:
    spec = SPECS[name]
    it = quantizer(spec, -1.0, 2.0)
    x = torch.randn(it.site.numel, generator=torch.Generator().manual_seed(0))
    scale, zero = (it.base * it.size).detach().requires_grad_(), it.zero.detach()
    codes = Codes(spec.qmin, spec.qmax)
    pull = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (to_scale,) = torch.autograd.grad((fake_quantize(x, scale, zero, codes) * pull).sum(), scale)
    (to_size,) = torch.autograd.grad((fake_quantize(x, it.scale, it.zero, codes) * pull).sum(), it.size)
    assert torch.allclose(to_size, it.base * to_scale, rtol=1e-4)


@given(BITS, BITS)
def test_what_adam_remembers_of_a_size_is_true_at_other_bits(before: int, after: int) -> None:
    it = quantizer(SPECS["unsigned"], 0.0, 2.0)
    beyond = 3 + torch.rand(it.site.numel, generator=torch.Generator().manual_seed(0))  # all at the range's end

    def gradient(bits: int) -> Tensor:
        it.set_bits(bits)
        codes = Codes(it.spec.qmin, it.spec.qmax)
        return torch.autograd.grad(fake_quantize(beyond, it.scale, it.zero, codes).sum(), it.size)[0]

    assert torch.allclose(gradient(before), gradient(after), rtol=1e-5)


def test_descent_on_a_size_with_lsqs_factor_moves_the_scale_as_lsq_moves_it() -> None:
    it = quantizer(SPECS["weight"], -1.0, 2.0, slices=4)
    weight = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    pull = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    lsq = it.base.clone().requires_grad_()
    optimizer = torch.optim.SGD([it.size], lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (it.weight(weight) * pull).sum().backward()
        assert it.size.grad is not None
        it.size.grad.mul_(it.lsq)
        optimizer.step()
        loss = (fake_quantize_rows(weight, lsq, Codes(-128, 127)) * pull).sum()
        (gradient,) = torch.autograd.grad(loss, lsq)
        with torch.no_grad():
            lsq -= 0.01 * gradient / math.sqrt(30 * 127)
    assert not torch.allclose(lsq, it.base)
    assert torch.allclose((it.base * it.size).detach(), lsq.detach(), rtol=1e-4)


def test_sizes_and_zero_points_are_held_within_bounds() -> None:
    it = quantizer(SPECS["asymmetric"], -1, 2)
    assert it.offset is not None
    it.size.data.fill_(-3.0)
    it.offset.data.fill_(1.5)
    it.hold()
    assert it.size.item() == pytest.approx(LEAST)
    assert it.offset.item() == 1


def reference(trainable: Trainable, x: Tensor) -> Tensor:
    """The same network on real numbers, each tensor quantized and dequantized where it stands."""
    network, values = trainable.network, dict[str, Any]()

    def act(name: str, value: Tensor, *, straight: bool = False) -> Tensor:
        it = trainable.quantizers[name]
        if straight:  # an average of codes is never beyond the grid
            units = value / it.scale
            whole = ((units.detach() * 64).round() / 64).round()  # half of a code is half of a code
            return (units + (whole - units.detach())) * it.scale
        return fake_quantize(value, it.scale, it.zero, Codes(it.spec.qmin, it.spec.qmax))

    for op in network.graph.ops:
        sources = [values[name] for name in op.inputs]
        if op.kind == "input":
            value = x
        elif op.kind in LAYERS:
            layer = network.layers[op.name]
            value = layer.forward(sources[0], trainable.quantized(op.name), trainable.biases.get(op.name))
        elif op.kind == "clamp":
            value = clamp(sources[0], op.lower, op.upper)
        else:
            assert op.call is not None
            value = op.call(*sources)
        site = network.placement.at.get(op.name)
        if site is not None and isinstance(value, Tensor):
            value = act(site.name, value)
        elif op.kind in ("avg-pool", "clamp") and network.placement.grid[op.name]:
            value = act(network.placement.grid[op.name], value, straight=True)
        values[op.name] = value
    found: Tensor = values[network.graph.output]
    return found


MANY = ("add-relu", "concat-relu", "bound-a-channel", "clamp-on-a-shared-grid", "average-pool", "relu6-module", "gelu")
MORE = ("add-broadcast", "squeeze-excite", "sequence", "perceptron", "depthwise", "tokens", "chunk", "add-to-itself")


@pytest.mark.parametrize("bits", [3, 6])
@pytest.mark.parametrize("name", MANY + MORE)
def test_a_pass_in_units_of_scales_has_the_gradients_of_the_plain_one(name: str, bits: int) -> None:
    model, x = built(name)
    seen = calibration(tuple(x.shape[1:]))
    network = quantized(model, seen, bits=bits)
    trainable = Trainable(network, quantizers_of(network, learn=True), "static")
    x, _ = seen.data.tensors("calibration")
    images = [image[None] for image in x]
    compared, parameters = 0, {**trainable.learned(), **trainable.latent()}
    for number, image in enumerate(images):
        one, other = trainable(image), reference(trainable, image)
        if not torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.detach().abs().max())):
            continue  # a value between two codes fell the other way
        pull = torch.randn(one.shape, generator=torch.Generator().manual_seed(number))
        got = torch.autograd.grad((one * pull).sum(), list(parameters.values()), allow_unused=True)
        expected = torch.autograd.grad((other * pull).sum(), list(parameters.values()), allow_unused=True)
        for parameter, a, b in zip(parameters, got, expected, strict=True):
            a, b = (torch.zeros(()) if each is None else each for each in (a, b))
            assert torch.allclose(a, b, rtol=2e-3, atol=3e-4 * float(b.abs().max() + 1e-2)), (parameter, a, b)
        compared += 1
    assert compared >= 8


def test_one_sided_activations_keep_their_zero_at_the_lowest_code() -> None:
    seen = calibration((3, 8, 8))
    quantizers = quantizers_of(quantized(built("add-relu")[0], seen), learn=True)
    moving = {name for name, it in quantizers.items() if it.offset is not None and it.offset.requires_grad}
    assert moving == {"input", "stem.out", "second.0.out", "head.out"}
    assert float(quantizers["add.out"].zero) == 0
