"""What was trained is what the network does: the integer grid gives the training's own logits and ranges."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qexplore.network import Network
from qexplore.numerics import Range
from qexplore.ptq import Calibration
from qexplore.qat.training import Training
from tests.network.nets import NETS, built
from tests.network.reference import assert_equals_fake_quantization
from tests.qat.small import QUICK, calibration, done, named, quantized, watched

MODES = ("static", "keep", "frozen", "double-forward")
NORMED = ("add-relu", "silu", "sequence", "perceptron", "batch-norm-alone", "batch-norm-read-twice", "gates")
WEIGHTS = {"channel": {}, "tensor": {"granularity": "tensor"}, "group": {"granularity": 3}}


def assert_trained_as_evaluated(
    network: Network, seen: Calibration, monkeypatch: pytest.MonkeyPatch, step: str = "qat", **settings: Any
) -> Network:
    """Trains, and compares the training's last forward pass and grids with those of the network."""
    x, _ = seen.data.tensors("calibration")

    def look(training: Training) -> tuple[Tensor, dict[str, Range]]:
        with torch.no_grad(), training.evaluating():
            logits = training.trainable(x.clone())
            # The averages are what is kept; their grids are those that the network gets.
            grids = {name: quantizer.range() for name, quantizer in training.trainable.quantizers.items()}
            return logits, grids

    found = watched(monkeypatch, look)
    network = done(network, seen, (step, {**QUICK, **settings}))
    ((logits, grids),) = found
    got = network(x.clone())
    size = float(logits.abs().max()) + 1e-6
    near = ((got - logits).abs() < 1e-3 * size).flatten(1).all(1)
    assert int(near.sum()) >= len(x) - 2, (got - logits).abs().max() / size  # ties may fall the other way
    for site in network.sites:
        if site.name in grids and (site.kind == "activation" or settings.get("batch_norm", "static") == "static"):
            span = network.fitted(site, network.bits[site.name]).grid.span
            for end, learned in ((span.lo, grids[site.name].lo), (span.hi, grids[site.name].hi)):
                assert torch.allclose(end, learned.expand_as(end), rtol=1e-5, atol=1e-7), site.name
    assert_equals_fake_quantization(network, x)
    return network


@pytest.mark.parametrize("name", NETS)
def test_every_network_is_evaluated_as_it_was_trained(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = named(name, bits=5)
    assert_trained_as_evaluated(network, seen, monkeypatch)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["add-relu", "silu", "sequence", "perceptron", "batch-norm-alone"])
def test_batch_norms_that_are_not_folded_yet_may_be_trained_in_every_way(
    name: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen = named(name, bits=6, fold=False)
    assert_trained_as_evaluated(network, seen, monkeypatch, batch_norm=mode)


@pytest.mark.parametrize("granularity", WEIGHTS)
@pytest.mark.parametrize("name", ["add-relu", "grouped", "depthwise", "tokens"])
def test_weights_may_have_a_range_for_all_or_each_channel_or_each_group(
    name: str, granularity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, seen = named(name, bits=6, weights=WEIGHTS[granularity])
    assert_trained_as_evaluated(network, seen, monkeypatch)


@pytest.mark.parametrize("name", ["add-relu", "concat", "gelu", "average-pool", "a-single-layer", "subtract"])
def test_activations_may_be_symmetric(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = named(name, bits=5, activations={"symmetric": True})
    assert_trained_as_evaluated(network, seen, monkeypatch, rate=0.1)


def test_a_symmetric_activation_that_turns_negative_in_training_keeps_its_grid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = nn.Sequential(nn.Linear(6, 9), nn.GELU(), nn.Linear(9, 5))
    with torch.no_grad():
        model[2].weight.mul_(0.05)
        model[2].bias.fill_(0.2)
    seen = calibration((6,))
    network = quantized(model.eval(), seen, bits=6, activations={"symmetric": True})
    before = network.fitted(network.site("2.out"), 6).spec
    assert not before.signed
    network = assert_trained_as_evaluated(network, seen, monkeypatch, rate=0.03, optimizer="adam", epochs=12)
    assert float(network.samples["2.out"].min()) < 0
    assert network.fitted(network.site("2.out"), 6).spec == before


OTHERS: tuple[dict[str, Any], ...] = ({"learn": False}, {"ema": 0.9}, {"noise": 0.5})
NETWORKS = ("add-relu", "bound-a-channel")


@pytest.mark.parametrize(
    ("name", "settings"), [*((name, other) for name in NETWORKS for other in OTHERS), ("add-relu", {"half": True})]
)
def test_other_settings_change_the_training_and_not_the_parity(
    name: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qexplore.numerics.bfloat16.has_bfloat16", lambda: True)  # slow or not, here it is tried
    network, seen = named(name, bits=6)
    assert_trained_as_evaluated(network, seen, monkeypatch, **settings)


def test_powers_of_two_stay_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"symmetric": True, "power_of_two": True}
    network, seen = named("add-relu", bits=6, weights=both, activations=both)
    network = assert_trained_as_evaluated(network, seen, monkeypatch, learn=False)
    for site in network.sites:
        exponents = network.fitted(site, 6).grid.scale.log2()
        assert torch.equal(exponents, exponents.round())


class Tied(nn.Module):
    """A convolution that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.again(torch.relu(self.stem(x))))
        return self.head(torch.relu(self.again(x)).mean((2, 3)))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_a_weight_that_two_layers_share_stays_one_weight_on_one_grid(
    granularity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tied().eval()
    seen = calibration((3, 8, 8))
    network = quantized(model, seen, weights={"granularity": granularity})
    first, second = (site for site in network.sites if site.layer.startswith("again") and site.kind == "weight")
    assert first.tied == second.tied
    network = assert_trained_as_evaluated(network, seen, monkeypatch, rate=0.1)
    first, second = (network.site(site.name) for site in (first, second))
    assert first.tied == second.tied
    assert first.numel + second.numel == 8 * 8 * 9
    assert torch.equal(network.layers[first.layer].weight, network.layers[second.layer].weight)
    one, other = network.fitted(first, 4).grid, network.fitted(second, 4).grid
    assert torch.equal(one.scale, other.scale)


class Rows(nn.Module):
    """A batch norm over the tokens behind a linear layer: no gain of an output channel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(6, 9), nn.BatchNorm1d(7), nn.Linear(9, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.first(x))).mean(1))


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_norm_over_tokens_stays_as_it_is(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Rows().train()
    model(torch.randn(20, 7, 6))
    nn.init.uniform_(model.norm.weight, -1.5, 1.5)
    seen = calibration((7, 6))
    network = quantized(model.eval(), seen, bits=6, fold=False)
    assert_trained_as_evaluated(network, seen, monkeypatch, batch_norm=mode)


@pytest.mark.parametrize("mode", MODES)
def test_negative_gains_go_into_the_kernel_and_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = built("add-relu")
    with torch.no_grad():
        model.second[1].weight[::2].mul_(-1)
        model.second[1].running_mean.uniform_(-1, 1)
    seen = calibration(tuple(x.shape[1:]))
    network = quantized(model, seen, bits=8, fold=False)
    x, _ = seen.data.tensors("calibration")
    trained = assert_trained_as_evaluated(network, seen, monkeypatch, batch_norm=mode, rate=1e-6, quantizer_rate=1e-6)
    if mode in ("static", "frozen"):  # statistics stay, so that nothing has moved at all
        logits = model(x)
        assert float((trained(x) - logits).abs().max()) < 0.1 * float(logits.abs().max())


def test_one_batch_norm_behind_two_layers_is_trained_as_two(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.norm = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((torch.relu(self.norm(self.one(x))) + self.norm(self.two(x))).mean((2, 3)))

    model = Shared()
    nn.init.uniform_(model.norm.weight, -1.5, 1.5)
    seen = calibration((3, 4, 4))
    for mode in ("keep", "frozen", "double-forward"):
        network = quantized(model.eval(), seen, bits=6, fold=False)
        assert_trained_as_evaluated(network, seen, monkeypatch, batch_norm=mode)


@pytest.mark.parametrize("kind", ["weight", "activation"])
def test_one_kind_alone_may_be_quantized(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = named("add-relu", bits=4)
    network.set_bits({site.name: None for site in network.sites if site.kind != kind})
    network = assert_trained_as_evaluated(network, seen, monkeypatch)
    assert {network.site(name).kind for name in network.bits} == {kind}


@pytest.mark.parametrize("bits", [8, 2])
def test_training_twice_with_other_bits_ends_on_the_last(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = named("add-relu", bits=6)
    network = done(network, seen, ("qat", {**QUICK, "weight_bits": 8}))
    network = assert_trained_as_evaluated(network, seen, monkeypatch, weight_bits=bits, activation_bits=bits)
    assert set(network.bits.values()) == {bits}
