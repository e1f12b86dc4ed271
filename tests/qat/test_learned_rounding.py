"""Training starts from the rounding that was learned before it (AdaRound)."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qexplore.network import Network
from qexplore.network.graph import channels_last
from qexplore.ptq import STEPS, Calibration
from qexplore.qat.quantizers import quantizers_of
from qexplore.qat.trainable import Trainable
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, quantized, watched

STILL = {**QUICK, "epochs": 1, "rate": 0.0, "quantizer_rate": 0.0}


@pytest.fixture
def seen() -> Calibration:
    return calibration((3, 8, 8))


def other_way(network: Network, chance: float = 0.3) -> dict[str, Tensor]:
    """Gives some weights the second nearest code, as AdaRound does; all quantized weights by site."""
    generator = torch.Generator().manual_seed(0)
    for site in network.sites:
        if site.kind == "weight":
            bits, weight = network.bits[site.name], network.layers[site.layer].weight
            quantizer = quantizers_of(network, learn=True)[site.name]
            step, codes = quantizer.steps_of(weight), quantizer.codes(weight)
            turned = codes + torch.where(weight > codes * step, 1.0, -1.0)
            turned = turned.clamp(quantizer.spec.qmin, quantizer.spec.qmax)
            chosen = torch.rand(weight.shape, generator=generator) < chance
            network.set_quantized(site, bits, torch.where(chosen, turned, codes) * step)
    names = [site for site in network.sites if site.kind == "weight"]
    return {site.name: network.quantized_weight(site, network.bits[site.name]).clone() for site in names}


@pytest.mark.parametrize("granularity", ["tensor", "channel", 5])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_latent_weights_are_rounded_as_learned_and_lie_near_their_own(
    bits: int, granularity: str | int, seen: Calibration
) -> None:
    network = quantized(built("add-relu")[0], seen, bits=bits, weights={"granularity": granularity})
    nearest = Trainable(network, quantizers_of(network, learn=True), "static")
    want = other_way(network)
    trainable = Trainable(network, quantizers_of(network, learn=True), "static")
    for name, learned in want.items():
        layer = network.site(name).layer
        weight, latent = network.layers[layer].weight, trainable.weights[layer].detach()
        same = nearest.quantized(layer) == trainable.quantized(layer)
        assert 0 < int(same.sum()) < same.numel()
        torch.testing.assert_close(trainable.quantized(layer).detach(), learned, rtol=1e-5, atol=1e-7)
        assert torch.equal(latent[same], weight[same])
        step = trainable.quantizers[name].steps_of(weight).expand_as(weight)
        inside = (weight - learned).abs() <= step  # and not beyond the grid
        assert bool(((latent - weight).abs() <= 0.61 * step)[inside].all())


def test_a_training_begins_where_the_network_was_and_leaves_it_there_without_a_rate(
    seen: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = quantized(built("add-relu")[0], seen, bits=2)
    (x, y), nearest = seen.data.tensors("calibration"), network(seen.data.tensors("calibration")[0])
    other_way(network)
    before = network(x).clone()
    assert not torch.allclose(before, nearest, atol=1e-2)
    events = list[Event]()
    logits = watched(monkeypatch, lambda training: training.trainable(channels_last(x)).detach())
    network = STEPS.get("qat")(network, seen, Report(events.append), **STILL)
    torch.testing.assert_close(logits[0], before, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(network(x), before, rtol=1e-3, atol=1e-3)
    beginning = next(event for event in events if event["event"] == "beginning")
    loss = nn.functional.cross_entropy(before, y)
    assert beginning["held_out_loss"] == pytest.approx(float(loss), abs=1e-3)
    assert not [event for event in events if event["event"] == "log"]


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize(("mode", "lost"), [("static", 1), ("double-forward", 1), ("keep", 0)])
def test_what_is_lost_because_batch_norms_change_weights_is_told(mode: str, lost: int, seen: Calibration) -> None:
    network = quantized(Normed().eval(), seen, fold=False)
    other_way(network)
    events, settings = list[Event](), dict[str, Any](STILL)
    STEPS.get("qat")(network, seen, Report(events.append), **settings, batch_norm=mode)
    told = [event["text"] for event in events if event["event"] == "log"]
    assert len(told) == lost
    assert all("1 of 2 weights lose their learned rounding" in text and "'fold-bn'" in text for text in told)
