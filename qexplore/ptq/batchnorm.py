"""Batch norms folded into the layers before them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qexplore.network import Network
from qexplore.network.graph import LAYERS, Graph, Op
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report


@STEPS.register("fold-bn")
def fold_bn(network: Network, calibration: Calibration, report: Report) -> Network:
    """Fold batch norms: W̃ = γ W / √(σ² + ε), b̃ = β + γ (b - μ) / √(σ² + ε) (white paper §2.3.1).

    The function stays the same up to float rounding. A batch norm that follows no layer stays as it is.
    """
    graph = network.graph
    for op, norm in foldable(graph):
        layer = network.layers[op.name]
        assert norm.module is not None
        gain, shift = affine_of(norm.module)
        weight = layer.weight * gain.view(-1, *[1] * (layer.weight.dim() - 1))
        network.set_layer(op.name, weight, shift if layer.bias is None else shift + gain * layer.bias)
        layer.mean, layer.std = moments_of(norm.module)
        graph.remove(norm.name)
    network.set_graph(graph)
    return network


def foldable(graph: Graph) -> list[tuple[Op, Op]]:
    """Layers with the batch norm that scales their output channels and that alone reads them."""
    found = []
    for op in graph.ops:
        norm = graph.only_reader(op.name) if op.kind in LAYERS else None
        if norm is None or norm.kind != "batchnorm":
            continue
        if op.kind == "linear" and len(op.shape) > 2:  # dimension 1, which the norm scales, is not the layer's output
            continue
        found.append((op, norm))
    return found


def moments_of(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Mean β and standard deviation |γ| of each channel after a batch norm."""
    mean = norm.running_mean
    assert isinstance(mean, Tensor)
    beta = norm.bias.detach().clone() if isinstance(norm.bias, Tensor) else torch.zeros_like(mean)
    gamma = norm.weight.detach().abs() if isinstance(norm.weight, Tensor) else torch.ones_like(mean)
    return beta, gamma


def affine_of(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and shift, one value a channel, that a batch norm applies in eval mode."""
    mean, variance = norm.running_mean, norm.running_var
    assert isinstance(mean, Tensor)
    assert isinstance(variance, Tensor)
    gamma = norm.weight if isinstance(norm.weight, Tensor) else torch.ones_like(mean)
    beta = norm.bias if isinstance(norm.bias, Tensor) else torch.zeros_like(mean)
    gain = gamma.detach() / torch.sqrt(variance + float(norm.eps))  # type: ignore[arg-type]
    return gain, beta.detach() - gain * mean
