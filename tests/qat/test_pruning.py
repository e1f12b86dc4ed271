"""Masks grow while a network is trained, end where they should, and hold in every step that follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import site_table
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.steps import State
from qexplore.qat.channels import among, gone_in
from qexplore.qat.coupling import couple
from qexplore.qat.norms import KEEP
from qexplore.qat.pruning import Pruning
from qexplore.qat.trainable import Trainable
from qexplore.recipes.carry_out import check, prepare
from qexplore.recipes.schema import BadRecipe, Recipe
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import calibration, done

TASK = qx.Task("resnet-digits")
QUICK: dict[str, Any] = {"epochs": 1, "batch": 64, "rate": 0.01}
AFTER = ["fold-bn", "equalize", "weight-ranges", "activation-ranges"]


class Memory:
    """A keeper that forgets nothing."""

    def __init__(self) -> None:
        self.kept: dict[str, State] = {}

    def load(self, key: str) -> State | None:
        return self.kept.get(key)

    def save(self, key: str, state: State) -> None:
        self.kept[key] = ({name: value.clone() for name, value in state[0].items()}, state[1])


def recipe_of(*steps: Any, bits: int = 8) -> Recipe:
    return Recipe.from_document({"name": "own", "weights": {"bits": bits}, "steps": list(steps)})


def pruned(on_event: Callable[[Event], None] | None = None, task: qx.Task = TASK, **settings: Any) -> Network:
    return prepare(task, recipe_of({"prune": {**QUICK, **settings}}), report=Report(on_event))


def zeros(network: Network) -> int:
    """Pruned weights, all of which are 0."""
    assert all(bool((network.layers[name].weight[~mask] == 0).all()) for name, mask in network.masks.items())
    return sum(int((~mask).sum()) for mask in network.masks.values())


@pytest.mark.parametrize(("share", "end"), [(0.3, 0.6), (0.777, 1.0), (0.05, 0.0)])
def test_the_share_that_was_asked_for_is_reached_to_one_weight(share: float, end: float) -> None:
    events: list[Event] = []
    network = pruned(events.append, sparsity=share, end=end, every=7)
    total = sum(layer.weight.numel() for layer in network.layers.values())
    assert zeros(network) == round(share * total)
    told = [event for event in events if event["event"] == "sparsity"]
    assert [event["share"] for event in told] == sorted(event["share"] for event in told)
    assert (told[0]["share"], told[-1]["share"]) == (0.0, round(share * total) / total)
    for name, mask in network.masks.items():
        assert told[-1]["sites"][f"{name}.weight"] == int((~mask).sum()) / mask.numel()


def test_layer_by_layer_every_layer_loses_the_same_share() -> None:
    network = pruned(sparsity=0.4, scope="layer")
    for name, layer in network.layers.items():
        assert int((~network.masks[name]).sum()) == round(0.4 * layer.weight.numel())


def test_a_second_pruning_goes_on_from_what_the_first_has_reached() -> None:
    first = prepare(TASK, recipe_of({"prune": {**QUICK, "sparsity": 0.3}}))
    before = {name: mask.clone() for name, mask in first.masks.items()}
    second = prepare(TASK, recipe_of({"prune": {**QUICK, "sparsity": 0.3}}, {"prune": {**QUICK, "sparsity": 0.2}}))
    assert all(torch.equal(mask, before[name]) for name, mask in second.masks.items())
    third = STEPS.get("prune")(first, Calibration(TASK.data), Report(), **QUICK, sparsity=0.5)  # type: ignore[call-arg]
    assert all(bool((before[name] | ~mask).all()) for name, mask in third.masks.items())
    assert zeros(third) == round(0.5 * sum(layer.weight.numel() for layer in third.layers.values()))


@pytest.mark.parametrize("name", ["resnet-digits", "mobilenet-digits"])
def test_of_pruned_channels_nothing_is_left(name: str) -> None:
    task = qx.Task(name)
    network = pruned(task=task, method="channels", sparsity=0.25)
    coupling = couple(network)
    gone, sets = gone_in(coupling, network.masks), coupling.sets()
    for number in sets.unique().tolist():
        mine = gone[sets == number]
        assert int(mine.sum()) == min(round(0.25 * len(mine)), len(mine) - 1)
    x = torch.rand(4, *task.example.shape[1:])
    before, real = network(x), {name: layer.weight for name, layer in network.layers.items()}
    network = STEPS.get("fold-bn")(network, Calibration(task.data), Report())
    torch.testing.assert_close(network(x), before, rtol=1e-4, atol=1e-4)
    assert zeros(network) > 0.25 * sum(weight.numel() for weight in real.values())
    for layer, groups in coupling.outputs.items():
        dead, bias = among(groups, gone), network.layers[layer].bias
        assert bool((network.layers[layer].weight[dead] == 0).all())
        assert bias is None or bool((bias[dead] == 0).all())
    assert (site_table(network)["bitmap"] == 0).all()


def test_zeros_hold_through_folding_equalization_rounding_and_two_trainings() -> None:
    qat = {"epochs": 1, "rate": 0.01}
    steps = [{"prune": {**QUICK, "sparsity": 0.5}}, *AFTER, {"adaround": {"iterations": 20}}]
    events: list[Event] = []
    task = qx.Task("mobilenet-digits")
    alone = prepare(task, recipe_of(*steps[:1]))
    rounded = prepare(task, recipe_of(*steps, bits=3))
    trained = qx.run(
        task, recipe_of(*steps[:-1], {"qat": qat}, {"qat": {**qat, "weight_bits": 4}}), on_event=events.append
    )
    for network in (rounded, trained.network):
        for site in network.sites:
            if site.kind == "weight":
                mask = alone.masks[site.layer]
                assert torch.equal(network.masks[site.layer], mask)
                assert bool((network.quantized_weight(site, network.bits[site.name])[~mask] == 0).all())
    begun = [event["share"] for event in events if event["event"] == "sparsity" and event["at"] == 0]
    assert len(begun) == 3
    assert begun[0] == 0.0
    assert begun[1] == begun[2] == pytest.approx(0.5, abs=1e-4)
    rows = {row["site"]: row for row in trained.to_document()["sites"]}
    assert all(rows[f"{n}.weight"]["sparsity"] == int((~m).sum()) / m.numel() for n, m in alone.masks.items())


def test_in_training_a_masked_weight_is_0_before_and_after_every_step() -> None:
    network = Network.of(TASK.model, TASK.example)
    generator = torch.Generator().manual_seed(0)
    masks = {n: torch.rand(layer.weight.shape, generator=generator) < 0.5 for n, layer in network.layers.items()}
    network.set_masks(masks)
    trainable = Trainable(network, {}, KEEP)
    for name, mask in masks.items():
        trainable.weights[name].data.fill_(1.0)
        assert torch.equal(trainable.quantized(name), mask.float())
    trainable.hold()
    assert all(torch.equal(trainable.weights[name].detach(), mask.float()) for name, mask in masks.items())
    trainable(torch.rand(2, *TASK.example.shape[1:])).sum().backward()
    for name, mask in masks.items():
        gradient = trainable.weights[name].grad
        assert gradient is None or bool((gradient[~mask] == 0).all())


@pytest.mark.parametrize("settings", [{"method": "unstructured"}, {"method": "channels"}, {"ema": 0.9}])
@pytest.mark.parametrize("stop", [7, 19])
def test_a_pruning_that_goes_on_from_its_checkpoint_ends_with_the_same_bits(
    settings: dict[str, Any], stop: int
) -> None:
    recipe = recipe_of({"prune": {**QUICK, "epochs": 2, "every": 3, "end": 1.0, **settings}})
    whole = prepare(TASK, recipe, seed=5)
    keeper, seen = Memory(), 0

    def cancel(event: Event) -> None:
        nonlocal seen
        if event["event"] == "progress":
            seen += 1
            if event["done"] >= stop:
                raise InterruptedError

    with pytest.raises(InterruptedError):
        prepare(TASK, recipe, seed=5, report=Report(cancel), keeper=keeper)
    assert keeper.kept
    resumed = prepare(TASK, recipe, seed=5, keeper=keeper)
    assert all(torch.equal(mask, whole.masks[name]) for name, mask in resumed.masks.items())
    for name, layer in resumed.layers.items():
        assert torch.equal(layer.weight, whole.layers[name].weight)
    x = torch.rand(8, *TASK.example.shape[1:], generator=torch.Generator().manual_seed(0))
    assert torch.equal(resumed(x), whole(x))


@pytest.mark.parametrize("first", [{"scope": "network"}, {"scope": "layer"}])
@pytest.mark.parametrize("name", ["add-relu", "concat-relu", "shared-convolution", "perceptron"])
def test_channels_go_after_all_but_a_few_weights_have_gone_and_every_layer_keeps_one(
    name: str, first: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qexplore.qat.loop.check_alive", lambda *_: None)  # of so few weights a network may die
    model, x = built(name)
    seen = calibration(tuple(x.shape[1:]))
    network = Network.of(model, x[:1])
    quick = {"epochs": 1, "batch": 8, "rate": 1e-4}
    network = done(network, seen, ("prune", {**quick, "sparsity": 0.97, **first}))
    before = dict(network.masks)
    network = done(network, seen, ("prune", {**quick, "sparsity": 0.6, "method": "channels"}))
    assert all(bool(mask.any()) and bool((before[name] | ~mask).all()) for name, mask in network.masks.items())
    coupling = couple(network)
    gone, sets = gone_in(coupling, network.masks), coupling.sets()
    for number in sets.unique().tolist():
        mine = gone[sets == number]
        assert int(mine.sum()) >= min(round(0.6 * len(mine)), len(mine) - 1)


def test_pruning_comes_before_ranges() -> None:
    for step in ("weight-ranges", "activation-ranges"):
        with pytest.raises(BadRecipe, match="prune"):
            check(recipe_of("fold-bn", step, "prune"))
    network = prepare(TASK, recipe_of("fold-bn", "weight-ranges"))
    with pytest.raises(QexploreError, match="before 'weight-ranges'"):
        STEPS.get("prune")(network, Calibration(TASK.data), Report())


@pytest.mark.parametrize(
    "settings",
    [{"sparsity": 1.0}, {"sparsity": -0.1}, {"start": 0.8, "end": 0.2}, {"every": 0}, {"end": 1.5}],
)
def test_settings_with_which_nothing_can_be_pruned_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(QexploreError, match="Pruning needs"):
        pruned(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"sparsity": 1.5}, "Pruning needs a sparsity from 0 to below 1"),
        ({"method": "chanels"}, "channels"),
        ({"rate": -1.0}, "The setting 'rate' of a training"),
        ({"reestimate": 5, "batch_norm": "static"}, "set batch_norm to keep"),
        ({"reestimate": 5, "batch_norm": "double-forward"}, "set batch_norm to keep"),
    ],
)
def test_settings_are_checked_before_the_first_step_of_a_recipe(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(QexploreError, match=words):
        check(recipe_of({"prune": settings}))
    check(recipe_of({"prune": {"reestimate": 5}}))  # batch norms are kept where nothing is said


@pytest.mark.parametrize("at", [0.0, 0.6, 1.0])
def test_a_schedule_may_be_one_moment(at: float) -> None:
    plan = Pruning(start=at, end=at)
    assert [plan.done(progress) for progress in (at - 0.01, at, at + 0.01)] == [0.0, 1.0, 1.0]
    assert zeros(pruned(start=at, end=at)) > 0


@pytest.mark.parametrize("name", ["noise", "learn", "quantizer_rate", "damping", "freezing"])
def test_settings_of_quantizers_are_refused_where_there_are_none(name: str) -> None:
    with pytest.raises(UnknownName, match=name):
        check(recipe_of({"prune": {name: 0.5}}))


def test_methods_and_scopes_that_do_not_exist_are_named() -> None:
    with pytest.raises(UnknownName, match="unstructured"):
        pruned(method="structured")
    with pytest.raises(UnknownName, match="layer"):
        pruned(scope="channel")


def test_a_network_without_channels_that_can_go_says_so() -> None:
    part = (torch.rand(8, 6), torch.zeros(8, dtype=torch.int64))
    data = qx.Data(train=part, calibration=part, evaluation=part)
    task = qx.Task(model=nn.Linear(6, 5).eval(), data=data, example=part[0][:1])
    with pytest.raises(QexploreError, match="No channel of this network"):
        pruned(task=task, method="channels")


@pytest.mark.parametrize("name", ["prune30-w8a8", "prune30-w4a8"])
def test_the_presets_prune_train_and_keep_the_accuracy_on_digits(name: str) -> None:
    short = {"prune.epochs": 3, "qat.epochs": 1}
    result = qx.run("resnet-digits", Recipe.load(name).with_settings(short))
    weights = result.sites[result.sites["kind"] == "weight"]
    assert (weights["sparsity"] * weights["numel"]).sum() / weights["numel"].sum() == pytest.approx(0.3, abs=1e-4)
    assert set(weights["bits"]) == {8 if name.endswith("w8a8") else 4}
    assert result.accuracy.value > result.fp32_accuracy.value - 0.02
    found: Tensor = result.network(TASK.example)
    assert found.shape == (1, 10)
