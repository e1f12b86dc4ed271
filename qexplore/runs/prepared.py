"""What-if questions answered with networks that are kept prepared: an allocation in, a measured accuracy out."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import torch

from qexplore.errors import QexploreError
from qexplore.network import Accuracy, Judged, Network, compare, evaluate, judge
from qexplore.numerics import Range
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check, prepare
from qexplore.recipes.images import evaluation_images
from qexplore.report import Report
from qexplore.runs.trying import trying
from qexplore.zoo import Task
from qexplore.zoo.catalogue import added
from qexplore.zoo.fingerprint import made_of

KEPT = 4  # networks


def answer(request: dict[str, Any], report: Report | None = None) -> dict[str, Any]:
    """Measures an allocation on evaluation images; or, for a request with the key check alone, says whether the engine
    takes the recipe that it holds: {} where it does, else QexploreError.

    request: task, and where wanted recipe ("w8a8"), seed (0), bits ({site: bits} on top of the recipe's), ranges
    ({site: [lo, hi]}, fixed by hand for this question alone), variants ({label: settings of single sites as a recipe's
    key `sites` holds them, ranges and methods}, each tried by itself on top of bits and ranges), images (None: all).
    Returns accuracy (value, low, high, images), fp32 (the same, on the same images), seconds, and variants: for each
    label its accuracy, and gained, lost, change and p of the pairwise comparison with the answer without it.
    """
    report = report or Report()
    if "check" in request:
        check(Recipe.load(request["check"]))
        return {}
    images, bits = request.get("images"), _by_name(request, "bits")
    if images is not None and not (_whole(images) and images >= 1):
        raise QexploreError(f"The number of images is a whole number from 1 on; not {images!r}.")
    ranges = {name: _range(name, ends) for name, ends in _by_name(request, "ranges").items()}
    variants = _by_name(request, "variants")
    task, network, real, last = _prepared(_question(request, report))
    question = json.dumps(request, sort_keys=True)
    if question in last:  # who gave up on a long answer asks again, and would never wait long enough
        return last[question]
    with network.using(bits), network.fixing(ranges):
        clock = time.perf_counter()
        found = judge(network, evaluation_images(task, report, images))
        seconds = time.perf_counter() - clock
        others = {label: _variant(task, network, sites, found, images, report) for label, sites in variants.items()}
    if images not in real:  # once: it is the same for every question
        real[images] = evaluate(task.model, evaluation_images(task, report, images))
    told = {"accuracy": found.accuracy.to_document(), "fp32": real[images].to_document(), "seconds": seconds}
    last.clear()
    last[question] = told | ({"variants": others} if variants else {})
    return last[question]


def _variant(
    task: Task, network: Network, sites: Any, before: Judged, images: int | None, report: Report
) -> dict[str, Any]:
    clock = time.perf_counter()
    with trying(network, sites):
        after = judge(network, evaluation_images(task, report, images))
    seconds = time.perf_counter() - clock
    return {"accuracy": after.accuracy.to_document(), **asdict(compare(before, after)), "seconds": seconds}


Prepared = tuple[Task, Network, dict[int | None, Accuracy], dict[str, dict[str, Any]]]
"""A task, its network after a recipe, what FP32 reaches on so many images, and the last question with its answer."""


@dataclass(frozen=True)
class _Question:
    """What decides which network is prepared, and who is told of it.

    since, made_of: when the task was added, and its digest now: another one of its name is opened anew, and one that
    has changed.
    """

    task: str
    recipe: str
    seed: int
    since: float
    made_of: str | None
    report: Report = field(compare=False)


def _question(request: dict[str, Any], report: Report) -> _Question:
    seed = request.get("seed", 0)
    if "task" not in request:
        raise QexploreError("The question names no task: give the key 'task'.")
    if not _whole(seed):
        raise QexploreError(f"The seed is a whole number; not {seed!r}.")
    recipe = Recipe.load(request.get("recipe", "w8a8")).to_document()
    task = str(request["task"])
    return _Question(task, json.dumps(recipe), seed, added(task), made_of(task), report)


def _by_name(request: dict[str, Any], key: str) -> dict[str, Any]:
    where = "label" if key == "variants" else "site"
    given = request.get(key) or {}
    if not isinstance(given, dict):
        raise QexploreError(f"The {key} of a question are given by {where}, such as {{{where}: …}}; not {given!r}.")
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
def _prepared(asked: _Question) -> Prepared:
    task, recipe = Task(asked.task), Recipe.from_document(json.loads(asked.recipe))
    return task, prepare(task, recipe, asked.seed, asked.report), {}, {}
