"""What calibration keeps of each activation: an even random sample, and its extremes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.network.graph import flat
from qexplore.ptq.steps import Calibration
from qexplore.report import Report

SAMPLE = 1 << 17  # values a site: with long tails at 8 bits fewer leave 10 % and more of the error on the table


def collect_samples(
    network: Network, calibration: Calibration, report: Report
) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor]]]:
    """What the calibration images show of each activation site: values in one dimension, all of them or SAMPLE at
    random (of the logits always all, image by image); and the least and the greatest of all, one element each.

    The extremes are not put into the sample, where each would count as many. The network runs with its present weights
    and real activations. Deterministic under the seed.
    """
    if calibration.images == 0:
        raise QexploreError("There are no calibration images: activation ranges need at least one.")
    at = network.placement.at
    kept: dict[str, list[Tensor]] = {name: [] for name in at}
    ends: dict[str, list[Tensor]] = {name: [] for name in at}
    generator = torch.Generator().manual_seed(calibration.seed)
    share = {
        name: 1.0 if network.keeps_images(site) else SAMPLE / (site.numel * calibration.images)
        for name, site in at.items()
    }

    def watch(name: str, value: Any) -> None:
        if name in at:
            values = flat(value)
            kept[name].append(values if share[name] >= 1 else _some(values, share[name], generator))
            ends[name].append(torch.stack(values.aminmax()))

    with network.using(network.uniform_activations(None)), torch.inference_mode():
        done = 0
        for x, _ in calibration.batches():
            network.plan().watch(x, watch)
            done += len(x)
            report.progress(done, calibration.images, "calibrating")
    extremes = {site.name: torch.stack(ends[name]).clone() for name, site in at.items()}
    return (
        {site.name: _whole(kept.pop(name)) for name, site in at.items()},
        {name: (both[:, 0].amin().view(1), both[:, 1].amax().view(1)) for name, both in extremes.items()},
    )


def _whole(parts: list[Tensor]) -> Tensor:
    """One tensor of several, which may come from inference mode and are let go of."""
    whole = parts[0].new_empty(sum(map(len, parts)))
    at = 0
    while parts:
        part = parts.pop(0)
        whole[at : at + len(part)] = part
        at += len(part)
    return whole


def _some(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    count = max(1, math.ceil(share * len(values)))
    return values[torch.randint(len(values), (count,), generator=generator)]
