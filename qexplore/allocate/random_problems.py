"""Random tables of sensitivities, alike in form to those of real networks, for the bench and the tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

BITS = (2, 3, 4, 5, 6, 7, 8)


def random_table(
    weights: int,
    activations: int = 0,
    *,
    bits: Sequence[int] = BITS,
    ties: float = 0.2,
    noise: float = 0.3,
    largest: int = 100_000,
    scale: float = 1.0,
    seed: int = 0,
) -> pd.DataFrame:
    """A table with as many weight and activation sites as asked; the same seed gives the same table.

    The losses fall about fourfold with every bit, with log-normal scatter `noise` (from about 1, many rise and are
    clamped); sizes are log-uniform from 8 to `largest`; `ties`: chance of an activation to be tied to the one before;
    `scale` multiplies all losses. Weight site k reads activation k modulo their number.
    """
    rng = np.random.default_rng(seed)
    total = weights + activations
    names = [f"layers.{k}.weight" for k in range(weights)] + [f"layers.{k}.out" for k in range(activations)]
    numel = np.exp(rng.uniform(np.log(8), np.log(largest), total)).astype(np.int64)
    tied = list(names)
    for k in range(weights + 1, total):
        if rng.random() < ties:
            tied[k] = tied[k - 1]
    feeds = [f"layers.{k % activations}.out" if activations else "" for k in range(weights)]
    macs = np.where(np.arange(total) < weights, numel * rng.integers(1, 200, total), 0)
    menu = np.asarray(bits)
    size = scale * np.exp(rng.normal(0.0, 2.0, total))[:, None] * np.sqrt(numel)[:, None]
    loss = size * 4.0 ** -menu.astype(np.float64) * np.exp(rng.normal(0.0, noise, (total, len(menu))))
    each = np.repeat(np.arange(total), len(menu))
    return pd.DataFrame(
        {
            "site": np.asarray(names, dtype=object)[each],
            "index": each,
            "kind": np.where(each < weights, "weight", "activation"),
            "layer": np.asarray([name.rpartition(".")[0] for name in names], dtype=object)[each],
            "numel": numel[each],
            "macs": macs[each],
            "tied": np.asarray(tied, dtype=object)[each],
            "input": np.asarray(feeds + [""] * activations, dtype=object)[each],
            "bits": np.tile(menu, total),
            "loss": loss.ravel(),
            "metric": "random",
        }
    )
