"""What training recovers on the digits networks, and what bits that are allocated while it goes on are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qexplore.qat.norms import STATIC
from qexplore.recipes import Recipe
from qexplore.recipes.settings import check_step
from qexplore.studies.study import STUDIES, Study
from qexplore.studies.training_budgets import IMAGES, SPENT
from qexplore.studies.training_claims import (
    ANSWERS,
    AVERAGES,
    BASELINES,
    BITS,
    CLAIMS,
    OPTIONS,
    PRESET,
    PRUNED,
    QBITOPT,
    SAME,
    at,
    mixed,
    uniform,
    uniform_bits,
)
from qexplore.studies.trials import Variant
from qexplore.zoo import Task

TASKS = ("resnet-digits", "mobilenet-digits")
SCHEDULE: Mapping[str, Any] = {"epochs": 10, "batch": 64, "rate": 0.02, "shift": 1}
RANGES = [{"weight-ranges": {"method": "mse"}}, {"activation-ranges": {"method": "mse"}}]
FOLDED = ["fold-bn", *RANGES]
LOOSE = 2  # bits at which the options of training are compared: where they differ most
HOW = (
    "Every training but that of the preset has the images and the schedule of every other one: {schedule}. A seed "
    "draws the order of the training images, how they are moved, and bits at random; the calibration images, on which "
    "ranges and first bits are found and no weight is trained, are the task's own, so what is not trained is the same "
    "under every seed. Where all sites cannot have the average of a budget, they have the next fewer bits in the row "
    "of LSQ. PTQ is plain rounding, with batch norms folded and ranges by mean squared error, from which training "
    "starts: what equalization and learned rounding reach before any training stands in docs/post-training.md. The "
    "FP32 networks were trained with smoothed labels and trainings here are not, so a cross-entropy after training "
    "may be below that of FP32: compare it between trainings, where it tells more apart than the accuracy of networks "
    "that are nearly always right."
)
"""What a reader has to know, after `schedule` is put in."""


@STUDIES.register("training")
def training(settings: Mapping[str, Any] | None = None) -> Study:
    """The claims of quantization-aware training and of QBitOpt; settings: of every training, besides SCHEDULE."""
    schedule = {**SCHEDULE, **(settings or {})}
    pruned = Variant(PRUNED, PRESET, Recipe.load(PRESET))
    variants = (*_same_bits(schedule), *_mixed(schedule), *_options(schedule), pruned)
    for variant in variants:
        for step in variant.recipe.steps:
            check_step(step)  # a wrong setting is told before hours of work
    how = HOW.format(schedule=", ".join(f"{name} {value}" for name, value in schedule.items()))
    title = "Quantization-aware training and QBitOpt"
    return Study(title, TASKS, variants, CLAIMS, extras=(IMAGES, SPENT), draw=_own, how=how)


def _own(name: str, seed: int) -> Task:
    """The task with its own parts, whatever the seed."""
    return Task(name)


def _same_bits(schedule: Mapping[str, Any]) -> list[Variant]:
    found = []
    for bits in BITS:
        found.append(Variant(SAME, at("PTQ", bits), _recipe(bits, FOLDED), seeded=False))
        found.append(Variant(SAME, at("QAT", bits), _trained(bits, schedule)))
    return found


def _first(schedule: Mapping[str, Any]) -> list[Any]:
    """What is done before a training with this schedule: batch norms are folded unless it is to keep them."""
    return FOLDED if schedule.get("batch_norm", STATIC) == STATIC else RANGES


def _mixed(schedule: Mapping[str, Any]) -> list[Variant]:
    found, first = [], _first(schedule)
    for average in AVERAGES:
        limits = {"weight_bits": average, "activation_bits": average}
        table, bits = mixed(average), uniform_bits(average)
        found.append(Variant(table, uniform(average), _trained(bits, schedule)))
        for name, more in {QBITOPT: {}, ANSWERS: {"gradients": "answers"}}.items():
            found.append(Variant(table, name, _recipe(bits, [*first, {"qbitopt": {**limits, **schedule, **more}}])))
        for name, metric in BASELINES.items():
            steps = [*first, {"allocate-bits": {"metric": metric, **limits}}, {"qat": dict(schedule)}]
            found.append(Variant(table, name, _recipe(bits, steps)))
    return found


def _options(schedule: Mapping[str, Any]) -> list[Variant]:
    schedule = {**schedule, "batch_norm": STATIC}
    table = OPTIONS.format(bits=LOOSE)
    kept = {"batch norms kept": "keep", "double forward": "double-forward", "batch norms frozen": "frozen"}
    found = [Variant(table, "batch norms folded, first ranges by MSE", _trained(LOOSE, schedule))]
    for name, mode in kept.items():
        found.append(Variant(table, name, _recipe(LOOSE, [*RANGES, {"qat": {**schedule, "batch_norm": mode}}])))
    plain = [{"weight-ranges": {"method": "min-max"}}, {"activation-ranges": {"method": "min-max"}}]
    found.append(Variant(table, "first ranges min-max", _recipe(LOOSE, ["fold-bn", *plain, {"qat": dict(schedule)}])))
    found.append(Variant(table, "half distilled from FP32", _trained(LOOSE, {**schedule, "distill": 0.5})))
    return found


def _trained(bits: int, schedule: Mapping[str, Any]) -> Recipe:
    return _recipe(bits, [*_first(schedule), {"qat": dict(schedule)}])


def _recipe(bits: int, steps: list[Any]) -> Recipe:
    quantizers = {
        "weights": {"bits": bits, "symmetric": True, "granularity": "channel"},
        "activations": {"bits": bits, "symmetric": False, "granularity": "tensor"},
    }
    return Recipe.from_document({"name": "variant", "steps": steps, **quantizers})
