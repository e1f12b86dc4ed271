"""Making a checkpoint of the zoo, and the note beside it that tells how."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

import qexplore
from qexplore.errors import QexploreError
from qexplore.report import Event, Report
from qexplore.zoo.checkpoint import save_weights
from qexplore.zoo.entries import ENTRIES, Entry, resolve
from qexplore.zoo.fitting import accuracy
from qexplore.zoo.keeping import Keep, Work
from qexplore.zoo.task import open_data

_OTHER_FORMATS = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".json")


def train(
    name: str, out: str | Path | None = None, seed: int = 0, report: Report | None = None, threads: int = 1
) -> dict[str, Any]:
    """Trains (or derives) the task's network and writes its checkpoint; the evaluation part is only seen afterwards.

    out: a folder, or a path that ends in .safetensors; the current folder when None, so that what is shipped stays.
    A JSON file of the same name beside it holds the provenance. Same seed, same torch, same machine, same number of
    `threads`: the same weights, also where the training was stopped and went on from what it had left beside `out`.
    Returns {"task", "path", "seed", "seconds", "accuracy": {"value", "right", "images", "part"}, "parameters", …}.
    """
    entry = ENTRIES.get(name)
    if not 0 <= seed < 2**63:
        raise QexploreError(f"The seed is {seed}; give a whole number from 0 to 2^63 - 1.")
    if threads < 1:
        raise QexploreError(f"The number of threads is {threads}; give at least 1.")
    return make(entry, seed, report or Report(), Work(_path(entry, out), threads))


def make(entry: Entry, seed: int, report: Report, work: Work) -> dict[str, Any]:
    """Trains the network of `entry` and writes it to `work.checkpoint`, which is named, with its provenance."""
    assert work.checkpoint is not None
    path, started = work.checkpoint, time.monotonic()
    losses: list[float] = []
    model = resolve(entry.train)(entry, seed, _logged(report, losses), work)
    seconds = time.monotonic() - started
    save_weights(model, path)
    facts = _facts(entry, model, seed, work) | {"losses": losses}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
    Keep(work.unfinished).drop()
    return {**facts, "path": str(path), "seconds": seconds}


def _logged(report: Report, losses: list[float]) -> Report:
    """A report that also keeps the mean loss of each epoch, in nats."""

    def send(event: Event) -> None:
        if event["event"] == "epoch":
            losses.append(round(event["loss"], 4))
        report.forward(event)

    return Report(send)


def _path(entry: Entry, out: str | Path | None) -> Path:
    """The file to write, its folder made: what cannot be written is refused before the training, not after it."""
    given = Path(out) if out is not None else Path()
    if given.suffix in _OTHER_FORMATS:
        raise QexploreError(
            f"Checkpoints are safetensors files; {str(given)!r} names another kind, end it in .safetensors."
        )
    path = given if given.suffix == ".safetensors" else given / entry.checkpoint
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise QexploreError(
            f"The folder {path.parent} cannot be made ({problem.strerror}); give another --out."
        ) from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise QexploreError(f"The checkpoint {path} cannot be written there; give another --out.")
    return path


def _facts(entry: Entry, model: nn.Module, seed: int, work: Work) -> dict[str, Any]:
    right, images = accuracy(model, open_data(entry), "evaluation")
    words = [f"--seed {seed}"] * bool(seed) + [f"--threads {work.threads}"] * (work.threads > 1)
    return {
        "task": entry.name,
        "command": " ".join(("python -m qexplore train", entry.name, *words)),
        "seed": seed,
        "base": entry.base,
        "made_on_purpose": entry.made_on_purpose,
        "accuracy": {"value": right / images, "right": right, "images": images, "part": "evaluation"},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "qexplore": qexplore.__version__,
        "torch": str(torch.__version__).split("+")[0],
        "threads": work.threads,
    }
