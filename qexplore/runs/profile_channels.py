"""The table of a profile about the channels of the weights, before and after equalization."""

from __future__ import annotations

import pandas as pd

from qexplore.network import Network, Site
from qexplore.numerics import Rows
from qexplore.recipes import Recipe, StepSetting
from qexplore.recipes.carry_out import prepare
from qexplore.zoo import Task

QUANTILES = {"lo": 0.0, "q25": 0.25, "q50": 0.5, "q75": 0.75, "hi": 1.0}
EQUALIZED = tuple(StepSetting(name) for name in ("fold-bn", "replace-relu6", "equalize"))


def channel_table(task: Task, network: Network, recipe: Recipe, seed: int) -> pd.DataFrame:
    """Quantiles of the weights of each output channel; and equalized_lo, equalized_hi: their ends in the same network
    after ReLU6 was replaced and channels equalized, and nothing else.
    """
    equalized = prepare(task, Recipe("equalized", recipe.weights, recipe.activations, EQUALIZED), seed)
    frames = []
    for site in network.sites:
        if site.kind == "weight":
            before, after = (_channels(net, site) for net in (network, equalized))
            frame = pd.DataFrame({name: before.quantile(q).numpy() for name, q in QUANTILES.items()})
            frame["equalized_lo"], frame["equalized_hi"] = after.least.numpy(), after.greatest.numpy()
            frames.append(frame.assign(site=site.name, channel=range(len(frame))))
    return pd.concat(frames, ignore_index=True)


def _channels(network: Network, site: Site) -> Rows:
    return Rows.of(network.layers[site.layer].weight.flatten(1), f"The site {site.name!r}")
