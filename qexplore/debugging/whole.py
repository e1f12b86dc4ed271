"""Causes that lie in no single site: a step that changed the function, images unlike those in use, bits everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from qexplore.debugging.checks import ACTIVATIONS, FP32, QUANTIZED, REAL, WEIGHTS, Check
from qexplore.debugging.finding import Finding
from qexplore.debugging.harm import HARM, ONE_BIT, SUSPECT
from qexplore.debugging.trail import Change
from qexplore.debugging.words import nats, percent
from qexplore.recipes import Recipe
from qexplore.recipes.images import images_of
from qexplore.registry import key_of
from qexplore.zoo import Task

HALF = 0.5
ON_GRIDS = ("qat", "qbitopt")  # steps that train the quantized network


@dataclass(frozen=True, eq=False)
class Whole:
    """The network as a whole: its checks, what each step did to the real network, and the divergence of the quantized
    one on the calibration images, in nats.
    """

    task: Task
    recipe: Recipe
    checks: Mapping[str, Check]
    changes: Sequence[Change]
    calibration: float


def network_changed(whole: Whole) -> Finding | None:
    """With every site real the network is not what the model was: a step has changed its function.

    Not asked where the recipe trains: that changes the function on purpose, and weights trained on their grids were
    never meant to be real.
    """
    real, fp32 = whole.checks[REAL], whole.checks[FP32]
    if whole.recipe.trains or not (real.divergence >= HARM or (real.divergence >= SUSPECT and real.worse(fp32))):
        return None
    before = [0.0, *(change.divergence for change in whole.changes)]
    rises = [change.divergence - earlier for change, earlier in zip(whole.changes, before)]
    worst = max(range(len(rises)), key=rises.__getitem__)
    step = whole.changes[worst].step
    text = (
        f"With every site real the network has {_percent(real)} of the images right, the model {_percent(fp32)}: the "
        f"step {step!r} changes its function (divergence {nats(before[worst])} before and "
        f"{nats(whole.changes[worst].divergence)} nats after it), and quantization has no part in that."
    )
    evidence = {"real": real.divergence, "before": before[worst], "after": whole.changes[worst].divergence}
    return Finding("network-changed", "", text, real.divergence, step, evidence)


def unlike_images(whole: Whole) -> Finding | None:
    """On the images in use the quantized network strays much farther than on the calibration images."""
    there = whole.checks[QUANTIZED].divergence
    if there < HARM or there < ONE_BIT * whole.calibration:
        return None
    seen, used = (_ends(whole.task, part) for part in ("calibration", "evaluation"))
    text = (
        "The calibration images are not like those in use: quantization moves the softmax by "
        f"{nats(whole.calibration)} nats there and by {nats(there)} on the evaluation images. Inputs reach from "
        f"{seen[0]:.3g} to {seen[1]:.3g} in calibration and from {used[0]:.3g} to {used[1]:.3g} in use: calibrate with "
        "images that are prepared alike."
    )
    evidence = {"calibration": whole.calibration, "evaluation": there}
    evidence |= {"calibration_lo": seen[0], "calibration_hi": seen[1], "lo": used[0], "hi": used[1]}
    possible = _possible(whole.task)
    evidence |= {} if possible is None else {"possible_lo": possible[0], "possible_hi": possible[1]}
    return Finding("unlike-images", "", text, there, "", evidence)


def _possible(task: Task) -> tuple[float, float] | None:
    """Least and greatest value that images can have: as the data say, else those of the training images; None where
    neither is there. A repair is measured on the evaluation images, so that nothing of it may come from them.
    """
    return task.data.interval or (_ends(task, "train") if task.data.has("train") else None)


def bits_everywhere(whole: Whole, named: Sequence[Finding], share: float) -> Finding | None:
    """The network is harmed, and the sites that were named do less than half of what all do one by one.

    share: of the named sites in the sum of all divergences.
    """
    quantized, fp32 = whole.checks[QUANTIZED], whole.checks[FP32]
    if not _harmed(whole) or share >= HALF:
        return None
    if any(not finding.site and finding.divergence >= HALF * quantized.divergence for finding in named):
        return None
    weights, activations = whole.checks[WEIGHTS], whole.checks[ACTIVATIONS]
    worse = "weights" if weights.divergence >= activations.divergence else "activations"
    text = (
        f"No single site explains the {_percent(quantized)} (FP32 {_percent(fp32)}): many do a little each, the "
        f"{worse} most (weights alone {nats(weights.divergence)} nats, activations alone "
        f"{nats(activations.divergence)}). Learn the rounding, give more bits or finer grids, or train it quantized."
    )
    evidence = {"weights": weights.divergence, "activations": activations.divergence, "share_named": share}
    return Finding("bits-everywhere", "", text, quantized.divergence, "", evidence)


def _harmed(whole: Whole) -> bool:
    """Whether bits cost anything. A training moves the softmax on purpose, so behind one only accuracy counts: against
    the real network where that alone was trained, else against the model.
    """
    quantized, fp32 = whole.checks[QUANTIZED], whole.checks[FP32]
    if not whole.recipe.trains:
        return quantized.harmed(fp32)
    on_grids = any(key_of(step.name) in ON_GRIDS for step in whole.recipe.steps)
    return quantized.worse(fp32 if on_grids else whole.checks[REAL])


def _percent(check: Check) -> str:
    return percent(check.judged.accuracy.value, 1)


def _ends(task: Task, part: str) -> tuple[float, float]:
    """Least and greatest value of the images of a part."""
    low, high = math.inf, -math.inf
    for x, _ in images_of(task, part):
        least, greatest = torch.aminmax(x)
        low, high = min(low, float(least)), max(high, float(greatest))
    return low, high
