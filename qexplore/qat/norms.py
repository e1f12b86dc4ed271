"""Batch norms while a network is trained: kept, frozen, or folded anew in every forward pass."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.network.graph import Layer
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.batchnorm import foldable
from qexplore.ptq.calibrate import collect_samples
from qexplore.report import Report

KEEP, FROZEN, DOUBLE = "keep", "frozen", "double-forward"
MODES = (KEEP, FROZEN, DOUBLE)
STATIC = "static"
LEAST_GAIN = 1e-6  # below which a gain does not fall, so that its sign never changes the grid of a weight


@dataclass
class Norm:
    """A batch norm's parameters and statistics: gain γ, shift β, running mean and variance, each [channels]."""

    name: str
    layer: str
    gain: nn.Parameter
    shift: nn.Parameter
    mean: Tensor
    variance: Tensor
    momentum: float
    eps: float

    def normalize(self, x: Tensor, unit: Tensor | None, *, train: bool) -> Tensor:
        """The batch norm of `x` by the statistics of the batch, which move the running ones, or by those; the result in
        units.
        """
        gain, shift = (self.gain, self.shift) if unit is None else (self.gain / unit, self.shift / unit)
        momentum = self.momentum if train else 0.0
        return nn.functional.batch_norm(x, self.mean, self.variance, gain, shift, train, momentum, self.eps)

    def deviation(self) -> Tensor:
        """√(running variance + ε)."""
        return (self.variance + self.eps).sqrt()

    def write(self, module: nn.Module) -> None:
        """Gives the network's own batch norm these values."""
        with torch.no_grad():
            for target, value in (
                (module.weight, self.gain),
                (module.bias, self.shift),
                (module.running_mean, self.mean),
                (module.running_var, self.variance),
            ):
                assert isinstance(target, Tensor)
                target.copy_(value)


def make_gains_positive(network: Network) -> None:
    """Gives each batch norm that can be folded a module of its own, with positive gains: the sign goes into the kernel
    before, which changes no result.

    Signed grids reach further below zero, so that those of weights are fitted afterwards. QexploreError for a batch
    norm without gain and shift.
    """
    check_gains(network)
    for source, op in foldable(network.graph):
        module: Any = copy.deepcopy(op.module)  # a user's module may stand behind several layers
        _make_positive(network, source.name, module)
        network.graph.replace([replace(op, module=module, call=module)])


def norms_of(network: Network) -> dict[str, Norm]:
    """The batch norms of the network that can be folded, by the name of their operation, with positive gains.

    QexploreError for a batch norm without gain and shift.
    """
    make_gains_positive(network)
    found: dict[str, Norm] = {}
    for source, op in foldable(network.graph):
        module: Any = op.module
        found[op.name] = Norm(
            op.name,
            source.name,
            nn.Parameter(module.weight.detach().clone()),
            nn.Parameter(module.bias.detach().clone()),
            module.running_mean.clone(),
            module.running_var.clone(),
            0.1 if module.momentum is None else float(module.momentum),
            float(module.eps),
        )
    return found


def check_gains(network: Network) -> None:
    """QexploreError for a batch norm that can be folded and has no gain and shift."""
    for _, op in foldable(network.graph):
        module: Any = op.module
        if module.weight is None:
            raise QexploreError(
                f"The batch norm {op.name!r} has no gain and shift to train: put the step 'fold-bn' first."
            )


def check_batch(network: Network, mode: str, batch: int) -> None:
    """QexploreError where a batch norm that is trained would see one value of each channel, which has no spread."""
    if batch > 1 or mode not in (KEEP, DOUBLE):
        return
    for layer, norm in foldable(network.graph):
        if math.prod(layer.shape) == len(network.layers[layer.name].weight):
            raise QexploreError(
                f"The batch norm {norm.name!r} has one value a channel in a batch of one image, and no spread to "
                "normalize by: set batch to 2 or more, or batch_norm to static or frozen."
            )


def check_alone(network: Network) -> None:
    """QexploreError where a batch norm that can be folded is followed by another: folding would take both, and training
    keeps the first alone.
    """
    for _, norm in foldable(network.graph):
        after = _norm_behind(network, norm.name)
        if after:
            raise QexploreError(
                f"The batch norm {after!r} follows another, {norm.name!r}, and of two in a row only one can be kept in "
                "training: set batch_norm to static, or put the step 'fold-bn' first."
            )


def check_untied(network: Network, way_out: str) -> None:
    """QexploreError where layers share a weight that folding their batch norms would tell apart, so that it costs more
    than was counted. way_out: the end of the sentence.
    """
    normed = {layer.name for layer, _ in foldable(network.graph)}
    tied = {site.layer: site.tied for site in network.sites if site.kind == "weight"}
    shares = list(tied.values())
    for layer, weight in tied.items():
        if layer in normed and shares.count(weight) > 1:
            raise QexploreError(
                f"Layers share the weight {weight!r} and have batch norms of their own; once these are folded they are "
                f"several weights, which the budget does not count: {way_out}."
            )


def _norm_behind(network: Network, name: str) -> str:
    """The batch norm that alone reads an operation, or nothing."""
    after = network.graph.only_reader(name)
    return after.name if after is not None and after.kind == "batchnorm" else ""


@torch.no_grad()
def _make_positive(network: Network, name: str, module: nn.BatchNorm2d) -> None:
    """Puts the signs of the gains into the layer before."""
    sign = torch.where(module.weight < 0, -1.0, 1.0)
    if bool((sign > 0).all()):
        return
    layer = network.layers[name]
    shaped = sign.view(-1, *[1] * (layer.weight.dim() - 1))
    network.set_layer(name, layer.weight * shaped, None if layer.bias is None else layer.bias * sign)
    assert module.running_mean is not None
    module.weight.mul_(sign)
    module.running_mean.mul_(sign)


def fold_statically(network: Network, calibration: Calibration) -> None:
    """Folds what batch norms can be with their running statistics (static folding, white paper §4).

    Of two in a row the second can be folded after the first: its site is gone then, and that of the layer acts behind
    it, so that the samples of a calibrated network are taken anew.
    """
    moved = False
    while pairs := foldable(network.graph):
        behind = {_norm_behind(network, norm.name) for _, norm in pairs}
        gone = [site.name for site in network.sites if site.layer in behind]
        network.set_bits(dict.fromkeys(gone))
        moved = moved or bool(gone)
        STEPS.get("fold-bn")(network, calibration, Report())
    if moved and network.samples:
        network.set_samples(*collect_samples(network, calibration, Report()))


def folded_twice(layer: Layer, norm: Norm, x: Tensor, weight: Tensor, quantize: Any, *, train: bool) -> Tensor:
    """A layer and its batch norm, folded in the forward pass itself (double forward: Krishnamoorthi 2018, as the white
    paper's §4 retells it).

    A first pass finds the statistics of the batch. The weight is folded with the running deviation, so that its grid
    does not tremble from batch to batch, quantized, and the result corrected to the batch's deviation.
    quantize: weight → weight.
    """
    shape = (-1, *[1] * (weight.dim() - 1))
    along = (1, -1, *[1] * (x.dim() - 2))
    running = norm.deviation()
    folded = quantize(weight * (norm.gain / running).view(shape))
    bias = 0.0 if layer.bias is None else layer.bias
    y = layer.forward(x, folded, None)
    if not train:
        return y + (norm.shift + (bias - norm.mean) * norm.gain / running).view(along)
    free = layer.forward(x, weight, None)
    over = [d for d in range(free.dim()) if d != 1]
    variance, mean = torch.var_mean(free, over, correction=0)
    with torch.no_grad():
        count = free.numel() / free.shape[1]
        norm.mean.lerp_(mean.float() + bias, norm.momentum)
        norm.variance.lerp_(variance.float() * (count / max(count - 1, 1)), norm.momentum)
    deviation = (variance + norm.eps).sqrt()
    return y * (running / deviation).view(along) + (norm.shift - mean * norm.gain / deviation).view(along)
