"""The classroom case for equalization: some hidden channels made small, the function unchanged."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qexplore.report import Report
from qexplore.zoo.entries import ENTRIES, Entry
from qexplore.zoo.keeping import Work
from qexplore.zoo.models.layers import ClippedReLU
from qexplore.zoo.models.mobilenet import InvertedResidual
from qexplore.zoo.task import fresh_model, open_model

SHARE = 0.2
POWERS = (2, 8)


def unbalanced_entry(entry: Entry, seed: int, report: Report, _: Work | None = None) -> nn.Module:
    """The network of `entry` with the function of its base's shipped checkpoint, its blocks unbalanced; eval mode.

    The reverse of cross-layer equalization (white paper §3.2) with drawn factors: the project's own choice. As in
    MobileNetV2, a few channels of each depthwise layer have weights far larger than the others. A grid for each channel
    copes with that, one grid for the tensor does not.
    """
    if entry.base is None:
        raise ValueError(f"{entry.name} names no base whose function it could take.")
    model = fresh_model(entry)
    state = open_model(ENTRIES.get(entry.base)).state_dict()
    bounds = {name: value for name, value in model.state_dict().items() if name not in state}
    model.load_state_dict(state | bounds)
    blocks = [module for module in model.modules() if isinstance(module, InvertedResidual)]
    generator = torch.Generator().manual_seed(seed)
    for block in report.track(blocks, "unbalancing"):
        rescale(block, factors(block.depthwise.conv.out_channels, generator))
    return model.eval()


def factors(channels: int, generator: torch.Generator) -> Tensor:
    """1 for most channels, 2^-2 … 2^-8 for a fifth of them, drawn from `generator`; shape [channels]."""
    chosen = torch.randperm(channels, generator=generator)[: max(1, round(SHARE * channels))]
    powers = torch.zeros(channels)
    powers[chosen] = -torch.randint(POWERS[0], POWERS[1] + 1, chosen.shape, generator=generator).float()
    return torch.exp2(powers)


def rescale(block: InvertedResidual, by: Tensor) -> None:
    """Multiplies the expanded channels by powers of two, `by` [hidden], and divides them out in the depthwise layer.

    Products with powers of two are exact in floating point, and the activation between has a bound for each channel
    that moves along, so that the network's function stays the same to the last bit.
    """
    expand, depthwise = block.expand, block.depthwise
    if expand is None or not isinstance(expand.act, ClippedReLU):
        raise ValueError("Only a ClippedReLU between two layers can be rescaled exactly.")
    with torch.no_grad():
        for scaled in (expand.bn.weight, expand.bn.bias, expand.act.bound):
            scaled.mul_(by)
        depthwise.conv.weight.div_(by.view(-1, 1, 1, 1))
