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
        "label": ["uniform W2A2", "uniform W4A4", "uniform W8A8", "frontier 4"],
        "weight_bits": [2.0, 4.0, 8.0, 3.9],
        "accuracy": [0.31, 0.95, 0.98, 0.97],
        "low": [0.27, 0.93, 0.966, 0.953],
        "high": [0.35, 0.967, 0.989, 0.982],
        "images": [500] * 4,
    }
)
PATH = pd.DataFrame({"weight_bits": [2.0, 5.0, 8.0], "accuracy": [0.5, 0.96, 0.98]})


def ablation(
    accuracies: list[float], steps: list[str], images: int = 500, recipe: str = "corrected-w8a8-per-tensor"
) -> pd.DataFrame:
    """An ablation with these accuracies of its build-up; each step, left out, takes along what came after it."""
    rows: list[dict[str, object]] = []

    def add(group: str, name: str, step: str, accuracy: float) -> None:
        change = accuracy - accuracies[-1]
        moved = round(abs(change) * images)
        rows.append(
            {
                "group": group,
                "name": name,
                "step": step,
                "accuracy": accuracy,
                "low": max(accuracy - 0.02, 0.0),
                "high": min(accuracy + 0.02, 1.0),
                "images": images,
                "loss": 1 - accuracy,
                "seconds": 0.5 + 0.25 * len(rows),
                "change": change,
                "gained": moved if change > 0 else 0,
                "lost": moved if change < 0 else 0,
                "p": min(1.0, 2 * 0.5**moved),
                "complete": group == "build-up" and step == (steps[-1] if steps else ""),
            }
        )

    add("reference", "fp32", "", 0.996)
    add("build-up", "none", "", accuracies[0])
    for step, accuracy in zip(steps, accuracies[1:], strict=True):
        add("build-up", f"+ {step}", step, accuracy)
    for step, accuracy in zip(steps, accuracies[:-1], strict=True):
        add("without", f"without {step}", step, accuracy)
    add("side", "weights only", "", accuracies[-1])
    add("side", "activations only", "", 0.996)
    return pd.DataFrame(rows).assign(recipe=recipe)


LADDER = ["replace-relu6", "equalize", "absorb-high-bias", "correct-bias"]
RISING = [0.102, 0.1, 0.99, 0.984, 0.996]
FOUND_SITES = SITES[["site", "index", "kind", "layer"]].assign(
    op="conv",
    bits=4,
    divergence=[0.001, 0.8, 0.05, 0.1, 0.0],
    share=[0.001, 0.841, 0.053, 0.105, 0.0],
    sqnr_db=[30.0, 3.0, 18.0, 15.0, 22.0],
)
