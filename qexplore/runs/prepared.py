"""What-if questions answered with networks that are kept prepared: an allocation in, a measured accuracy out."""

from __future__ import annotations

import json
import math
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
    images, bits = request.get("images"), _by_site(request, "bits")
    if images is not None and not (_whole(images) and images >= 1):
        raise QexploreError(f"The number of images is a whole number from 1 on; not {images!r}.")
    ranges = {name: _range(name, ends) for name, ends in _by_site(request, "ranges").items()}
    task, network = _asked(request)
    clock = time.perf_counter()
    with network.using(bits), network.fixing(ranges):
        found = evaluate(network, task.data.batches("evaluation", limit=images))
    seconds = time.perf_counter() - clock
    real = evaluate(task.model, task.data.batches("evaluation", limit=images))
    return {"accuracy": found.to_document(), "fp32": real.to_document(), "seconds": seconds}


def _asked(request: dict[str, Any]) -> tuple[Task, Network]:
    seed = request.get("seed", 0)
    if "task" not in request:
        raise QexploreError("The question names no task: give the key 'task'.")
    if not _whole(seed):
        raise QexploreError(f"The seed is a whole number; not {seed!r}.")
    recipe = Recipe.load(request.get("recipe", "w8a8")).to_document()
    return _prepared(str(request["task"]), json.dumps(recipe), seed)


def _by_site(request: dict[str, Any], key: str) -> dict[str, Any]:
    given = request.get(key) or {}
    if not isinstance(given, dict):
        raise QexploreError(f"The {key} of a question are given by site, such as {{site: …}}; not {given!r}.")
    return given


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _range(name: str, ends: Any) -> Range:
    try:
        lo, hi = (float(end) for end in ends)
    except (TypeError, ValueError) as error:
        raise QexploreError(f"The range of {name!r} is two numbers, lo and hi; not {ends!r}.") from error
    if not (lo < hi and math.isfinite(hi - lo)):
        raise QexploreError(f"The range of {name!r} needs finite ends, lo below hi; not {lo} and {hi}.")
    return Range(torch.tensor([lo]), torch.tensor([hi]))


@lru_cache(maxsize=KEPT)
def _prepared(task: str, recipe: str, seed: int) -> tuple[Task, Network]:
    opened = Task(task)
    return opened, prepare(opened, Recipe.from_document(json.loads(recipe)), seed)
