"""Writes what every tool is given: `python -m benchmarks.export --out DIR --data FOLDER`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors.torch import save_file

import qexplore as qx
from benchmarks.harness import CALIBRATION, EVALUATION
from qexplore.zoo.checkpoint import save_weights

TASK = "resnet20-cifar10"
WEIGHTS = "weights.safetensors"


def export(task: qx.Task, folder: Path) -> None:
    """The weights, the calibration images and the evaluation images of `task`, as its network takes them (float32)."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(task.model, folder / WEIGHTS)
    for part, file in (("calibration", CALIBRATION), ("evaluation", EVALUATION)):
        x, y = task.data.tensors(part)
        save_file({"x": x.contiguous(), "y": y.to(torch.int64).contiguous()}, folder / file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10; else QEXPLORE_DATA names it")
    given = parser.parse_args()
    if given.data is not None:
        os.environ["QEXPLORE_DATA"] = str(given.data.resolve())
    export(qx.Task(TASK), given.out)
