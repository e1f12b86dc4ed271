"""What was learned, handed over to the network: weights, biases, folded batch norms, ranges."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from qexplore.network import Network, Own
from qexplore.numerics import Band, Range
from qexplore.ptq.bands import site_bands
from qexplore.ptq.batchnorm import affine_of
from qexplore.ptq.calibrate import collect_samples
from qexplore.qat.norms import fold_statically
from qexplore.qat.quantizers import bits_of
from qexplore.qat.training import Training
from qexplore.report import Report


@torch.no_grad()
def hand_over(training: Training, report: Report) -> Network:
    """The network with what was trained; its grids are those of the training, its samples are taken anew."""
    network, trainable = training.network, training.trainable
    training.average.keep()
    if training.settings.reestimate:
        _reestimate(training)
        trainable.hold_frozen()  # by statistics that are folded into them
    for name, layer in network.layers.items():
        bias = trainable.biases.get(name)
        network.set_layer(name, trainable.weight(name).detach().clone(), layer.bias if bias is None else bias.detach())
        layer.mean = layer.std = None  # a batch norm that was folded before told of other weights
    ranges = {name: trainable.range(name) for name in trainable.quantizers}
    for norm in trainable.norms.values():
        module = network.graph.by_name[norm.name].module
        assert module is not None
        norm.write(module)
        weight = f"{norm.layer}.weight"
        if weight in ranges and not training.folded_forward:
            ranges[weight] = _scaled(ranges[weight], affine_of(module)[0])
    if trainable.quantizers:
        fold_statically(network, training.calibration)
    network.set_bits(bits_of(trainable.quantizers))
    for name, interval in ranges.items():
        network.set_own(name, replace(network.own.get(name, Own()), range=interval))
    if trainable.quantizers:
        network.set_bands(_bands(network))
        network.set_samples(*collect_samples(network, training.calibration, report))
    return network


def _bands(network: Network) -> dict[str, Band]:
    """What batch norms tell by now; between which ends the images lie stays."""
    images = [site.name for site in network.sites if site.op == "input" and site.name in network.bands]
    return site_bands(network) | {name: network.bands[name] for name in images}


def _scaled(interval: Range, gain: Tensor) -> Range:
    """The range of each channel after its batch norm is folded: s̃ = s γ / √(σ² + ε) (white paper §4); gains are
    positive.
    """
    return Range(interval.lo * gain, interval.hi * gain)


def _reestimate(training: Training) -> None:
    """Statistics of the batch norms as means over batches of the trained, quantized network, a cure for statistics that
    oscillating weights have spoilt (a known idea, written from memory: arXiv 2203.11086 was not checked).
    """
    training.trainable.mixed = None  # all weights are quantized from now on
    norms = training.trainable.norms.values()
    before = [norm.momentum for norm in norms]
    batches = islice(training.images.epoch(training.settings.epochs), training.settings.reestimate)
    for done, (x, _) in enumerate(batches):
        for norm in norms:
            norm.momentum = 1 / (done + 1)
        training.trainable(x)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
