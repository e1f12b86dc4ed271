"""Equalization never changes the function, and makes ranges meet; where channels cannot be followed it stays away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.network import Network
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.equalization import input_ranges, output_ranges, scalable_pairs
from qexplore.report import Report

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TOKENS = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    def __init__(self, forward: Callable[[nn.Module, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.body = forward
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, x)


def steps(network: Network, *names: str) -> Network:
    calibration = Calibration(qx.Data(calibration=(torch.randn(1, 3), torch.zeros(1, dtype=torch.int64))))
    for name in names:
        network = STEPS.get(name)(network, calibration, Report())
    return network


def unbalanced(model: nn.Module) -> nn.Module:
    """The model with output channels of very different ranges, and biases and norms that are not trivial."""
    generator = torch.Generator().manual_seed(7)
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            shape = (-1, *[1] * (module.weight.dim() - 1))
            module.weight.data *= torch.exp2(2 * torch.randn(len(module.weight), generator=generator)).view(shape)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(-2, 2, generator=generator)
            module.bias.data.normal_(generator=generator)
    return model.eval().requires_grad_(False)


def changed(model: nn.Module, x: Tensor, *names: str) -> tuple[Network, float]:
    """The network after the steps, and the largest change of a logit, relative to the largest logit."""
    network = steps(Network.of(model, x[:1]), *names)
    with torch.no_grad():
        want = model(x)
    return network, float((network(x) - want).abs().max() / want.abs().max())


@torch.fx.wrap
def smooth_at_the_end(x: Tensor) -> Tensor:
    return torch.cat([x[:, :4], F.elu(x[:, 4:])], 1)


class SmoothAtTheEnd(nn.Module):
    """Homogeneous in its first channels and wherever numbers are positive."""

    def forward(self, x: Tensor) -> Tensor:
        return smooth_at_the_end(x)


@torch.fx.wrap
def centred(x: Tensor) -> Tensor:
    return x - x.amax(1, keepdim=True)


class Centred(nn.Module):
    """Homogeneous, but no channel by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return centred(x)


def conv(inside: int, outside: int, kernel: int = 3, **settings: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, kernel, **settings)


# What lies between two layers, and how many pairs can be scaled through it.
PATHS: dict[str, tuple[int, Callable[[], nn.Module], Tensor]] = {
    "relu": (1, lambda: Net(lambda s, x: s.b(s.a(x).relu()).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "nothing": (1, lambda: Net(lambda s, x: s.b(s.a(x)).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "relu6": (1, lambda: Net(lambda s, x: s.b(F.relu6(s.a(x))).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "relu6 and a pool": (
        1, lambda: Net(lambda s, x: s.b(s.p(F.relu6(s.a(x))).flatten(1)), a=conv(3, 8), p=nn.AvgPool2d(2),
                       b=nn.Linear(72, 4)), IMAGES),
    "relu6 after flattening": (
        1, lambda: Net(lambda s, x: s.b(F.relu6(s.a(x).flatten(1))), a=conv(3, 8), b=nn.Linear(288, 4)), IMAGES),
    "padded max pool": (
        1, lambda: Net(lambda s, x: s.b(s.p(s.a(x).relu())).flatten(1), a=conv(3, 8), p=nn.MaxPool2d(3, 2, 1),
                       b=conv(8, 4)), IMAGES),
    "padded average": (
        1, lambda: Net(lambda s, x: s.b(s.p(s.a(x).relu())).flatten(1), a=conv(3, 8), p=nn.AvgPool2d(3, 2, 1),
                       b=conv(8, 4)), IMAGES),
    "mean over pixels": (
        1, lambda: Net(lambda s, x: s.b(s.a(x).relu().mean((2, 3))), a=conv(3, 8), b=nn.Linear(8, 4)), IMAGES),
    "dropout": (
        1, lambda: Net(lambda s, x: s.b(s.d(s.a(x).relu())).flatten(1), a=conv(3, 8), d=nn.Dropout2d(),
                       b=conv(8, 4)), IMAGES),
    "groups": (
        1, lambda: Net(lambda s, x: s.b(s.a(x).relu()).flatten(1), a=conv(3, 8), b=conv(8, 12, groups=4)), IMAGES),
    "depthwise multiplier": (
        1, lambda: Net(lambda s, x: s.b(s.a(x).relu()).flatten(1), a=conv(3, 9, groups=3), b=conv(9, 18, groups=9)),
        IMAGES),
    "one module twice": (1, lambda: Net(lambda s, x: s.a(s.a(x).relu()).flatten(1), a=conv(3, 3)), IMAGES),
    "tokens": (
        1, lambda: Net(lambda s, x: s.b(s.a(x).relu()).flatten(1), a=nn.Linear(8, 12), b=nn.Linear(12, 4)), TOKENS),
    "tokens through relu6": (
        1, lambda: Net(lambda s, x: s.b(F.relu6(s.a(x))).flatten(1), a=nn.Linear(8, 8), b=nn.Linear(8, 4)), TOKENS),
    "more channels than tokens": (
        1, lambda: Net(lambda s, x: s.b(F.relu6(s.a(x))).flatten(1), a=nn.Linear(8, 12), b=nn.Linear(12, 4)), TOKENS),
    "prelu": (
        1, lambda: Net(lambda s, x: s.b(s.f(s.a(x))).flatten(1), a=conv(3, 8), f=nn.PReLU(8), b=conv(8, 4)), IMAGES),
    "leaky relu and a pool": (
        1, lambda: Net(lambda s, x: s.b(F.max_pool2d(F.leaky_relu(s.a(x), 0.3), 2)).flatten(1), a=conv(3, 8),
                       b=conv(8, 4)), IMAGES),
    "prelu of flattened pixels": (
        1, lambda: Net(lambda s, x: s.b(s.f(s.a(x).flatten(1))), a=conv(3, 8), f=nn.PReLU(288), b=nn.Linear(288, 4)),
        IMAGES),
    "leaky relu of tokens": (
        1, lambda: Net(lambda s, x: s.b(s.f(s.a(x))).flatten(1), a=nn.Linear(8, 12), f=nn.LeakyReLU(0.2),
                       b=nn.Linear(12, 4)), TOKENS),
    # What follows mixes channels, adds, or does not scale.
    "elu": (0, lambda: Net(lambda s, x: s.b(F.elu(s.a(x))).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "elu of some channels": (
        0, lambda: Net(lambda s, x: s.b(s.f(s.a(x))).flatten(1), a=conv(3, 8), f=SmoothAtTheEnd(), b=conv(8, 4)),
        IMAGES),
    "hard swish": (
        0, lambda: Net(lambda s, x: s.b(F.hardswish(s.a(x))).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "soft threshold": (
        0, lambda: Net(lambda s, x: s.b(F.softshrink(s.a(x), 0.01)).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "a gate between channels": (
        0, lambda: Net(lambda s, x: s.b(s.f(s.a(x))).flatten(1), a=conv(3, 8), f=nn.GLU(1), b=conv(4, 4)), IMAGES),
    "the largest channel taken off": (
        0, lambda: Net(lambda s, x: s.b(s.f(s.a(x))).flatten(1), a=conv(3, 8), f=Centred(), b=conv(8, 4)), IMAGES),
    "mean over channels": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).mean(1).flatten(1)), a=conv(3, 8, padding=1), b=nn.Linear(64, 4)),
        IMAGES),
    "linear over columns": (
        0, lambda: Net(lambda s, x: s.b(s.a(x)).flatten(1), a=conv(3, 8, padding=1), b=nn.Linear(8, 4)), IMAGES),
    "flattened tokens": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).relu().flatten(1)), a=nn.Linear(8, 8), b=nn.Linear(64, 4)), TOKENS),
    "tokens as channels": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).relu()).flatten(1), a=nn.Linear(8, 8), b=nn.Conv1d(8, 4, 3)), TOKENS),
    "pool over features": (
        0, lambda: Net(lambda s, x: s.b(s.p(s.a(x).relu())).flatten(1), a=nn.Linear(8, 8), p=nn.MaxPool1d(3, 1, 1),
                       b=nn.Linear(8, 4)), TOKENS),
    "pool over flattened pixels": (
        0, lambda: Net(lambda s, x: s.b(s.p(s.a(x).flatten(1))), a=conv(3, 8), p=nn.MaxPool1d(5, 1, 2),
                       b=nn.Linear(288, 4)), IMAGES),
    "transposed": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).relu().transpose(1, 3)).flatten(1), a=conv(3, 8, padding=1),
                       b=conv(8, 4)), IMAGES),
    "sum": (
        0, lambda: Net(lambda s, x: (lambda y: s.c(y + s.b(y)))(s.a(x).relu()).flatten(1), a=conv(3, 8),
                       b=conv(8, 8, padding=1), c=conv(8, 4)), IMAGES),
    "two readers": (
        0, lambda: Net(lambda s, x: (lambda y: torch.cat([s.b(y), s.c(y)], 1))(s.a(x).relu()).flatten(1),
                       a=conv(3, 8), b=conv(8, 4), c=conv(8, 4)), IMAGES),
    "hard tanh": (
        0, lambda: Net(lambda s, x: s.b(F.hardtanh(s.a(x))).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "floor above zero": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).clamp(min=0.5)).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "sigmoid": (
        0, lambda: Net(lambda s, x: s.b(s.a(x).sigmoid()).flatten(1), a=conv(3, 8), b=conv(8, 4)), IMAGES),
    "norm that is not folded": (
        0, lambda: Net(lambda s, x: s.b(s.n(s.a(x).relu())).flatten(1), a=conv(3, 8), n=nn.BatchNorm2d(8),
                       b=conv(8, 4)), IMAGES),
}  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_the_function_stays_and_only_true_channels_are_paired(name: str) -> None:
    pairs, build, x = PATHS[name]
    torch.manual_seed(3)
    network, change = changed(unbalanced(build()), x, "equalize")
    assert change <= 1e-5
    assert len(scalable_pairs(network)) == pairs


@pytest.mark.parametrize("name", [name for name, (pairs, *_) in PATHS.items() if pairs])
def test_the_ranges_of_a_pair_are_equal_afterwards(name: str) -> None:
    _, build, x = PATHS[name]
    torch.manual_seed(3)
    network, _ = changed(unbalanced(build()), x, "equalize")
    (pair,) = scalable_pairs(network)
    first, second = network.layers[pair.first], network.layers[pair.second]
    assert torch.allclose(output_ranges(first), input_ranges(second, len(first.weight)), rtol=1e-3)


def triple(act: type[nn.Module]) -> nn.Module:
    return nn.Sequential(conv(3, 8, 1), act(), conv(8, 8, 3, groups=8), act(), conv(8, 6, 1), nn.Flatten())


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6])
def test_the_three_ranges_of_a_depthwise_triple_reach_their_geometric_mean(act: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = unbalanced(triple(act))

    def ranges(network: Network) -> list[Tensor]:
        one, two, three = network.layers.values()
        return [output_ranges(one), output_ranges(two), input_ranges(three, 8)]

    mean = torch.stack(ranges(Network.of(model, IMAGES[:1]))).prod(dim=0) ** (1 / 3)
    network, change = changed(model, IMAGES, "equalize")
    assert change <= 1e-5
    for found in ranges(network):
        assert torch.allclose(found, mean, rtol=0.02)


def test_no_bias_is_absorbed_through_a_function_that_scales_but_does_not_shift() -> None:
    torch.manual_seed(0)
    model = Net(lambda s, x: s.b(2 * s.a(x).relu()).flatten(1), a=conv(3, 8), b=conv(8, 4)).eval().requires_grad_(False)
    model.a.bias += 100
    network = Network.of(model, IMAGES[:1])
    assert len(scalable_pairs(network)) == 1
    data = qx.Data(calibration=(IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64)))
    absorb = STEPS.get("absorb-high-bias")
    absorb(network, Calibration(data), Report(), method="empirical")  # type: ignore[call-arg]
    with torch.no_grad():
        assert torch.allclose(network(IMAGES), model(IMAGES), rtol=1e-4)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("act", [nn.Hardswish, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Softshrink])
def test_few_channels_hide_no_function_that_bends(act: type[nn.Module], width: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), act(), nn.Linear(width, 4)).eval()
    assert not scalable_pairs(Network.of(model, torch.ones(1, 3)))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("act", [nn.PReLU, nn.LeakyReLU])
def test_few_channels_are_paired_through_a_leaky_relu(act: type[nn.Module], width: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, width), act(), nn.Linear(width, 4)).eval()
    assert len(scalable_pairs(Network.of(model, torch.ones(1, 3)))) == 1


def test_dead_channels_stay_and_nothing_becomes_infinite() -> None:
    torch.manual_seed(0)
    model = triple(nn.ReLU).eval().requires_grad_(False)
    model[0].weight[1] = 0  # never anything but its bias
    model[2].weight[2] = 0
    model[4].weight[:, 3] = 0  # nobody listens
    network, change = changed(model, IMAGES, "equalize")
    assert change <= 1e-5
    for layer in network.layers.values():
        assert bool(torch.isfinite(layer.weight).all())
        assert bool(torch.isfinite(layer.bias).all())  # type: ignore[arg-type]
    assert torch.equal(network.layers["4"].weight[:, 3], model[4].weight[:, 3])


@pytest.mark.parametrize(("r1", "r2"), [(1e-45, 10.0), (1e-40, 1.0), (1e-20, 0.5), (1.0, 1e-40), (1e9, 1e-31)])
def test_a_channel_whose_weights_are_all_but_zero_stays_and_nothing_grows(r1: float, r2: float) -> None:
    """Its bias is all that it says: divided by a tiny scale it would drive the range of the activation alone."""
    torch.manual_seed(0)
    model = nn.Sequential(conv(3, 4, 1), nn.ReLU(), conv(4, 2, 1), nn.Flatten()).eval().requires_grad_(False)
    model[0].weight[0], model[0].bias[0], model[2].weight[:, 0] = r1, 0.02, r2
    largest = max(float(model[0](IMAGES).max()), 1.0)
    network, change = changed(model, IMAGES, "equalize")
    assert change <= 1e-5
    first, seen = network.layers["0"], {}
    assert torch.equal(first.weight[0], model[0].weight[0])
    assert float(first.bias[0]) == pytest.approx(0.02)  # type: ignore[index]
    network.real_plan().watch(IMAGES, lambda name, value: seen.update({name: float(value.abs().max())}))
    assert max(seen.values()) < 20 * largest


def test_ranges_whose_quotient_no_float_holds_meet_all_the_same() -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4), nn.Linear(4, 2)
    with torch.no_grad():
        first.weight.mul_(1e20)
        first.bias.mul_(1e20)
        second.weight.mul_(1e-20)
    network, change = changed(nn.Sequential(first, nn.ReLU(), second).eval(), torch.randn(8, 3), "equalize")
    assert change <= 1e-5
    one, two = network.layers.values()
    assert torch.allclose(output_ranges(one), input_ranges(two, 4), rtol=1e-3)


def test_no_scale_crosses_a_residual_addition() -> None:
    task = qx.Task("mobilenet-digits")
    network = steps(Network.of(task.model, task.example), "fold-bn", "replace-relu6")
    pairs = [(pair.first, pair.second) for pair in scalable_pairs(network)]
    assert ("blocks.2.expand.conv", "blocks.2.depthwise.conv") in pairs
    assert ("blocks.2.depthwise.conv", "blocks.2.project.conv") in pairs
    # Blocks 2, 3 (in part) and 4 add: what is added has other readers.
    read_twice = {op.name for op in network.graph.ops if len(network.graph.readers[op.name]) > 1}
    assert read_twice
    for first, second in pairs:
        between = {op.name for op in network.graph.ops if op.kind == "add"} & {first, second}
        assert not between
        assert first not in read_twice


@pytest.mark.parametrize("name", ["mobilenet-digits", "mobilenet-digits-unbalanced", "resnet-digits"])
def test_the_networks_of_the_zoo_keep_their_function(name: str) -> None:
    task = qx.Task(name)
    x, _ = task.data.tensors("evaluation", limit=64)
    _, change = changed(task.model, x, "fold-bn", "equalize")
    assert change <= 1e-5


def test_a_network_that_reads_whole_numbers_is_equalized_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2))
    tokens = torch.randint(0, 9, (8, 3))
    network, change = changed(unbalanced(model), tokens, "equalize")
    assert [(pair.first, pair.second) for pair in scalable_pairs(network)] == [("2", "4")]
    assert change < 1e-5


@pytest.mark.parametrize("sweeps", [0, -3])
def test_equalization_without_a_sweep_is_refused(sweeps: int) -> None:
    network = Network.of(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), torch.ones(1, 3))
    calibration = Calibration(qx.Data(calibration=(torch.ones(1, 3), torch.zeros(1, dtype=torch.int64))))
    with pytest.raises(qx.QexploreError, match="at least one sweep"):
        STEPS.get("equalize")(network, calibration, Report(), sweeps=sweeps)


def test_equalizing_twice_moves_nothing_more() -> None:
    torch.manual_seed(0)
    network, _ = changed(unbalanced(triple(nn.ReLU)), IMAGES, "equalize")
    before = {name: layer.weight.clone() for name, layer in network.layers.items()}
    steps(network, "equalize")
    for name, layer in network.layers.items():
        assert torch.allclose(layer.weight, before[name], rtol=0.02)


def test_replacing_relu6_leaves_gates_hard_swishes_and_the_output_bounded() -> None:
    def gated(s: nn.Module, x: Tensor) -> Tensor:
        x = s.a(x)
        x = s.b(x * F.relu6(x + 3) / 6).mean((2, 3))
        return s.head(x * torch.clamp(s.gate(x), 0, 1)).relu().clamp(max=2)

    model = Net(gated, a=conv(3, 8), b=conv(8, 8), gate=nn.Linear(8, 8), head=nn.Linear(8, 4)).eval()
    assert changed(model, 10 * IMAGES, "replace-relu6")[1] < 1e-5


GATES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "a view": (
        lambda: Net(lambda s, x: (x * F.hardtanh(40 * s.gate(x.mean((2, 3))), 0.0, 1.0).view(-1, 3, 1, 1)).flatten(1),
                    gate=nn.Linear(3, 3)), IMAGES),
    "a pool": (
        lambda: Net(lambda s, x: (x * F.adaptive_max_pool2d(torch.clamp(4 * s.gate(x), 0, 1), 1)).flatten(1),
                    gate=conv(3, 3)), IMAGES),
    "a concatenation of chunks": (
        lambda: Net(lambda s, x: (x * torch.cat(torch.clamp(4 * s.gate(x), 0, 1).chunk(3, 1)[::-1], 1)).flatten(1),
                    gate=conv(3, 3, 1)), IMAGES),
    "a layer beside it": (
        lambda: Net(lambda s, x: (lambda g: (s.b(g) + x * g.flatten(1).view(-1, 3, 8, 8)).flatten(1))(
            torch.clamp(4 * s.gate(x), 0, 1)), gate=conv(3, 3, 1), b=conv(3, 3, 1)), IMAGES),
    "a matrix product": (
        lambda: Net(lambda s, x: torch.matmul(torch.clamp(4 * s.a(x), 0, 1), x).flatten(1), a=nn.Linear(8, 8)), TOKENS),
    "a matrix product of what is reshaped": (
        lambda: Net(lambda s, x: (torch.clamp(4 * s.a(x), 0, 1).unflatten(-1, (4, 2)) @ s.b(x).unflatten(-1, (2, 4)))
                    .flatten(1), a=nn.Linear(8, 8), b=nn.Linear(8, 8)), TOKENS),
    "the output": (lambda: Net(lambda s, x: F.relu6(30 * s.a(x)).mean((2, 3)), a=conv(3, 4)), IMAGES),
}  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_replacing_relu6_leaves_bounds_whose_values_a_product_reads_by_way_of(name: str) -> None:
    build, x = GATES[name]
    torch.manual_seed(0)
    assert changed(build().eval(), x, "replace-relu6")[1] < 1e-5


@pytest.mark.parametrize(
    "between", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Dropout(), nn.Sequential(nn.Flatten(2), nn.Unflatten(2, (6, 6)))]
)
def test_replacing_relu6_lifts_the_bounds_that_a_layer_reads_by_way_of_pools_and_reshapes(between: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(conv(3, 8), nn.ReLU6(), between, conv(8, 4), nn.Flatten()).eval()
    network = steps(Network.of(model, IMAGES[:1]), "replace-relu6")
    assert [op.upper for op in network.graph.ops if op.kind == "clamp"] == [None]


def test_replacing_relu6_lifts_the_bounds_between_layers() -> None:
    torch.manual_seed(0)
    model = triple(nn.ReLU6).eval()
    network = steps(Network.of(model, IMAGES[:1]), "replace-relu6")
    plain = triple(nn.ReLU).eval()
    plain.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.allclose(network(100 * IMAGES), plain(100 * IMAGES), rtol=1e-5, atol=1e-3)
        assert not torch.allclose(network(100 * IMAGES), model(100 * IMAGES), rtol=1e-2, atol=1)
