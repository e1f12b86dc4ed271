"""E[x] twice: as batch norms tell it, and as the calibration images show it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from torch import Tensor

from qexplore.network import Network
from qexplore.ptq.channels import Channels
from qexplore.ptq.moments import told_inputs
from qexplore.ptq.steps import Calibration
from qexplore.report import Report


def compare_means(network: Network, calibration: Calibration, report: Report | None = None) -> pd.DataFrame:
    """One row for each input channel of each layer of whose input batch norms tell.

    layer, channel; analytic, empirical: mean of the layer's input, in its unit; analytic_std, empirical_std: its
    standard deviation. Empirical ones are taken over images and places of the real network. What both differ by is what
    the assumption of a normal distribution, and batch-norm statistics of other images, cost.
    """
    with network.using(network.uniform(None, None)):
        told = told_inputs(network)
    sources = {layer: network.graph.by_name[layer].inputs[0] for layer in told}
    places = {sources[layer]: found.channels for layer, found in told.items()}
    sums = _sums(network, calibration, places, report or Report())
    tables = []
    for layer, (moments, channels) in told.items():
        count, total, squares = sums[sources[layer]]
        mean = total / count
        table = {
            "layer": layer,
            "channel": range(channels.number),
            "analytic": moments.mean.numpy(),
            "empirical": mean.numpy(),
            "analytic_std": moments.std.numpy(),
            "empirical_std": (squares / count - mean.square()).clamp(min=0).sqrt().numpy(),
        }
        tables.append(pd.DataFrame(table))
    columns = ["layer", "channel", "analytic", "empirical", "analytic_std", "empirical_std"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _sums(
    network: Network, calibration: Calibration, places: dict[str, Channels], report: Report
) -> dict[str, tuple[int, Tensor, Tensor]]:
    """Operation → values a channel, their sum and their sum of squares, float64."""
    sums: dict[str, tuple[int, Tensor, Tensor]] = {}

    def watch(name: str, value: Any) -> None:
        if name in places:
            rows = _by_channel(value, places[name])
            count, total, squares = sums.get(name, (0, torch.zeros(()), torch.zeros(())))
            sums[name] = (count + rows.shape[1], total + rows.sum(dim=1), squares + rows.square().sum(dim=1))

    plan, done = network.real_plan(), 0
    with torch.inference_mode():
        for x, _ in calibration.batches():
            plan.watch(x, watch)
            done += len(x)
            report.progress(done, calibration.images, "means of activations")
    return sums


def _by_channel(x: Tensor, channels: Channels) -> Tensor:
    """A batch as [channels, values], float64."""
    number = channels.number
    rows = x.reshape(-1, number).T if channels.last else x.reshape(len(x), number, -1).transpose(0, 1).flatten(1)
    return rows.double()
