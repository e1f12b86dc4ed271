"""Networks of torchvision, random weights: every layer is quantized or named as opaque, and W8A8 runs close to FP32."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

from qexplore.network import Network
from tests.network.reference import assert_equals_fake_quantization, calibrated

models = pytest.importorskip("torchvision.models")

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
    "swin_t": (64, 29, 110, 12),
    "vit_b_16": (224, 26, 103, 12),
    "resnext50_32x4d": (64, 54, 71, 0),
    "inception_v3": (96, 95, 111, 0),
    "efficientnet_v2_s": (64, 171, 369, 0),
    "mnasnet0_5": (64, 53, 64, 0),
}
NO_MATRIX = ("pos_embedding", "class_token", "layer_scale")  # added or multiplied number by number
UNUSED = ("aux", "AuxLogits")  # of training alone


def model_and_images(name: str, pixels: int) -> tuple[nn.Module, Tensor]:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        settings = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        model = getattr(models, name)(weights=None, **settings).eval()
        for module in model.modules():
            if isinstance(module, nn.Linear) and not bool(module.weight.any()):
                nn.init.normal_(module.weight, std=0.02)  # heads that start at 0 would hide every error
        if hasattr(model, "class_token"):
            nn.init.normal_(model.class_token)  # near 0 beside its neighbours it would vanish on their grid
        return model, torch.randn(2, 3, pixels, pixels)


def not_accounted_for(model: nn.Module, network: Network) -> list[str]:
    """Weight matrices that are neither a site nor inside an operation that is listed as opaque."""
    sites = {site.name for site in network.sites}
    scopes = tuple(f"{path}." for name, _ in network.opaque for path in (name, name.rpartition(".")[0]))
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1
        and name not in sites
        and not name.startswith(scopes)
        and not any(word in name for word in (*NO_MATRIX, *UNUSED))
    ]


def check(name: str, pixels: int, expected: tuple[int, int, int]) -> tuple[Network, Tensor]:
    model, x = model_and_images(name, pixels)
    network = calibrated(model, x)
    kinds = [site.kind for site in network.sites]
    assert (kinds.count("weight"), kinds.count("activation"), len(network.opaque)) == expected
    assert not_accounted_for(model, network) == []
    assert all(reason for _, reason in network.opaque)
    with torch.no_grad():
        real = model(x)
    noise = (network(x) - real).square().mean()
    assert float(10 * torch.log10(real.square().mean() / noise)) > 15
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
