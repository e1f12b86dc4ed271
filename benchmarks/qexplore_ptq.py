"""qexplore: the standard recipe; for mixed precision `fit` scores all sites and an exact programme chooses the bits.

`qx.run` judges the network after each step, here on 128 of the calibration images: accuracy is measured afterwards.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

import qexplore as qx
from benchmarks.harness import Quantized, main


def task_of(model: nn.Module, images: Tensor, labels: Tensor) -> qx.Task:
    data = qx.Data(calibration=(images, labels), evaluation=(images[:128], labels[:128]), interval=(-2, 2))
    return qx.Task(model=model, data=data)


def quantize(model: nn.Module, images: Tensor, labels: Tensor, *, recipe: str) -> Quantized:
    return qx.run(task_of(model, images, labels), recipe).network


def mixed(model: nn.Module, images: Tensor, labels: Tensor) -> Quantized:
    task = task_of(model, images, labels)
    answer = qx.allocate(qx.sensitivity(task, metric="fit"), qx.Budget(weight_bits=4, activation_bits=8), exact=True)
    bits = {f"sites.{site}.bits": bits for site, bits in answer.bits.items()}
    return qx.run(task, qx.Recipe.load("standard-w4a8").with_settings(bits)).network


SETTINGS = {
    "w8a8": partial(quantize, recipe="standard-w8a8"),
    "w4a8": partial(quantize, recipe="standard-w4a8"),
    "w4a4": partial(quantize, recipe="standard-w4a4"),
    "mixed": mixed,
}

if __name__ == "__main__":
    main("qexplore", SETTINGS)
