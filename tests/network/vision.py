"""Networks of torchvision with random weights that leave none of their errors hidden, and images for them."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.network import Network

NO_MATRIX = ("pos_embedding", "class_token", "layer_scale")  # added or multiplied number by number
UNUSED = ("aux", "AuxLogits")  # of training alone
# Version 2 of Swin makes its biases and their table with matrices that no image passes through.
CONSTANT = ("logit_scale", "relative_position_bias_table", "cpb_mlp")


def model_and_images(name: str, pixels: int, images: int = 2, **settings: Any) -> tuple[nn.Module, Tensor]:
    """torchvision's model `name` in eval mode, and images [images, 3, pixels, pixels]."""
    from torchvision import models

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore"):
        torch.manual_seed(0)
        if name in ("googlenet", "inception_v3"):
            settings["init_weights"] = True
        return sound(getattr(models, name)(weights=None, **settings).eval()), torch.randn(images, 3, pixels, pixels)


def sound(model: nn.Module) -> nn.Module:
    """The model with random numbers where a fresh one has zeros."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and not bool(module.weight.any()):
            nn.init.normal_(module.weight, std=0.02)  # heads that start at 0 would hide every error
    if hasattr(model, "class_token"):
        nn.init.normal_(model.class_token)  # near 0 beside its neighbours it would vanish on their grid
    return model


def not_accounted_for(model: nn.Module, network: Network) -> list[str]:
    """Weight matrices that are neither a site nor inside an operation that is listed as opaque."""
    owned = {id(parameter): name for name, parameter in model.named_parameters()}
    sites = {site.name for site in network.sites}
    scopes = tuple(f"{path}." for name, _ in network.opaque for path in (name, name.rpartition(".")[0]))
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1
        and name not in sites
        and f"{name.removesuffix('_weight')}.weight" not in sites  # of attention: in_proj_weight
        and owned[id(parameter)] == name
        and not name.startswith(scopes)
        and not any(word in name for word in (*NO_MATRIX, *UNUSED, *CONSTANT))
    ]


def sqnr_of(network: Network, model: nn.Module, x: Tensor) -> float:
    """Signal over quantization noise of the logits, in dB."""
    with torch.no_grad():
        real = model(x)
    return float(10 * torch.log10(real.square().mean() / (network(x) - real).square().mean()))
