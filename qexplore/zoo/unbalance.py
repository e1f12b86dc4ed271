"""The classroom case for equalization: hidden channels rescaled by powers of two, the function unchanged."""

from __future__ import annotations

import torch
from torch import nn

from qexplore.report import Report
from qexplore.zoo.entries import Entry
from qexplore.zoo.entries import entry as entry_named
from qexplore.zoo.models.layers import ClippedReLU, ConvBN
from qexplore.zoo.models.mobilenet import InvertedResidual
from qexplore.zoo.task import fresh_model, open_model

LARGEST_POWER = 6


def unbalanced_entry(entry: Entry, seed: int, report: Report) -> nn.Module:
    """The network of `entry` with the function of its base's shipped checkpoint, its blocks unbalanced; eval mode.

    The reverse of cross-layer equalization (white paper §3.2) with drawn factors: the project's own choice.
    """
    if entry.base is None:
        raise ValueError(f"{entry.name} names no base whose function it could take.")
    model = fresh_model(entry)
    state = open_model(entry_named(entry.base)).state_dict()
    bounds = {name: value for name, value in model.state_dict().items() if name not in state}
    model.load_state_dict(state | bounds)
    blocks = [module for module in model.modules() if isinstance(module, InvertedResidual)]
    generator = torch.Generator().manual_seed(seed)
    for block in report.track(blocks, "unbalancing"):
        rescale(block.expand, block.depthwise, generator)
        rescale(block.depthwise, block.project, generator)
    return model.eval()


def rescale(first: ConvBN, second: ConvBN, generator: torch.Generator) -> None:
    """Multiplies each channel between the layers by a power of two, 2^-6 … 2^6, and divides it out in the second layer.

    Products with powers of two are exact in floating point, and the activation between has a bound for each channel
    that moves along, so that the network's function stays the same to the last bit.
    """
    if not isinstance(first.act, ClippedReLU):
        raise ValueError("Only a ClippedReLU between two layers can be rescaled exactly.")
    with torch.no_grad():
        powers = torch.randint(-LARGEST_POWER, LARGEST_POWER + 1, first.act.bound.shape, generator=generator)
        factors = torch.exp2(powers.float())
        for scaled in (first.bn.weight, first.bn.bias, first.act.bound):
            scaled.mul_(factors)
        depthwise = second.conv.groups > 1
        second.conv.weight.div_(factors.view(-1, 1, 1, 1) if depthwise else factors.view(1, -1, 1, 1))
