"""Channels that depend on each other go together, and what is left of the network does not notice."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.qat.channels import among, gone_in, least_channels, masks_without, squared_norms
from qexplore.qat.coupling import Coupling, couple
from tests.network.nets import NETS, built


def silenced(network: Network, coupling: Coupling, gone: Tensor) -> None:
    """Filters, biases and batch norms of the groups that are gone set to 0; nothing else."""
    for name, groups in coupling.outputs.items():
        rows, layer = among(groups, gone), network.layers[name]
        shape = (-1, *[1] * (layer.weight.dim() - 1))
        bias = None if layer.bias is None else layer.bias.masked_fill(rows, 0.0)
        network.set_layer(name, layer.weight.masked_fill(rows.view(shape), 0.0), bias)
    for name, groups in coupling.norms.items():
        module = network.graph.by_name[name].module
        for part in (module.weight, module.bias):
            part.data.masked_fill_(among(groups, gone), 0.0)


@pytest.mark.parametrize("name", [*NETS, "resnet-digits", "mobilenet-digits"])
@pytest.mark.parametrize("seed", range(3))
def test_what_reads_a_channel_that_is_gone_makes_no_difference(name: str, seed: int) -> None:
    if name in NETS:
        model, x = built(name)
    else:
        model, x = qx.Task(name).model, torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = Network.of(model, x[:1])
    coupling = couple(network)
    gone = torch.rand(coupling.number, generator=torch.Generator().manual_seed(seed)) < 0.5
    silenced(network, coupling, gone)
    before = network(x)
    weights = {name: layer.weight for name, layer in network.layers.items()}
    network.set_masks(masks_without(coupling, gone, weights, {}))
    torch.testing.assert_close(network(x), before, rtol=0, atol=1e-5 * float(before.abs().max()))
    assert torch.equal(gone_in(coupling, network.masks) & ~gone, torch.zeros_like(gone))


COUNTS = {"conv-relu6": 16, "depthwise": 8, "add-relu": 8, "concat": 12, "shuffle": 0, "a-single-layer": 0,
          "perceptron": 9, "sequence": 6, "volume": 3, "iadd": 8, "add-a-number": 8, "shared-convolution": 8,
          "silu": 24, "sigmoid": 16, "squeeze-excite": 10, "output-is-an-add": 0, "tokens": 9, "softmax": 8,
          "batch-norm-alone": 8, "dropout": 16, "add-broadcast": 0, "max-pool": 8, "mean": 16,
          "opaque-inside": 8}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_channels_are_free_as_far_as_the_operations_let_them(name: str) -> None:
    model, x = built(name)
    assert couple(Network.of(model, x[:1])).number == COUNTS[name]


def test_a_residual_stream_is_one_set_and_an_inner_layer_another() -> None:
    task = qx.Task("resnet-digits")
    coupling = couple(Network.of(task.model, task.example))
    sets = coupling.sets()
    by_layer = {name: set(sets[groups[groups >= 0]].tolist()) for name, groups in coupling.outputs.items()}
    assert all(len(found) <= 1 for found in by_layer.values())
    assert len(sets.unique()) < sum(bool(found) for found in by_layer.values())


def small() -> tuple[Network, Coupling]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 4, 1), nn.Flatten(),
                          nn.Linear(4, 3)).eval()  # fmt: skip
    network = Network.of(model, torch.zeros(1, 1, 5, 5))
    return network, couple(network)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9, 1.0])
def test_in_each_set_the_channels_of_the_least_norm_go_and_never_all(share: float) -> None:
    network, coupling = small()
    weights = {name: layer.weight for name, layer in network.layers.items()}
    gone = least_channels(coupling, weights, torch.zeros(coupling.number, dtype=torch.bool), share)
    masks = masks_without(coupling, gone, weights, {})
    joint = weights["0"].square().sum((1, 2, 3)) + weights["2"].square().sum((1, 2, 3))
    for norms, names, number in ((joint, ("0", "2"), 6), (weights["3"].square().sum((1, 2, 3)), ("3",), 4)):
        count = min(round(share * number), number - 1)
        least = set(norms.argsort()[:count].tolist())
        for name in names:
            assert {row for row in range(number) if not masks[name][row].any()} == least
    assert {c for c in range(6) if not masks["3"][:, c].any()} == {r for r in range(6) if not masks["0"][r].any()}
    assert {c for c in range(4) if not masks["5"][:, c].any()} == {r for r in range(4) if not masks["3"][r].any()}
    assert bool(masks["5"].any(dim=1).all())  # the logits stay
    assert torch.equal(gone_in(coupling, masks), gone)


def test_channels_that_are_gone_stay_gone_when_less_is_asked_for_or_norms_change() -> None:
    network, coupling = small()
    weights = {name: layer.weight for name, layer in network.layers.items()}
    first = least_channels(coupling, weights, torch.zeros(coupling.number, dtype=torch.bool), 0.4)
    other = {name: weight.flip(0) for name, weight in weights.items()}
    for share in (0.0, 0.4, 0.8):
        then = least_channels(coupling, other, first, share)
        assert bool((then | ~first).all())
    assert int(least_channels(coupling, other, first, 0.4).sum()) == int(first.sum())


def test_a_weight_that_layers_share_counts_once() -> None:
    shared = nn.Conv2d(3, 3, 1)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), shared, nn.ReLU(), shared, nn.Conv2d(3, 2, 1), nn.Flatten()).eval()
    network = Network.of(model, torch.zeros(1, 3, 1, 1))
    coupling = couple(network)
    assert coupling.number == 3
    names = list(network.layers)
    weight = network.layers[names[1]].weight
    weights = {names[0]: network.layers[names[0]].weight, names[1]: weight, names[2]: weight}
    expected = sum(w.square().sum((1, 2, 3)) for w in (weights[names[0]], weight))
    found = squared_norms(coupling, weights)[coupling.outputs[names[0]]]
    torch.testing.assert_close(found, expected)
