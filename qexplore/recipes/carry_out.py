"""A recipe carried out on a task: network in, quantized network out."""

from __future__ import annotations

from collections.abc import Callable

from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.recipes.schema import BadRecipe, Recipe
from qexplore.recipes.settings import check_step
from qexplore.recipes.sites import apply_sites, check_site
from qexplore.report import Report
from qexplore.zoo import Task

RESCALE = ("replace-relu6", "equalize", "absorb-high-bias")
AfterStep = Callable[[str, Network], None]


def prepare(
    task: Task, recipe: Recipe, seed: int = 0, report: Report | None = None, after_step: AfterStep | None = None
) -> Network:
    """The network of `task` with every step of `recipe` done.

    after_step: called with the step's name and the network after each. All names and settings are checked before the
    first step starts.
    """
    report = report or Report()
    check(recipe)
    network = Network.of(
        task.model, task.example, Spec(**{"granularity": "channel", **recipe.weights}), _activations(recipe)
    )
    apply_sites(network, recipe.sites)
    calibration = Calibration(task.data, seed)
    for number, step in enumerate(recipe.steps):
        report.event("step-started", name=step.name, number=number, of=len(recipe.steps))
        network = STEPS.get(step.name)(network, calibration, report, **step.settings)
        if after_step is not None:
            after_step(step.name, network)
    return network


def check(recipe: Recipe) -> None:
    """Raises UnknownName or QexploreError for a step, a setting or a quantizer that does not exist."""
    _check_order([step.name for step in recipe.steps])
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


def _check_order(steps: list[str]) -> None:
    """Activations have to be calibrated after the last step that changes their size."""
    names = [STEPS.canonical(name) for name in steps]
    calibrated = names.index("activation-ranges") if "activation-ranges" in names else len(names)
    for name in names[calibrated:]:
        if name in RESCALE:
            raise BadRecipe(f"The step {name!r} changes the size of activations: put it before 'activation-ranges'.")


def _activations(recipe: Recipe) -> Spec:
    return Spec(**{"symmetric": False, **recipe.activations})
