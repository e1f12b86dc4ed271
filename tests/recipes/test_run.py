"""qx.run: what a recipe makes of a task, and the accuracies that the figures of the project promise."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import CaptureError, evaluate
from qexplore.zoo import names


def points(result: qx.Result) -> float:
    """Accuracy lost, in points."""
    return 100 * (result.fp32_accuracy.value - result.accuracy.value)


@pytest.fixture(scope="module", params=["mobilenet-digits", "mobilenet-digits-unbalanced", "resnet-digits"])
def w8a8(request: pytest.FixtureRequest) -> qx.Result:
    return qx.run(request.param, "w8a8")


def test_eight_bits_per_channel_lose_at_most_half_a_point(w8a8: qx.Result) -> None:
    assert abs(points(w8a8)) <= 0.5
    assert w8a8.fp32_accuracy.value >= 0.98


def test_every_task_of_the_zoo_is_among_them() -> None:
    assert {"mobilenet-digits", "mobilenet-digits-unbalanced", "resnet-digits"} <= set(names())


def test_the_steps_hold_the_accuracy_after_each(w8a8: qx.Result) -> None:
    steps = w8a8.steps
    assert list(steps["name"]) == ["fp32", "fold-bn", "weight-ranges", "activation-ranges"]
    assert steps["accuracy"].iloc[0] == w8a8.fp32_accuracy.value == steps["accuracy"].iloc[1]
    assert steps["accuracy"].iloc[-1] == w8a8.accuracy.value
    assert (steps["low"] <= steps["accuracy"]).all()
    assert (steps["accuracy"] <= steps["high"]).all()
    assert (steps["images"] == 500).all()
    assert steps["seconds"].iloc[0] == 0
    assert (steps["seconds"].iloc[1:] > 0).all()


def test_a_network_that_cannot_be_captured_is_refused_before_its_images_are_evaluated() -> None:
    class Branching(nn.Module):
        seen = 0

        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            Branching.seen += len(x)
            return self.head(x.flatten(1)) * (2 if x.mean() > 0 else 1)

    images = torch.rand(500, 1, 8, 8), torch.arange(500) % 10
    task = qx.Task(model=Branching(), data=qx.Data(calibration=images, evaluation=images))
    with pytest.raises(CaptureError, match="cannot be traced"):
        qx.run(task, "w8a8")
    assert Branching.seen < 10


def test_gained_and_lost_images_are_the_change_since_the_row_before() -> None:
    steps = qx.run("mobilenet-digits", qx.Recipe.load("w4a8").with_settings({"weights.bits": 2})).steps
    change = steps["accuracy"].diff().fillna(0)
    assert ((steps["gained"] - steps["lost"]) / steps["images"]).tolist() == pytest.approx(change.tolist())
    assert steps.set_index("name").loc["weight-ranges", "lost"] > 20
    assert steps["loss"].iloc[2] > steps["loss"].iloc[0]


def test_the_result_can_be_called_and_counts_as_it_says(w8a8: qx.Result) -> None:
    data = qx.Task(w8a8.task).data
    assert evaluate(w8a8.network, data.batches("evaluation")) == w8a8.accuracy
    x, _ = data.tensors("evaluation", limit=3)
    assert w8a8.network(x).shape == (3, 10)


def test_every_site_is_quantized_and_described(w8a8: qx.Result) -> None:
    sites = w8a8.sites
    assert (sites["bits"] == 8).all()
    assert set(sites["kind"]) == {"weight", "activation"}
    assert list(sites["index"]) == list(range(len(sites)))
    assert (sites["lo"] <= 0).all()
    assert (sites["hi"] >= 0).all()
    assert sites["sqnr_db"].between(25, 70).all()
    weights = sites[sites["kind"] == "weight"]
    assert weights["numel"].sum() < sum(p.numel() for p in qx.Task(w8a8.task).model.parameters())
    assert set(weights["input"]) <= set(sites["site"])


def test_the_document_is_json_without_nan(w8a8: qx.Result) -> None:
    document = json.loads(json.dumps(w8a8.to_document(), allow_nan=False))
    assert set(document) == {"task", "recipe", "seed", "fp32", "accuracy", "steps", "sites"}
    assert qx.Recipe.load(document["recipe"]) == w8a8.recipe
    assert len(document["sites"]) == len(w8a8.sites)
    assert {"site", "kind", "bits", "sqnr_db"} <= set(document["sites"][0])


def test_one_grid_a_tensor_ruins_the_unbalanced_twin_and_equalization_repairs_it() -> None:
    ruined = qx.run("mobilenet-digits-unbalanced", "w8a8-per-tensor")
    repaired = qx.run("mobilenet-digits-unbalanced", "w8a8-per-tensor-equalized")
    assert points(ruined) > 20
    assert points(repaired) <= 1
    after = repaired.steps.set_index("name")["accuracy"]
    assert after["equalize"] == after["replace-relu6"]


@pytest.mark.parametrize("seed", [0, 3])
def test_same_recipe_and_seed_give_the_same_numbers(seed: int) -> None:
    first, second = (qx.run("resnet-digits", "w4a8", seed=seed) for _ in range(2))
    pd.testing.assert_frame_equal(first.steps.drop(columns="seconds"), second.steps.drop(columns="seconds"))
    pd.testing.assert_frame_equal(first.sites, second.sites)
    x, _ = qx.Task("resnet-digits").data.tensors("evaluation", limit=50)
    assert torch.equal(first.network(x), second.network(x))


def test_another_seed_draws_another_sample() -> None:
    one, other = (qx.run("resnet-digits", "w8a8", seed=seed).sites for seed in (0, 1))
    weights = one["kind"] == "weight"
    assert one.loc[weights, "hi"].equals(other.loc[weights, "hi"])
    assert not one.loc[~weights, "sqnr_db"].equals(other.loc[~weights, "sqnr_db"])


def test_running_draws_nothing_from_the_global_generator_and_leaves_the_model() -> None:
    task = qx.Task("mobilenet-digits")
    before = {name: value.clone() for name, value in task.model.state_dict().items()}
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    qx.run(task, "w8a8-per-tensor-equalized")
    assert torch.equal(torch.rand(3), want)
    assert all(torch.equal(value, before[name]) for name, value in task.model.state_dict().items())
    assert not task.model.training


def test_a_recipe_without_ranges_leaves_every_site_real() -> None:
    result = qx.run("resnet-digits", {"steps": ["fold-bn"]})
    assert result.sites["bits"].isna().all()
    assert result.accuracy == result.fp32_accuracy
    json.dumps(result.to_document(), allow_nan=False)


def test_events_are_json_and_a_callback_may_stop_the_run() -> None:
    events: list[dict[str, Any]] = []

    def until(event: dict[str, Any]) -> None:
        events.append(json.loads(json.dumps(event)))
        if event["event"] == "step-started" and event["name"] == "weight-ranges":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        qx.run("resnet-digits", "w8a8", on_event=until)
    assert [event["name"] for event in events if event["event"] == "step"] == ["fp32", "fold-bn"]


def test_low_bits_hurt_and_power_of_two_grids_cost_little_at_eight() -> None:
    base = qx.Recipe.load("w8a8")
    two = qx.run("resnet-digits", base.with_settings({"weights.bits": 2, "activations.bits": 2}))
    power = qx.run("resnet-digits", base.with_settings({"weights.power_of_two": True}))
    assert points(two) > 5
    assert points(power) <= 1


@pytest.mark.parametrize("bits", [1, 16])
def test_the_narrowest_and_the_widest_grids_run(bits: int) -> None:
    settings = {"weights.bits": bits, "activations.bits": bits}
    result = qx.run("resnet-digits", qx.Recipe.load("w8a8").with_settings(settings))
    assert (result.sites["bits"] == bits).all()
    assert 0 <= result.accuracy.value <= 1
    if bits == 16:
        assert points(result) == pytest.approx(0, abs=0.2)


def test_symmetric_activations_and_groups_run_as_well() -> None:
    recipe = qx.Recipe.load("w8a8").with_settings({"activations.symmetric": True, "weights.granularity": 16})
    assert abs(points(qx.run("resnet-digits", recipe))) <= 1


@pytest.mark.parametrize(("task", "recipe"), [("resnet-digit", "w8a8"), ("resnet-digits", "w8a9")])
def test_unknown_words_are_answered_with_the_nearest(task: str, recipe: str) -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        qx.run(task, recipe)


def test_a_task_without_calibration_images_says_so() -> None:
    task = qx.Task("resnet-digits")
    x, y = task.data.tensors("evaluation", limit=20)
    mine = qx.Task(model=task.model, data=qx.Data(evaluation=(x, y)))
    with pytest.raises(QexploreError, match="calibration"):
        qx.run(mine, "w8a8")


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (["fold-bn", "weight-ranges", "correct-bias", "correct-bias"], "'correct-bias' stands 2 times"),
        (["weight-ranges", "activation-ranges", {"Activation_Ranges": {"logits": "mse"}}], "stands 2 times"),
        (["fold-bn", "weight-ranges", "correct-bias", "adaround"], "'adaround' .* before 'correct-bias'"),
        (["fold-bn", "weight-ranges", "adaround", "equalize"], "'equalize' .* before 'adaround'"),
        (["weight-ranges", "correct-bias", "fold-bn"], "'fold-bn' .* before 'correct-bias'"),
        (["fold-bn", "adaround", "weight-ranges"], "'weight-ranges' .* before 'adaround'"),
        (["fold-bn", {"correct-bias": {"method": "analytic"}}], "put the step 'weight-ranges' before it"),
        (["fold-bn", "adaround"], "put the step 'weight-ranges' before it"),
    ],
)
def test_steps_that_would_undo_an_earlier_one_are_refused_before_the_first_starts(steps: list[Any], says: str) -> None:
    events: list[dict[str, Any]] = []
    with pytest.raises(qx.QexploreError, match=says):
        qx.run("mobilenet-digits", {"steps": steps}, on_event=events.append)
    assert not events


@pytest.mark.parametrize("step", ["replace-relu6", "equalize", "absorb-high-bias"])
def test_a_step_that_resizes_activations_after_their_calibration_is_refused(step: str) -> None:
    document = qx.Recipe.load("w8a8").to_document()
    with pytest.raises(qx.QexploreError, match="before 'activation-ranges'"):
        qx.run("resnet-digits", {**document, "steps": [*document["steps"], step]})
