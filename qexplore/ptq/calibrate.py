"""What calibration keeps of each activation: its extremes and an even random sample."""

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

SAMPLE = 1 << 15  # values a site; the error that a range leaves is then known to about 1 %


def collect_samples(network: Network, calibration: Calibration, report: Report) -> dict[str, Tensor]:
    """Site → values seen on the calibration images, one dimension: all of them, or SAMPLE at random and both extremes.

    The network runs with its present weights and real activations. Deterministic under the seed.
    """
    if calibration.images == 0:
        raise QexploreError("There are no calibration images: activation ranges need at least one.")
    at = network.placement.at
    kept: dict[str, list[Tensor]] = {name: [] for name in at}
    extremes: dict[str, list[Tensor]] = {name: [] for name in at}
    generator = torch.Generator().manual_seed(calibration.seed)
    share = {name: SAMPLE / (site.numel * calibration.images) for name, site in at.items()}

    def watch(name: str, value: Any) -> None:
        if name in at:
            values = flat(value)
            kept[name].append(values if share[name] >= 1 else _some(values, share[name], generator))
            extremes[name].extend(values.aminmax())

    with network.using(network.uniform_activations(None)), torch.inference_mode():
        done = 0
        for x, _ in calibration.batches():
            network.plan().watch(x, watch)
            done += len(x)
            report.progress(done, calibration.images, "calibrating")
    ends = {name: _ends(extremes[name]) if share[name] < 1 else [] for name in at}
    return {site.name: torch.cat([*kept[name], *ends[name]]).clone() for name, site in at.items()}


def _some(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    count = max(1, math.ceil(share * len(values)))
    return values[torch.randint(len(values), (count,), generator=generator)]


def _ends(extremes: list[Tensor]) -> list[Tensor]:
    both = torch.stack(extremes)
    return [both.amin().view(1), both.amax().view(1)]
