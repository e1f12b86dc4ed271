"""A profile with as many sites as EfficientNet-B3 has, drawn by chance: for sizes and times, not for meaning."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from qexplore.runs.profiles import FORMAT, Profile

BLOCKS = 34
WIDEST = 2304  # channels of the widest weight
MENU = (2, 3, 4, 5, 6, 8)
METRICS = ("fisher", "fit", "sqnr", "divergence", "loss")
METHODS = ("min-max", "mse", "percentile", "bn-3sigma")
RECIPE = {
    "name": "w8a8",
    "weights": {"bits": 8, "symmetric": True, "granularity": "channel"},
    "activations": {"bits": 8, "symmetric": False, "granularity": "tensor"},
    "steps": ["fold-bn", {"weight-ranges": {"method": "mse"}}, {"activation-ranges": {"method": "mse"}}],
}
_PARTS = (("0.0", "conv"), ("1.0", "depthwise"), ("2.fc2", "conv"))
_MEASURED = {"accuracy": 0.7, "low": 0.66, "high": 0.74, "images": 500}


def large(folder: Path, task: str = "large") -> Profile:
    """Writes the profile into `folder` and reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng(0)
    sites = site_table(chance)
    tables = {
        "sites": sites,
        "sensitivity": pd.concat([sensitivity(sites, metric, chance) for metric in METRICS]),
        "points": points(sites),
        "channels": channels(sites, chance),
        "ranges": ranges(sites, chance),
        "estimators": estimators(),
    }
    for name, table in tables.items():
        table.reset_index(drop=True).to_parquet(folder / f"{name}.parquet")
    save_file({s: chance.normal(size=4096).astype("f4") for s in sites["site"]}, folder / "tensors.safetensors")
    for name in ("ablation", "steps"):
        (folder / f"{name}.parquet").write_bytes((_shipped() / f"{name}.parquet").read_bytes())
    (folder / "debug.json").write_text(json.dumps({"w8a8": diagnosis(sites, chance)}))
    (folder / "profile.json").write_text(json.dumps(header(sites, task)))
    return Profile.read(folder)


def _shipped() -> Path:
    return Path(__file__).parents[2] / "qexplore" / "zoo" / "profiles" / "mobilenet-digits"


def site_table(chance: np.random.Generator) -> pd.DataFrame:
    """The input, three weights and three activations a block with a sum at its end, and the classifier."""
    found = [("input", "activation", "input", "input")]
    for block in range(BLOCKS):
        for part, op in _PARTS:
            layer = f"features.{block // 5 + 1}.{block % 5}.block.{part}"
            found += [(f"{layer}.weight", "weight", layer, op), (f"{layer}.out", "activation", layer, op)]
        layer = f"features.{block // 5 + 1}.{block % 5}.add"
        found.append((f"{layer}.out", "activation", layer, "add"))
    found += [("classifier.1.weight", "weight", "classifier.1", "linear")]
    found += [("classifier.1.out", "activation", "classifier.1", "linear")]
    table = pd.DataFrame(found, columns=["site", "kind", "layer", "op"])
    size = chance.integers(1_000, 400_000, len(table))
    spread = chance.uniform(0.5, 9.0, len(table))
    return table.assign(
        index=range(len(table)),
        numel=size,
        macs=size * 49,
        tied=table["site"],
        input="",
        shape="232×1×3×3",
        bits=pd.array([8] * len(table), dtype="Int64"),
        lo=-spread,
        hi=spread,
        sqnr_db=30 + spread,
        granularity=np.where(table["kind"] == "weight", "channel", "tensor"),
    )


def sensitivity(sites: pd.DataFrame, metric: str, chance: np.random.Generator) -> pd.DataFrame:
    rows = sites.drop(columns=["shape", "bits", "lo", "hi", "sqnr_db", "granularity"]).merge(
        pd.DataFrame({"bits": MENU}), how="cross"
    )
    harm = dict(zip(sites["site"], chance.lognormal(-3, 2, len(sites)), strict=True))
    return rows.assign(loss=rows["site"].map(harm) * 4.0 ** -rows["bits"], metric=metric)


def points(sites: pd.DataFrame) -> pd.DataFrame:
    """Uniform allocations and a frontier, as a profile measures them."""
    labels = [(f"uniform W{b}A{b}", float(b), float(b)) for b in MENU]
    labels += [(f"frontier {w:g} / {a:g}", w, a) for w in (2.5, 3.5, 4.0, 5.0, 6.0) for a in (2.5, 3.0, 4.0, 6.0, 8.0)]
    numel = float(sites.loc[sites["kind"] == "weight", "numel"].sum())
    rows = []
    for label, w, a in labels:
        loss = 20 * 4.0**-w + 10 * 4.0**-a
        rows.append(
            {
                "label": label,
                "weight_bits": w,
                "activation_bits": a,
                "kb": numel * w / 8000,
                "gbops": 0.4 * w * a,
                "predicted_loss": loss,
                **_MEASURED,
                "accuracy": 0.8 - min(loss, 0.7),
                "calibration_accuracy": 0.8 - min(loss, 0.7),
                "bits": json.dumps(dict.fromkeys(sites["site"], round(w))),
            }
        )
    return pd.DataFrame(rows)


def channels(sites: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    """Up to WIDEST channels a weight, the last ones the widest."""
    weights = sites.loc[sites["kind"] == "weight", "site"].tolist()
    counts = np.linspace(24, WIDEST, len(weights)).astype(int)
    names = np.repeat(weights, counts)
    width = chance.lognormal(-1, 1, len(names)).astype("f4")
    number = np.concatenate([np.arange(count) for count in counts])
    quantiles = {name: width * share for name, share in (("lo", -1), ("q25", -0.3), ("q50", 0.0), ("q75", 0.3))}
    ends = {"equalized_lo": -np.sqrt(width), "equalized_hi": np.sqrt(width)}
    return pd.DataFrame({**quantiles, "hi": width, **ends, "site": names, "channel": number})


def ranges(sites: pd.DataFrame, chance: np.random.Generator) -> pd.DataFrame:
    rows = sites[["site", "kind", "lo", "hi"]].merge(pd.DataFrame({"method": METHODS}), how="cross")
    rows = rows.merge(pd.DataFrame({"bits": MENU}), how="cross")
    error = chance.lognormal(-6, 1, len(rows))
    told = {name: np.where(rows["bits"] <= 4, value, np.nan) for name, value in _MEASURED.items()}
    paired = {
        name: np.where(rows["bits"] <= 4, value, np.nan) for name, value in (("gained", 3), ("lost", 5), ("p", 0.7))
    }
    return rows.assign(scale=0.1, sqnr_db=-np.log(error) * 4, rounding=error, clipping=error / 9, **told, **paired)


def estimators() -> pd.DataFrame:
    kinds = pd.DataFrame({"kind": ["weight", "activation"]})
    rows = kinds.merge(pd.DataFrame({"method": METHODS}), how="cross").merge(pd.DataFrame({"bits": MENU}), how="cross")
    return rows.assign(**_MEASURED)


def diagnosis(sites: pd.DataFrame, chance: np.random.Generator) -> dict[str, Any]:
    """A report of `debug` that names no culprit, over all sites."""
    told: dict[str, Any] = json.loads((_shipped() / "debug.json").read_text())["w8a8"]
    rows = sites[["site", "index", "kind", "layer", "op"]].assign(
        bits=8, divergence=chance.lognormal(-9, 2, len(sites)), share=1 / len(sites), sqnr_db=30.0
    )
    return {**told, "sites": rows.to_dict("records")}


def header(sites: pd.DataFrame, task: str) -> dict[str, Any]:
    names = sites.loc[sites["kind"] == "activation", "site"].tolist()
    nodes = [{"name": n.removesuffix(".out"), "op": "conv", "site": n, "layer": n.removesuffix(".out")} for n in names]
    accuracy = {"value": 0.8, "low": 0.76, "high": 0.83, "images": 500}
    return {
        "format": FORMAT,
        "task": task,
        "recipe": RECIPE,
        "seed": 0,
        "created": "2026-11-21T04:45:37+00:00",
        "qexplore": "0.1.0",
        "torch": "2.15.0",
        "command": f"python -m qexplore.runs.profile_job {task} FOLDER",
        "fp32": accuracy,
        "fp32_here": accuracy,
        "images": 500,
        "fp32_calibration": accuracy,
        "parameters": int(sites.loc[sites["kind"] == "weight", "numel"].sum()),
        "macs": int(sites.loc[sites["kind"] == "weight", "macs"].sum()),
        "metrics": list(METRICS),
        "graph": {"nodes": nodes, "edges": [[a["name"], b["name"]] for a, b in pairwise(nodes)]},
        "opaque": [],
        "seconds": 1800.0,
    }
