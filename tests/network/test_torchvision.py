"""Every classification network of torchvision, and DeepLab: W8A8 with no layer left real in silence, close to FP32."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import VisionTransformer, segmentation

import qexplore as qx
from qexplore.network import Network
from tests.network.reference import calibrated
from tests.network.vision import model_and_images, not_accounted_for, sound, sqnr_of

PIXELS = 32
NEEDS = {"alexnet": 63, "inception_v3": 75, "maxvit_t": 224} | dict.fromkeys(
    ("vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14"), 224
)
FAST = (
    *("convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "mnasnet0_5", "mobilenet_v2"),
    *("mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "swin_v2_t"),
)
# Several hundred million weights: 10 GB of memory and minutes each.
GIANT = ("convnext_large", "regnet_y_128gf", "vit_h_14", "vit_l_16", "vit_l_32")
SLOW = [name for name in models.list_models(module=models) if name not in (*FAST, *GIANT)]
CLOSE = 8.0  # dB; random weights make a poor signal, in deep networks most of all
# 24 blocks of random weights gather noise down to 7 dB at 8 bits; that it is the grid's is seen at 12 bits.
DEEPEST = ("swin_v2_b", "swin_v2_s")


def quantized(model: nn.Module, x: Tensor) -> Network:
    """The network at W8A8, with the ranges that are quickest to find."""
    network = calibrated(model, x)
    for kind in ("weight", "activation"):
        network.set_estimator(kind, "min-max", {})
    return network


def check(model: nn.Module, x: Tensor, *, deepest: bool = False) -> Network:
    """Asserts that all layers and products have sites or a reason, that all sites are on, and what comes out."""
    network = quantized(model, x)
    assert not_accounted_for(model, network) == []
    assert all(reason for _, reason in network.opaque)
    assert [op.name for op in network.graph.ops if op.kind == "function" and multiplies(op.name)] == []
    assert network.bits == {site.name: 8 for site in network.sites}
    assert {site.layer for site in network.sites if site.kind == "weight"} == network.layers.keys()
    logits = network(x)
    assert bool(torch.isfinite(logits).all())
    if deepest:
        network.set_bits({site.name: 12 for site in network.sites})
    assert sqnr_of(network, model, x) > CLOSE + 12 * deepest
    return network


def multiplies(name: str) -> bool:
    return any(word in name.rpartition(".")[2] for word in ("matmul", "bmm", "einsum", "attention", "linear", "conv"))


@pytest.mark.parametrize("name", FAST)
def test_one_network_of_each_family_runs_at_w8a8_with_every_layer_accounted_for(name: str) -> None:
    assert check(*model_and_images(name, NEEDS.get(name, PIXELS))).opaque == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [*SLOW, *GIANT])
def test_all_other_networks_run_at_w8a8_with_every_layer_accounted_for(name: str) -> None:
    network = check(*model_and_images(name, NEEDS.get(name, PIXELS)), deepest=name in DEEPEST)
    assert network.opaque == []


def transformer() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, num_layers=3, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)
    return sound(model.eval()), torch.randn(24, 3, 32, 32)


def test_a_vision_transformer_has_its_attention_at_w8a8() -> None:
    network = check(*transformer())
    assert network.opaque == []
    assert sum(op.kind == "product" for op in network.graph.ops) == 2 * 3


def test_learned_rounding_and_sensitivities_reach_the_layers_of_attention() -> None:
    model, x = transformer()
    with torch.no_grad():
        labels = model(x).argmax(dim=1)
    task = qx.Task(model=model, data=qx.Data(calibration=(x[:12], labels[:12]), evaluation=(x[12:], labels[12:])))
    recipe = qx.Recipe.load("w4a8-adaround")
    result = qx.run(task, recipe)
    sites = result.sites.set_index("site")
    assert sites.loc["encoder.layers.encoder_layer_1.self_attention.in_proj.weight", "bits"] == 4
    table = qx.sensitivity(task, "fit", bits=(4, 8))
    inside = table[table["site"].str.contains("self_attention")]
    assert set(inside["op"]) == {"linear", "product", "function"}
    assert (inside[inside["kind"] == "weight"].groupby("bits")["loss"].sum() > 0).all()


class Out(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x)["out"]
        return logits


def test_deeplab_runs_at_w8a8_with_every_layer_accounted_for() -> None:
    torch.manual_seed(0)
    model = segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5).eval()
    network = check(Out(model), torch.randn(2, 3, 64, 64))
    assert network.opaque == []
    assert network(torch.randn(3, 3, 64, 64)).shape == (3, 5, 64, 64)
