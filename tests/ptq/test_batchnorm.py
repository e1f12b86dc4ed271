"""A folded batch norm leaves the function as it was; one that cannot be folded stays."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.network import Network
from qexplore.ptq import STEPS, Calibration
from qexplore.report import Report

IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NONE = Calibration(qx.Data(calibration=(torch.randn(1, 3), torch.zeros(1, dtype=torch.int64))))


def lived(model: nn.Module) -> nn.Module:
    """The model with batch norms that have seen something, γ of both signs and one of zero."""
    generator = torch.Generator().manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(1e-4, 3, generator=generator)
            if norm.affine:
                norm.weight.data.normal_(generator=generator)
                norm.weight.data[0] = 0
                norm.bias.data.normal_(generator=generator)
    return model.eval().requires_grad_(False)


def folded(model: nn.Module, x: Tensor) -> Network:
    return STEPS.get("fold-bn")(Network.of(model, x[:1]), NONE, Report())


def norms(network: Network) -> int:
    return sum(op.kind == "batchnorm" for op in network.graph.ops)


def after(layer: nn.Module, norm: nn.Module) -> nn.Module:
    return nn.Sequential(layer, norm, nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


MODELS = {
    "with a bias": lambda: after(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)),
    "without a bias": lambda: after(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)),
    "depthwise": lambda: after(nn.Conv2d(3, 6, 3, groups=3), nn.BatchNorm2d(6)),
    "without γ and β": lambda: after(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False)),
    "with a large ε": lambda: after(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=0.1)),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5)),
    "at the end": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8, bias=False), nn.BatchNorm1d(8)),
}


@pytest.mark.parametrize("name", MODELS)
def test_folding_is_exact(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    with torch.no_grad():
        model(IMAGES)
    want = lived(model)(IMAGES)
    network = folded(model, IMAGES)
    assert norms(network) == 0
    assert torch.allclose(network(IMAGES), want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))


def test_the_model_itself_keeps_its_norms_and_their_statistics() -> None:
    torch.manual_seed(0)
    model = lived(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    eps, momentum = model[1].eps, model[1].momentum
    network = folded(model, IMAGES)
    network(IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (model[1].eps, model[1].momentum) == (eps, momentum)
    assert not model[1].training


class Shared(nn.Module):
    """The layer's result is read by the norm and by something else: folding would change the other's input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.other = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + self.other(y)).flatten(1)


STAYING = {
    "after another reader": Shared,
    "before the layer": lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3), nn.Flatten()),
    "after the non-linearity": lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.Flatten()),
}


@pytest.mark.parametrize("name", STAYING)
def test_a_norm_that_follows_no_layer_stays(name: str) -> None:
    torch.manual_seed(0)
    model = lived(STAYING[name]())
    want = model(IMAGES)
    network = folded(model, IMAGES)
    assert norms(network) == 1
    assert torch.allclose(network(IMAGES), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("features", [8, 12])
def test_a_norm_over_tokens_is_no_norm_over_features(features: int) -> None:
    torch.manual_seed(0)
    tokens = torch.randn(4, 8, 6)
    model = lived(nn.Sequential(nn.Linear(6, features), nn.BatchNorm1d(8), nn.Flatten(), nn.Linear(8 * features, 3)))
    network = folded(model, tokens)
    assert norms(network) == 1
    assert torch.allclose(network(tokens), model(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_the_networks_of_the_zoo_fold_whole(name: str) -> None:
    task = qx.Task(name)
    x, _ = task.data.tensors("evaluation", limit=64)
    network = folded(task.model, x)
    with torch.no_grad():
        want = task.model(x)
    assert norms(network) == 0
    assert torch.allclose(network(x), want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))
