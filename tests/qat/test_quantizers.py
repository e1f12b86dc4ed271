"""What a quantizer learns moves as LSQ says, and other bits keep its range."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from qexplore.network import Network, Site
from qexplore.network.fitting import Fitted
from qexplore.numerics import Grid, Range, Spec, grid_of
from qexplore.numerics.learned import fake_quantize
from qexplore.qat.quantizers import LEAST, Quantizer, quantizers_of
from qexplore.qat.trainable import Trainable
from tests.network.nets import built
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
def test_the_gradient_of_a_size_is_that_of_the_scale_over_root_n_q(name: str) -> None:
    spec = SPECS[name]
    it = quantizer(spec, -1.0, 2.0)
    x = torch.randn(it.site.numel, generator=torch.Generator().manual_seed(0))
    scale, zero = (it.base * it.size).detach().requires_grad_(), it.zero.detach()
    from qexplore.numerics.learned import Codes

    codes = Codes(spec.qmin, spec.qmax)
    pull = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    (to_scale,) = torch.autograd.grad((fake_quantize(x, scale, zero, codes) * pull).sum(), scale)
    (to_size,) = torch.autograd.grad((fake_quantize(x, it.scale, it.zero, codes) * pull).sum(), it.size)
    factor = 1 / math.sqrt(it.site.numel * spec.qmax)
    assert torch.allclose(to_size * it.base, factor * to_scale, rtol=1e-4)


def test_descent_on_a_size_moves_the_scale_as_lsq_moves_it() -> None:
    it = quantizer(SPECS["weight"], -1.0, 2.0, slices=4)
    weight = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0))
    pull = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(1))
    lsq = it.base.clone().requires_grad_()
    from qexplore.numerics.learned import Codes, fake_quantize_rows

    optimizer = torch.optim.SGD([it.size], lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        (it.weight(weight) * pull).sum().backward()
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
    assert float(it.size) == pytest.approx(LEAST)
    assert float(it.offset) == 1


class Plain(nn.Module):
    """conv-bn-relu, add, average, linear: every way in which a scale meets its neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.one(x))
        x = F.relu(x + self.two(x))
        return self.head(F.avg_pool2d(x, 2).mean((2, 3)))


def reference(network: Network, quantizers: dict[str, Quantizer], x: Tensor) -> Tensor:
    """The same network, each tensor quantized and dequantized by itself in real numbers."""
    from qexplore.numerics.learned import Codes

    def act(name: str, value: Tensor, lower: float | None = None, upper: float | None = None) -> Tensor:
        it = quantizers[name]
        return fake_quantize(value, it.scale, it.zero, Codes(it.spec.qmin, it.spec.qmax), lower, upper)

    def weight(name: str) -> Tensor:
        return quantizers[f"{name}.weight"].weight(network.layers[name].weight)

    layers = network.layers
    x = act("input", x)
    x = act("one.out", F.conv2d(x, weight("one"), layers["one"].bias, padding=1), 0.0, 6.0)
    y = act("two.out", F.conv2d(x, weight("two"), layers["two"].bias, padding=1, groups=2))
    x = act("add.out", x + y, 0.0)
    for pool in (lambda v: F.avg_pool2d(v, 2), lambda v: v.mean((2, 3))):
        scale = quantizers["add.out"].scale
        pooled = pool(x) / scale
        x = (pooled + (pooled.round() - pooled).detach()) * scale
    return act("head.out", F.linear(x, weight("head"), layers["head"].bias))


@settings(deadline=None, max_examples=8)
@given(st.integers(2, 8), st.integers(0, 99))
def test_a_pass_in_units_of_scales_has_the_gradients_of_the_plain_one(bits: int, seed: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Plain().eval()
    seen = calibration((3, 4, 4))
    network = quantized(model, seen, bits=bits)
    quantizers = quantizers_of(network, learn=True)
    trainable = Trainable(network, quantizers, "static")
    x, _ = seen.data.tensors("calibration")
    pull = torch.randn(12, 5, generator=torch.Generator().manual_seed(seed))
    learned = trainable.learned()
    one, other = trainable(x), reference(network, quantizers, x)
    if not torch.allclose(one, other, rtol=1e-4, atol=1e-5):
        return  # a tie that fell the other way; most examples have none
    got = torch.autograd.grad((one * pull).sum(), list(learned.values()))
    expected = torch.autograd.grad((other * pull).sum(), list(learned.values()))
    for name, a, b in zip(learned, got, expected, strict=True):
        assert torch.allclose(a, b, rtol=2e-3, atol=2e-4 * float(b.abs().max() + 1e-6)), name


def test_one_sided_activations_keep_their_zero_at_the_lowest_code() -> None:
    seen = calibration((3, 8, 8))
    quantizers = quantizers_of(quantized(built("add-relu")[0], seen), learn=True)
    moving = {name for name, it in quantizers.items() if it.offset is not None and it.offset.requires_grad}
    assert moving == {"input", "stem.out", "second.0.out", "head.out"}
    assert float(quantizers["add.out"].zero) == 0
