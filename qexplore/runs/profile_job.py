"""Makes a profile: everything that the pages draw about a task, measured once.

`python -m qexplore.runs.profile_job TASK FOLDER` makes one by hand, with the word `everything` at the end one of all
presets; those of the zoo come with qexplore.
"""

from __future__ import annotations

import datetime
import json
import math
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

import qexplore
from qexplore.allocate import Answer, Budget, allocate, uniform
from qexplore.allocate.sensitivity import MENU, measured_tables, sensitivity_table
from qexplore.network import Accuracy, Network, evaluate
from qexplore.network.table import site_table
from qexplore.ptq import Calibration
from qexplore.ptq.steps import images_at_once
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.recipes.images import images_of
from qexplore.report import Report
from qexplore.runs.documents import dumps
from qexplore.runs.image_facts import image_facts
from qexplore.runs.profile_channels import channel_table
from qexplore.runs.profile_extent import Extent, extent, few
from qexplore.runs.profile_ranges import estimator_table, range_table
from qexplore.runs.profile_recipes import ablation_table, diagnoses, step_table
from qexplore.runs.profiles import FORMAT, METRIC, uniform_label
from qexplore.zoo import Task
from qexplore.zoo.fingerprint import made_of

FORESEEN = (METRIC, "fit", "sqnr")
"""Metrics that need few passes; those that need more than these and the measured ones are left to a wish."""
KEPT = 4096  # values of a site that a histogram needs
EVERYTHING = "everything"  # the word of the command line that asks for all presets
ALL_KEPT = 1 << 18  # values of all sites: a megabyte
UNIFORM = (2, 3, 4, 5, 6, 8)
FRONTIER = [(w, a) for w in (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0) for a in (2.5, 3.0, 4.0, 5.0, 6.0, 8.0)]


def profile(spec: dict[str, Any], report: Report, folder: Path) -> dict[str, Any]:
    """Measures a task after a recipe and files the tables into `folder`.

    spec: task, and where wanted recipe ("w8a8"), seed (0), images (of a part, for the many measurements), presets
    (carried out step by step), ablations (presets whose steps are judged), diagnoses (presets that are debugged);
    "everything": all presets in these three; "complete": nothing is left out, however long it takes. What is not said
    is chosen by the network's speed; the header tells how many evaluation images served, the limit of both parts, and
    what was left out, whose tables are empty. Returns the header without the graph.
    """
    clock = time.perf_counter()
    digest = made_of(str(spec["task"]))  # before it is opened: what changes meanwhile is then told
    task, recipe, seed = Task(spec["task"]), Recipe.load(spec.get("recipe", "w8a8")), int(spec.get("seed", 0))
    task.data.prepare(report, ("calibration", "evaluation"))
    network = prepare(task, recipe, seed, report)
    chosen = extent(spec, task, network, len(MENU))
    small = few(task, chosen.images)
    calibration = Calibration(small.data, seed, batch=images_at_once(task.example))
    tables = {name: sensitivity_table(network, calibration, name, MENU, report) for name in FORESEEN}
    if chosen.measured:
        tables |= measured_tables(network, calibration, MENU, report)
    folder.mkdir(parents=True, exist_ok=True)
    site_table(network).to_parquet(folder / "sites.parquet")
    pd.concat(tables.values(), ignore_index=True).to_parquet(folder / "sensitivity.parquet")
    _points(small, network, tables[METRIC], report).to_parquet(folder / "points.parquet")
    channel_table(small, network, recipe, seed).to_parquet(folder / "channels.parquet")
    range_table(small, network, report, chosen.by_site).to_parquet(folder / "ranges.parquet")
    estimator_table(small, network, report, chosen.everywhere).to_parquet(folder / "estimators.parquet")
    _recipes(small, chosen, seed, report, folder)
    save_file(_tensors(network, seed), folder / "tensors.safetensors")
    header = _header(task, recipe, seed, network, bool(spec.get("everything"))) | {
        "fp32_here": _accuracy(small, task.model, "evaluation").to_document(),
        "fp32_calibration": _accuracy(small, task.model, "calibration").to_document(),
        "images": small.data.count("evaluation"),
        "limit": spec.get("images") or chosen.images,
        "left_out": chosen.left_out,
        "made_of": digest,
        "metrics": [*tables],
        "seconds": time.perf_counter() - clock,
    }
    (folder / "profile.json").write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    return {key: value for key, value in header.items() if key not in ("graph", "opaque")}


def _recipes(task: Task, chosen: Extent, seed: int, report: Report, folder: Path) -> None:
    step_table(task, chosen.presets, seed, report).to_parquet(folder / "steps.parquet")
    ablation_table(task, chosen.ablations, seed, report).to_parquet(folder / "ablation.parquet")
    told = diagnoses(task, chosen.diagnoses, seed, report)
    (folder / "debug.json").write_text(dumps(told), encoding="utf-8")


def _header(task: Task, recipe: Recipe, seed: int, network: Network, everything: bool) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "task": task.name,
        "recipe": recipe.to_document(),
        "seed": seed,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "qexplore": qexplore.__version__,
        "torch": torch.__version__,
        "command": " ".join(["python -m qexplore.runs.profile_job", task.name, "FOLDER", *[EVERYTHING] * everything]),
        "fp32": _accuracy(task, task.model, "evaluation").to_document(),
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "macs": sum(site.macs for site in network.sites if site.kind == "weight"),
        "data": image_facts(task.data),
        "graph": _graph(network),
        "opaque": [{"layer": layer, "reason": reason} for layer, reason in network.opaque],
    }


def _accuracy(task: Task, network: Any, part: str) -> Accuracy:
    return evaluate(network, images_of(task, part))


def _points(task: Task, network: Network, table: pd.DataFrame, report: Report) -> pd.DataFrame:
    """Measured allocations: the uniform ones, and the frontier of the table over pairs of average bits.

    The accuracy on the calibration images, from which predictions are learned, is NaN where weights and activations
    are uniform at different bits: those are there to compare with.
    """
    tries: list[tuple[str, Answer, bool]] = []
    for w, a in product(UNIFORM, UNIFORM):
        tries.append((uniform_label(w, a), uniform(table, w, a), w == a))
    for weight_bits, activation_bits in FRONTIER:
        budget = Budget(weight_bits=weight_bits, activation_bits=activation_bits)
        tries.append((f"frontier {weight_bits:g} / {activation_bits:g}", allocate(table, budget), True))
    rows = []
    for label, answer, forecasts in report.track(tries, "measuring allocations"):
        with network.using(answer.bits):
            seen = _accuracy(task, network, "evaluation")
            held = _accuracy(task, network, "calibration").value if forecasts else math.nan
        rows.append(
            {
                "label": label,
                **answer.cost,
                "predicted_loss": answer.loss,
                "accuracy": seen.value,
                "low": seen.low,
                "high": seen.high,
                "images": seen.images,
                "calibration_accuracy": held,
                "bits": json.dumps(answer.bits),
            }
        )
    return pd.DataFrame(rows)


def _tensors(network: Network, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kept, most = {}, min(KEPT, ALL_KEPT // len(network.sites))
    for site in network.sites:
        values = network.values(site).flatten()
        if len(values) > most:
            # The extremes stay: they decide where a range without clipping ends.
            ends = torch.stack(values.aminmax())
            values = torch.cat([values[torch.randperm(len(values), generator=generator)[: most - 2]], ends])
        kept[site.name] = values.contiguous().clone()
    return kept


def _graph(network: Network) -> dict[str, Any]:
    at = {site.at: site.name for site in network.sites if site.kind == "activation"}
    ops = [op for op in network.graph.ops if op.kind != "value"]
    nodes = [{"name": op.name, "op": op.kind, "site": at.get(op.name), "layer": op.name} for op in ops]
    known = {op.name for op in ops}
    edges = [[source, op.name] for op in ops for source in op.inputs if source in known]
    return {"nodes": nodes, "edges": edges}


if __name__ == "__main__":
    profile({"task": sys.argv[1], "everything": EVERYTHING in sys.argv[3:]}, Report(), Path(sys.argv[2]))
