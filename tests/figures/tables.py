"""Small tables in the forms that the engine hands over, for figures alone."""

from __future__ import annotations

import pandas as pd

SITES = pd.DataFrame(
    {
        "site": ["input", "stem.conv.weight", "stem.conv.out", "head.weight", "head.out"],
        "index": [0, 1, 2, 3, 4],
        "kind": ["activation", "weight", "activation", "weight", "activation"],
        "layer": ["", "stem.conv", "stem.conv", "head", "head"],
        "numel": [64, 72, 512, 160, 10],
    }
)


def sensitivity(metric: str = "fit", scale: float = 1.0) -> pd.DataFrame:
    """Losses that fall by four for each bit; stem.conv.weight hurts most."""
    weight = {"input": 0.02, "stem.conv.weight": 1.0, "stem.conv.out": 0.1, "head.weight": 0.3, "head.out": 0.05}
    rows = [
        {**site, "bits": bits, "loss": scale * weight[site["site"]] * 4.0**-bits, "metric": metric}
        for site in SITES.to_dict("records")
        for bits in (2, 4, 8)
    ]
    return pd.DataFrame(rows)


POINTS = pd.DataFrame(
    {
        "label": ["uniform 2", "uniform 4", "uniform 8", "frontier 4"],
        "weight_bits": [2.0, 4.0, 8.0, 3.9],
        "accuracy": [0.31, 0.95, 0.98, 0.97],
        "low": [0.27, 0.93, 0.966, 0.953],
        "high": [0.35, 0.967, 0.989, 0.982],
        "images": [500] * 4,
    }
)
PATH = pd.DataFrame({"weight_bits": [2.0, 5.0, 8.0], "accuracy": [0.5, 0.96, 0.98]})
STEPS = pd.DataFrame(
    {
        "recipe": ["w8a8"] * 3 + ["w4a8"] * 3,
        "step": ["fold-bn", "weight-ranges", "activation-ranges"] * 2,
        "accuracy": [0.98, 0.98, 0.978, 0.98, 0.91, 0.905],
        "low": [0.97, 0.97, 0.965, 0.97, 0.88, 0.88],
        "high": [0.99, 0.99, 0.986, 0.99, 0.93, 0.93],
        "images": [500] * 6,
    }
)
