"""A recipe carried out on a task: network in, quantized network out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration, Keeper
from qexplore.ptq.steps import images_at_once
from qexplore.recipes.schema import SET_BITS, BadRecipe, Recipe, StepSetting, is_weight
from qexplore.recipes.settings import check_step
from qexplore.recipes.sites import apply_sites, check_site
from qexplore.report import Report
from qexplore.zoo import Task

RESCALE = ("replace-relu6", "equalize", "absorb-high-bias")
RANGES = ("weight-ranges", "activation-ranges")
# 'set-bits' where it names weights alone, or activations alone, whose bits nothing that fits weights depends on.
WEIGHT_BITS, ACTIVATION_BITS = "set-bits of weights", "set-bits of activations"
BITS = ("allocate-bits", "set-bits", WEIGHT_BITS)
# What is not done to a network that was trained on its grids.
UNTRAINED = ("fold-bn", *RESCALE, *RANGES, "adaround", "correct-bias", *BITS, ACTIVATION_BITS)
OF_BITS = "changes the grids that bits are for"
# What a step needs behind it, because it would undo the step or make nonsense of it, and why.
BEFORE = {
    "weight-ranges": (("prune",), "trains the real weights"),
    "activation-ranges": ((*RESCALE, "prune"), "changes the size of activations"),
    "allocate-bits": (("fold-bn", *RESCALE, *RANGES, "prune"), OF_BITS),
    "set-bits": (("fold-bn", *RESCALE, *RANGES, "prune", "allocate-bits"), OF_BITS),
    ACTIVATION_BITS: (("fold-bn", *RESCALE, *RANGES, "prune", "allocate-bits"), OF_BITS),
    WEIGHT_BITS: (("fold-bn", *RESCALE, "weight-ranges", "prune", "allocate-bits"), OF_BITS),
    "adaround": (("fold-bn", *RESCALE, "weight-ranges", *BITS), "changes the weights or their grids"),
    "correct-bias": (
        ("fold-bn", *RESCALE, "weight-ranges", *BITS, "adaround"),
        "changes the weights or their grids",
    ),
    **dict.fromkeys(("qat", "qbitopt"), (UNTRAINED, "would undo what was trained")),
}
ONCE = ("weight-ranges", "adaround", "correct-bias", "activation-ranges", "allocate-bits")
AfterStep = Callable[[str, Network], None]


def captured(task: Task, recipe: Recipe) -> Network:
    """The network of `task` with the recipe's quantizers at its sites; no step is done, every site is real.

    All names and settings are checked.
    """
    check(recipe)
    parts_of(task, recipe)
    network = Network.of(
        task.model, task.example, Spec(**{"granularity": "channel", **recipe.weights}), _activations(recipe)
    )
    apply_sites(network, recipe.sites)
    return network


def prepare(
    task: Task,
    recipe: Recipe,
    seed: int = 0,
    report: Report | None = None,
    after_step: AfterStep | None = None,
    keeper: Keeper | None = None,
    network: Network | None = None,
) -> Network:
    """The network of `task` with every step of `recipe` done.

    after_step: called with the step's name and the network after each.
    keeper: where steps that train keep their states, each under "<number>-<name>".
    network: what `captured` gave for the two, where that was asked already.
    """
    report, network = report or Report(), network or captured(task, recipe)
    calibration = Calibration(task.data, seed, batch=images_at_once(task.example), keeper=keeper, teacher=task.model)
    for number, step in enumerate(recipe.steps):
        report.event("step-started", name=step.name, number=number, of=len(recipe.steps))
        key, past = f"{number}-{STEPS.canonical(step.name)}", _past(task, recipe, number)
        given = replace(calibration, key=key, past=past)
        network = STEPS.get(step.name)(network, given, report, **step.settings)
        if after_step is not None:
            after_step(step.name, network)
    return network


def _past(task: Task, recipe: Recipe, number: int) -> str:
    """The task, and the recipe up to the step `number`, as JSON."""
    document = replace(recipe, name="", title="", steps=recipe.steps[: number + 1]).to_document()
    return json.dumps([task.name, document], sort_keys=True)


def check(recipe: Recipe) -> None:
    """Raises UnknownName or QexploreError for a step, a setting or a quantizer that does not exist."""
    _check_order(recipe.steps)
    for step in recipe.steps:
        check_step(step)
    for name, own in recipe.sites.items():
        check_site(name, own)
    for settings in (recipe.weights, recipe.activations):
        Spec(**settings)
    if recipe.activations.get("granularity", "tensor") != "tensor":
        raise QexploreError(
            "Activations have one range a tensor (granularity: tensor): a scale for each channel cannot leave the sum "
            "over input channels."
        )


def parts_of(task: Task, recipe: Recipe) -> tuple[str, ...]:
    """The parts of the task's images that the recipe reads, and that for evaluation; QexploreError where the recipe
    trains and there are no training images.
    """
    if not recipe.trains:
        return ("calibration", "evaluation")
    if not task.data.has("train"):
        raise QexploreError(
            f"The recipe {recipe.name!r} trains, and the task {task.name!r} has no training images: sort its pictures "
            "into train/ and test/ below one folder, give train=… to qx.Data, or take a recipe that does not train."
        )
    return ("train", "calibration", "evaluation")


def _check_order(steps: Sequence[StepSetting]) -> None:
    """BadRecipe where a step would undo an earlier one, or fit to what is not there yet."""
    names = [role(step) for step in steps]
    for name in ONCE:
        if names.count(name) > 1:
            raise BadRecipe(f"The step {name!r} stands {names.count(name)} times in the recipe: keep one of them.")
    for later, (before, reason) in BEFORE.items():
        for name in names[names.index(later) :] if later in names else ():
            if name in before:
                step, behind = (SET_BITS if each in (WEIGHT_BITS, ACTIVATION_BITS) else each for each in (name, later))
                raise BadRecipe(f"The step {step!r} {reason}: put it before {behind!r}.")
    for name in ("adaround", "correct-bias"):
        if name in names and "weight-ranges" not in names:
            raise BadRecipe(f"The step {name!r} works on quantized weights: put the step 'weight-ranges' before it.")


def role(step: StepSetting) -> str:
    """The name under which the order of steps knows this one: its own, or WEIGHT_BITS or ACTIVATION_BITS."""
    name = STEPS.canonical(step.name)
    if name != SET_BITS or not step.settings:
        return name
    weights = [is_weight(site) for site in step.settings]
    return WEIGHT_BITS if all(weights) else name if any(weights) else ACTIVATION_BITS


def _activations(recipe: Recipe) -> Spec:
    return Spec(**{"symmetric": False, **recipe.activations})
