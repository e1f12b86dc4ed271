"""What-if questions answered with networks that are kept prepared: an allocation in, a measured accuracy out."""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import Any

import torch

from qexplore.errors import QexploreError
from qexplore.network import Network, evaluate
from qexplore.numerics import Range
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.zoo import Task

KEPT = 4  # networks


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Measures an allocation on evaluation images.

    request: task, and where wanted recipe ("w8a8"), seed (0), bits ({site: bits} on top of the recipe's), ranges
    ({site: [lo, hi]}, fixed by hand for this question alone), images (None: all).
    Returns accuracy (value, low, high, images), fp32 (the same, on the same images), seconds.
    """
    task, network = _prepared(
        str(request["task"]), json.dumps(_document(request.get("recipe", "w8a8"))), int(request.get("seed", 0))
    )
    images = request.get("images")
    if images is not None and (not isinstance(images, int) or images < 1):
        raise QexploreError(f"The number of images is a whole number from 1 on; not {images!r}.")
    clock = time.perf_counter()
    ranges = {name: _range(name, ends) for name, ends in (request.get("ranges") or {}).items()}
    with network.using(request.get("bits") or {}), network.fixing(ranges):
        found = evaluate(network, task.data.batches("evaluation", limit=images))
    seconds = time.perf_counter() - clock
    real = evaluate(task.model, task.data.batches("evaluation", limit=images))
    return {"accuracy": found.to_document(), "fp32": real.to_document(), "seconds": seconds}


def _document(recipe: Any) -> dict[str, Any]:
    return Recipe.load(recipe).to_document()


def _range(name: str, ends: Any) -> Range:
    try:
        lo, hi = (float(end) for end in ends)
    except (TypeError, ValueError) as error:
        raise QexploreError(f"The range of {name!r} is two numbers, lo and hi; not {ends!r}.") from error
    if not lo < hi:
        raise QexploreError(f"The range of {name!r} needs lo below hi; not {lo} and {hi}.")
    return Range(torch.tensor([lo]), torch.tensor([hi]))


@lru_cache(maxsize=KEPT)
def _prepared(task: str, recipe: str, seed: int) -> tuple[Task, Network]:
    opened = Task(task)
    return opened, prepare(opened, Recipe.from_document(json.loads(recipe)), seed)
