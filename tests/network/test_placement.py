"""Sites stand where the white paper puts them (§2.3), tied where they must be, with the costs that hands count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.network import Network
from qexplore.network.table import site_table
from tests.network.nets import NETS, built
from tests.network.reference import calibrated


def network_of(name: str) -> Network:
    model, x = built(name)
    return Network.of(model, x[:1])


def activations(network: Network) -> list[str]:
    return [site.name for site in network.sites if site.kind == "activation"]


PLACES = {
    "conv-relu6": ["input", "stem.out", "mul.out", "second.out", "head.out"],
    "relu-first": ["input", "1.out", "4.out"],
    "relu-read-twice": ["input", "stem.out", "second.out", "mul.out", "head.out"],
    "conv-read-twice": ["input", "stem.out", "second.out", "third.out", "add.out", "head.out"],
    "add-relu": ["input", "stem.out", "second.0.out", "add.out", "head.out"],
    "concat-relu": ["input", "stem.out", "mul.out", "second.out", "cat.out", "head.out"],
    "max-pool": ["input", "stem.out", "head.out"],
    "max-pool-function": ["input", "stem.out", "second.out", "head.out"],
    "average-pool": ["input", "stem.out", "second.out", "head.out"],
    "adaptive-pool": ["input", "stem.out", "head.out"],
    "sum-pool": ["input", "stem.out", "pool.out", "head.out"],
    "amax": ["input", "stem.out", "second.out", "head.out"],
    "mean": ["input", "stem.out", "second.out", "head.out"],
    "chunk": ["input", "stem.out", "second.out", "cat.out", "head.out"],
    "shuffle": ["input", "stem.out", "second.out", "head.out"],
    "silu": ["input", "stem.out", "second.0.out", "act.out", "third.out", "head.out"],
    "silu-inplace": ["input", "stem.out", "act.out", "third.out", "head.out"],
    "squeeze-excite": ["input", "stem.out", "down.out", "up.out", "gate.out", "mul.out", "head.out"],
    "batch-norm-alone": ["input", "stem.out", "norm.out", "second.out", "head.out"],
    "dropout": ["input", "stem.out", "second.out", "head.out"],
    "pool-first": ["input", "1.out", "4.out"],
    "perceptron": ["input", "0.out", "4.out"],
    "a-single-layer": ["input", "0.out"],
    "output-is-an-add": ["input", "input#2.out", "other.out", "add.out"],
    "logits-read-again": ["input", "first.out"],
    "memory": ["input", "first.out", "getitem.out", "getitem#3.out", "add.out", "head.out"],
}


@pytest.mark.parametrize("name", PLACES)
def test_one_quantizer_after_the_fused_nonlinearity_and_none_after_pools_and_reshapes(name: str) -> None:
    assert activations(network_of(name)) == PLACES[name]


@pytest.mark.parametrize("name", NETS)
def test_sites_are_in_order_with_unique_names_and_every_layer_reads_a_site(name: str) -> None:
    network = network_of(name)
    names = [site.name for site in network.sites]
    assert len(set(names)) == len(names)
    assert [site.index for site in network.sites] == list(range(len(names)))
    acts = set(activations(network))
    weights = [site for site in network.sites if site.kind == "weight"]
    assert {site.layer for site in weights} == set(network.layers)
    assert all(site.source in acts for site in weights)
    assert all(site.numel > 0 for site in network.sites)
    grid = network.placement.grid
    for act in acts:
        products = sum(op.macs for op in network.graph.ops if act in [grid[i] for i in op.inputs])
        assert network.site(act).macs == sum(site.macs for site in weights if site.source == act) + products


# --- ties -----------------------------------------------------------------------------------------------------------


class Chain(nn.Module):
    """Two residual blocks and a downsampling one, as in a ResNet; the late operand of a sum comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.a, self.b, self.c = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.down, self.alone = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 1)
        self.wide = nn.Conv2d(4, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(self.a(x) + x)
        x = self.c(F.relu(self.b(x))) + x
        x = torch.cat([self.wide(x) + self.down(x), F.max_pool2d(self.alone(self.wide(x)), 1)], 1)
        return x.mean((2, 3))


def test_ties_join_the_operands_of_sums_and_concatenations_through_whole_chains() -> None:
    network = Network.of(Chain(), torch.randn(1, 3, 4, 4))
    tied = {site.name: site.tied for site in network.sites if site.kind == "activation"}
    assert tied == {
        "input": "input",
        "stem.out": "stem.out",
        "a.out": "stem.out",
        "add.out": "add.out",  # the next sum reads it: no operand of the first
        "b.out": "b.out",
        "c.out": "add.out",
        "add#2.out": "add#2.out",
        "wide.out": "wide.out",
        "down.out": "wide.out",
        "add#3.out": "add#3.out",
        "wide#2.out": "wide#2.out",
        "alone.out": "add#3.out",
        "cat.out": "cat.out",
    }


def test_a_group_is_named_after_its_first_site_whatever_the_order_of_the_operands() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            a, b, c = self.a(x), self.b(x), self.c(x)
            return (c + b) * (b + a) * (c + x)

    network = Network.of(Late(), torch.randn(1, 4))
    assert {network.site(name).tied for name in ("a.out", "b.out", "c.out", "input")} == {"input"}


def test_downsampling_branches_of_a_resnet_are_tied_to_the_trunk() -> None:
    network = Network.of(qx.Task("resnet-digits").model, qx.Task("resnet-digits").example)
    sums = [op for op in network.graph.ops if op.kind == "add"]
    for op in sums:
        first, second = (network.site(network.placement.grid[name]) for name in op.inputs)
        assert first.tied == second.tied


# --- costs ----------------------------------------------------------------------------------------------------------


def macs(network: Network) -> int:
    return sum(site.macs for site in network.sites if site.kind == "weight")


COSTS: dict[str, tuple[nn.Module, tuple[int, ...], int, int]] = {
    "convolution": (nn.Conv2d(3, 8, 3, padding=1), (3, 8, 8), 216, 216 * 64),
    "strided": (nn.Conv2d(3, 8, 3, stride=2), (3, 9, 9), 216, 216 * 16),
    "grouped": (nn.Conv2d(8, 16, 3, groups=4), (8, 5, 5), 288, 288 * 9),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8, padding=1), (8, 5, 5), 72, 72 * 25),
    "dilated": (nn.Conv2d(1, 1, 3, dilation=2), (1, 6, 6), 9, 9 * 4),
    "one dimension": (nn.Conv1d(4, 6, 5), (4, 20), 120, 120 * 16),
    "linear": (nn.Linear(6, 5), (6,), 30, 30),
    "linear on tokens": (nn.Linear(6, 5), (7, 6), 30, 30 * 7),
    "linear on a picture": (nn.Linear(6, 5), (3, 4, 6), 30, 30 * 12),
}


@pytest.mark.parametrize("name", COSTS)
def test_weights_and_multiplications_are_those_counted_by_hand(name: str) -> None:
    model, shape, numel, expected = COSTS[name]
    network = Network.of(model, torch.randn(1, *shape))
    (site,) = (site for site in network.sites if site.kind == "weight")
    assert (site.numel, site.macs, network.site("input").numel) == (numel, expected, torch.Size(shape).numel())
    assert network.site("input").macs == expected


def test_windows_and_times_that_stand_before_the_batch_are_counted_too() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        windows = self.first(x.reshape(x.size(0) * 6, 2, 4))  # six windows of two tokens
        return self.second(windows.reshape(x.size(0), 12, 5).transpose(0, 1)).mean(0)  # time first

    model = type("Windows", (nn.Module,), {"forward": forward})()
    model.first, model.second = nn.Linear(4, 5), nn.Linear(5, 3)
    network = Network.of(model, torch.randn(1, 12, 4))
    assert [network.site(f"{name}.weight").macs for name in ("first", "second")] == [20 * 12, 15 * 12]
    assert [network.site(f"{name}.out").numel for name in ("first", "second")] == [60, 36]


def test_torchvisions_resnet18_and_mobilenet_v2_cost_what_is_published() -> None:
    models = pytest.importorskip("torchvision.models")
    for name, expected in (("resnet18", 1814.07e6), ("mobilenet_v2", 300.77e6)):
        model = getattr(models, name)(weights=None)
        network = Network.of(model, torch.randn(1, 3, 224, 224))
        assert macs(network) == pytest.approx(expected, rel=1e-4)
        matrices = sum(p.numel() for p in model.parameters() if p.dim() > 1)
        assert sum(site.numel for site in network.sites if site.kind == "weight") == matrices
        assert network.opaque == []


# --- one weight, several layers -------------------------------------------------------------------------------------


def test_a_convolution_called_twice_is_two_layers_of_equal_bits_whose_elements_count_once() -> None:
    model, x = built("shared-convolution")
    network = calibrated(model, x)
    first, second = network.site("second.weight"), network.site("second#2.weight")
    assert first.tied == second.tied == "second.weight"
    assert first.numel + second.numel == model.second.weight.numel()
    assert first.macs == second.macs == model.second.weight.numel() * 64
    assert first.shape == second.shape == tuple(model.second.weight.shape)
    assert (first.source, second.source) == ("stem.out", "second.out")
    assert torch.equal(network.quantized_weight(first, 4), network.quantized_weight(second, 4))


def test_layers_that_share_a_parameter_are_counted_once_until_a_step_tells_their_weights_apart() -> None:
    model = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    model[2].weight = model[4].weight = model[0].weight
    network = Network.of(model, torch.randn(1, 5))
    sites = [network.site(f"{name}.weight") for name in "024"]
    assert sum(site.numel for site in sites) == 25
    assert {site.tied for site in sites} == {"0.weight"}
    network.set_layer("2", 2 * network.layers["2"].weight, network.layers["2"].bias)
    sites = [network.site(f"{name}.weight") for name in "024"]
    assert [site.numel for site in sites] == [13, 25, 12]
    assert [site.tied for site in sites] == ["0.weight", "2.weight", "0.weight"]


def test_layers_with_equal_weights_that_are_not_shared_stand_for_themselves() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].load_state_dict(model[0].state_dict())
    network = Network.of(model, torch.randn(1, 3))
    assert [site.numel for site in network.sites if site.kind == "weight"] == [9, 9]


# --- the table ------------------------------------------------------------------------------------------------------


def test_the_table_lists_sites_and_opaque_operations_with_whole_numbers() -> None:
    model, x = built("memory")
    table = site_table(calibrated(model, x))
    assert list(table["kind"]).count("opaque") == 1
    opaque = table[table["kind"] == "opaque"].iloc[0]
    assert (opaque["site"], opaque["op"]) == ("lstm", "no quantizer for the weights of LSTM")
    assert list(table["index"]) == list(range(len(table)))
    assert table["numel"].dtype == table["macs"].dtype == "int64"
    real = site_table(network_of("memory"))
    assert real["bits"].isna().all()
    assert real["sqnr_db"].isna().all()
