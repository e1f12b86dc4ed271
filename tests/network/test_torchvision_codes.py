"""Networks of torchvision, random weights: their codes are those of the formulas, their costs the published ones."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision import models

from qexplore.network import Network
from tests.network.reference import assert_equals_fake_quantization, calibrated
from tests.network.vision import model_and_images, not_accounted_for, sqnr_of

# Name: pixels, weight sites, activation sites, opaque operations.
FAST = {
    "mobilenet_v3_small": (48, 54, 98, 0),
    "shufflenet_v2_x0_5": (48, 57, 74, 0),
    "squeezenet1_1": (48, 26, 35, 0),
}
SLOW = {
    "resnet18": (64, 21, 30, 0),
    "mobilenet_v2": (64, 53, 64, 0),
    "efficientnet_b0": (64, 82, 173, 0),
    "densenet121": (64, 121, 246, 0),
    "googlenet": (64, 58, 68, 0),
    "vgg11_bn": (32, 11, 12, 0),
    "regnet_y_400mf": (64, 86, 135, 0),
    "convnext_tiny": (64, 59, 137, 0),
    "swin_t": (64, 53, 170, 0),
    "vit_b_16": (224, 50, 151, 0),
    "resnext50_32x4d": (64, 54, 71, 0),
    "inception_v3": (96, 95, 111, 0),
    "efficientnet_v2_s": (64, 171, 369, 0),
    "mnasnet0_5": (64, 53, 64, 0),
}


def check(name: str, pixels: int, expected: tuple[int, int, int]) -> tuple[Network, Tensor]:
    model, x = model_and_images(name, pixels)
    network = calibrated(model, x)
    kinds = [site.kind for site in network.sites]
    assert (kinds.count("weight"), kinds.count("activation"), len(network.opaque)) == expected
    assert not_accounted_for(model, network) == []
    assert all(reason for _, reason in network.opaque)
    assert sqnr_of(network, model, x) > 15
    return network, x


@pytest.mark.parametrize("name", FAST)
def test_small_networks_have_the_codes_of_the_formulas(name: str) -> None:
    pixels, *expected = FAST[name]
    assert_equals_fake_quantization(*check(name, pixels, tuple(expected)))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", SLOW)
def test_large_networks_have_the_codes_of_the_formulas(name: str) -> None:
    pixels, *expected = SLOW[name]
    assert_equals_fake_quantization(*check(name, pixels, tuple(expected)))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [n for n in (*FAST, *SLOW) if n not in ("swin_t", "vit_b_16")])
def test_multiplications_are_those_that_torchvision_publishes(name: str) -> None:
    published = models.get_model_weights(name).DEFAULT.meta
    size = {"inception_v3": 299, "efficientnet_v2_s": 384}.get(name, 224)
    model, _ = model_and_images(name, 8)
    network = Network.of(model, torch.randn(1, 3, size, size))
    macs = sum(site.macs for site in network.sites if site.kind == "weight")
    assert macs / 1e9 == pytest.approx(published["_ops"], rel=0.01, abs=0.001)
