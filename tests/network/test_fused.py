"""A convolution clamped inside gives what a convolution clamped afterwards gives."""

import pytest
import torch
from torch import nn

from qexplore.network import Network, fused
from qexplore.network.graph import Layer
from qexplore.ptq import STEPS, Calibration
from qexplore.report import Report
from qexplore.zoo import Data


def layer_of(module: nn.Conv2d) -> Layer:
    return Layer("conv", "conv", module, module.weight.detach(), None if module.bias is None else module.bias.detach())


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 8, 3, padding=1),
        nn.Conv2d(4, 8, 3, stride=2, padding=(0, 2), bias=False),
        nn.Conv2d(8, 8, 3, groups=8, dilation=2),
        nn.Conv2d(4, 16, 1),
    ],
)
def test_clamp_inside_equals_clamp_afterwards(module: nn.Conv2d) -> None:
    layer = layer_of(module)
    if not fused.clamps_inside(layer, 1 << 20):
        pytest.skip("this build of torch has no such primitive")
    forward = fused.clamped_convolution(layer, -0.25, 0.5)
    x = torch.randn(3, module.in_channels, 12, 12).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = layer.forward(x, layer.weight, layer.bias).clamp(-0.25, 0.5)
        torch.testing.assert_close(forward(x, layer.weight, layer.bias), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "module",
    [nn.Conv2d(4, 4, 3, padding="same"), nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.Conv1d(4, 4, 3)],
)
def test_other_forms_are_left_to_torch(module: nn.Conv2d) -> None:
    assert not fused.clamps_inside(layer_of(module), 1 << 20)


def test_a_network_gives_the_same_logits_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU6(), nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.ReLU(),
        nn.Conv2d(16, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip
    x = torch.randn(8, 3, 32, 32)
    network = Network.of(model, x[:1])
    calibration = Calibration(Data(calibration=(x, torch.zeros(8, dtype=torch.int64))))
    for step in ("weight-ranges", "activation-ranges"):
        network = STEPS.get(step)(network, calibration, Report())
    with_fused = network(x)
    monkeypatch.setattr(fused, "LARGE", 1 << 40)
    network.set_bits({})
    torch.testing.assert_close(network(x), with_fused, atol=1e-5, rtol=1e-4)
