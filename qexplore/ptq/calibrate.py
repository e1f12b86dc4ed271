"""What calibration keeps of each activation: an even random sample, and its extremes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Network, Site
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
    # Made before the network runs: small tensors that stay among large ones that come and go would scatter the memory.
    kept = {name: _Kept.of(site, calibration, network.keeps_images(site)) for name, site in at.items()}
    generator = torch.Generator().manual_seed(calibration.seed)

    def watch(name: str, value: Any) -> None:
        if name in kept:
            kept[name].add(flat(value), generator)

    with network.using(network.uniform_activations(None)), torch.inference_mode():
        done = 0
        for x, _ in calibration.batches():
            network.plan().watch(x, watch, keeps=False)
            done += len(x)
            report.progress(done, calibration.images, "calibrating")
    samples = {site.name: kept[name].values() for name, site in at.items()}
    return samples, {site.name: kept[name].ends() for name, site in at.items()}


class _Kept:
    """What is kept of one site: `share` of its values, all of them from 1 on, and the extremes of each batch."""

    def __init__(self, share: float, room: int) -> None:
        self.share, self.room, self.filled = share, torch.empty(room), 0
        self.extremes: list[Tensor] = []

    @staticmethod
    def of(site: Site, calibration: Calibration, whole: bool) -> _Kept:
        every = site.numel * calibration.images
        batches = math.ceil(calibration.images / calibration.batch)
        share = 1.0 if whole else SAMPLE / every
        return _Kept(share, every if share >= 1 else min(every, SAMPLE + batches))

    def add(self, values: Tensor, generator: torch.Generator) -> None:
        """Values of one batch."""
        taken = values if self.share >= 1 else _some(values, self.share, generator)
        end = self.filled + len(taken)
        if end > len(self.room):  # more images than were announced
            self.room = torch.cat([self.room, torch.empty(max(len(self.room), len(taken)))])
        self.room[self.filled : end] = taken
        self.filled = end
        self.extremes.append(torch.stack(values.aminmax()))

    def values(self) -> Tensor:
        """All that was kept."""
        return self.room[: self.filled]

    def ends(self) -> tuple[Tensor, Tensor]:
        """The least and the greatest of all values, one element each."""
        both = torch.stack(self.extremes).clone()
        return both[:, 0].amin().view(1), both[:, 1].amax().view(1)


def _some(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    count = max(1, math.ceil(share * len(values)))
    return values[torch.randint(len(values), (count,), generator=generator)]
