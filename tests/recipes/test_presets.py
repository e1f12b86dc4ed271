"""The recipes that come with qexplore keep what their names promise, on every task of the zoo."""

from __future__ import annotations

import re

import pytest
import torch

import qexplore as qx
from qexplore.errors import QexploreError
from qexplore.recipes import Recipe, presets
from qexplore.recipes.carry_out import prepare
from qexplore.zoo import names

BITS = ("w8a8", "w4a8", "w4a4")
KEPT = ("w8a8-per-tensor-equalized", "w4a8-adaround", "corrected-w8a8-per-tensor")
COARSE = ("w3a3-per-tensor", "standard-w3a3-per-tensor")  # where the steps are needed most
PLAIN = ("fold-bn", "weight-ranges", "activation-ranges")
FIRST = ("fold-bn", "replace-relu6", "equalize", "absorb-high-bias", "weight-ranges")
STANDARD = (*FIRST, "adaround", "activation-ranges")
DATA_FREE = (*FIRST, "correct-bias", "activation-ranges")
FAMILIES = {"": PLAIN, "standard-": STANDARD, "data-free-": DATA_FREE}


def quick(name: str) -> Recipe:
    """The preset with few iterations of AdaRound."""
    recipe = Recipe.load(name)
    return recipe.with_settings({"adaround.iterations": 20} if "adaround" in steps(name) else {})


def steps(name: str) -> tuple[str, ...]:
    return tuple(step.name for step in Recipe.load(name).steps)


@pytest.fixture(scope="module", params=presets("post-training"))
def result(request: pytest.FixtureRequest) -> tuple[str, qx.Result]:
    return request.param, qx.run("mobilenet-digits", quick(request.param))


def test_every_pipeline_comes_in_three_widths_and_two_granularities() -> None:
    families = {f"{family}{bits}{ending}" for family in FAMILIES for bits in BITS for ending in ("", "-per-tensor")}
    assert set(presets("post-training")) == families | {*KEPT, *COARSE}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ending", ["", "-per-tensor"])
@pytest.mark.parametrize("bits", BITS)
def test_a_pipeline_has_the_same_steps_at_every_width(family: str, bits: str, ending: str) -> None:
    assert steps(f"{family}{bits}{ending}") == FAMILIES[family]
    assert Recipe.load(f"{family}{bits}{ending}").steps == Recipe.load(f"{family}w8a8").steps


def test_every_site_has_the_bits_and_weights_the_granularity_of_the_name(result: tuple[str, qx.Result]) -> None:
    name, found = result
    bits = re.search(r"w(\d)a(\d)", name)
    assert bits is not None
    sites = found.sites.set_index("kind")
    assert set(sites.loc["weight", "bits"]) == {int(bits[1])}
    assert set(sites.loc["activation", "bits"]) == {int(bits[2])}
    assert set(sites.loc["weight", "granularity"]) == {"tensor" if "-per-tensor" in name else "channel"}
    assert set(sites.loc["activation", "granularity"]) == {"tensor"}


def test_the_steps_are_done_in_the_order_of_the_recipe(result: tuple[str, qx.Result]) -> None:
    name, found = result
    assert tuple(found.steps["name"]) == ("fp32", *steps(name))


def test_eight_bits_cost_at_most_one_point_where_the_channels_are_balanced(result: tuple[str, qx.Result]) -> None:
    name, found = result
    if "w8a8" in name:
        assert found.fp32_accuracy.value - found.accuracy.value <= 0.01
    assert found.accuracy.value > 0.2


@pytest.mark.parametrize("task", [name for name in names() if "digits" in name and name != "mobilenet-digits"])
@pytest.mark.parametrize("name", presets("post-training"))
def test_every_preset_quantizes_every_site_of_every_task(task: str, name: str) -> None:
    made = qx.Task(task)
    network = prepare(made, quick(name))
    assert set(network.bits) == {site.name for site in network.sites}
    assert bool(torch.isfinite(network(made.data.tensors("evaluation", limit=8)[0])).all())


@pytest.mark.parametrize("name", presets("post-training"))
def test_only_data_free_recipes_need_no_image(name: str) -> None:
    task = without_calibration("mobilenet-digits")
    if not name.startswith("data-free"):
        with pytest.raises(QexploreError, match="calibration"):
            prepare(task, quick(name))
        return
    blind, seeing = (qx.run(one, name, seed=seed) for one, seed in ((task, 0), (qx.Task("mobilenet-digits"), 5)))
    assert blind.sites["hi"].equals(seeing.sites["hi"])
    assert blind.steps["loss"].tolist() == seeing.steps["loss"].tolist()


def without_calibration(name: str) -> qx.Task:
    """The task with its evaluation images alone; what the images can be is known of them."""
    task = qx.Task(name)
    data = qx.Data(evaluation=task.data.tensors("evaluation"), interval=task.data.interval)
    return qx.Task(model=task.model, data=data)
