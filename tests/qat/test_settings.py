"""Settings that cannot be meant are told in one sentence, before a recipe does anything."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.qat.settings import OPTIMIZERS, SCHEDULES, Settings, defaults_of
from qexplore.recipes import Recipe, presets
from qexplore.recipes.carry_out import prepare
from qexplore.report import Event, Report
from qexplore.zoo import Task
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized

WRONG: dict[str, tuple[Any, ...]] = {
    "epochs": (0, -3, 10**9),
    "batch": (0, -1),
    "rate": (-0.1, math.nan, math.inf, 11),
    "quantizer_rate": (-1, 2, math.nan),
    "quantizer_optimizer": ("sgdd",),
    "schedule": ("linear", ""),
    "warmup": (-1, 99),
    "optimizer": ("lion",),
    "momentum": (1.0, -0.1, math.nan),
    "decay": (-1e-4, math.nan),
    "smoothing": (1.0, -0.1),
    "batch_norm": ("freeze", "Keep"),
    "reestimate": (-1, 5),  # 5: with static folding there is nothing to estimate
    "distill": (-0.1, 1.1, math.nan),
    "temperature": (0, -1, math.nan),
    "noise": (-0.1, 1.1),
    "ema": (1.0, -0.1),
    "damping": (-1, math.nan),
    "freezing": (-0.1, 1.1),
    "shift": (-1, 1000, 1.5, True, "2"),
    "flip": (1, "yes"),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_every_wrong_value_is_one_sentence_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(QexploreError) as told:
        Settings(**{name: value})
    assert "\n" not in str(told.value)
    assert name.replace("_", " ") in str(told.value).replace("_", " ")


def test_every_setting_is_tried_wrongly() -> None:
    flags = {"learn", "half"}
    assert set(WRONG) | flags == set(defaults_of(Settings))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 1.5])
def test_rates_start_whole_rise_in_the_warm_up_and_end_as_their_schedule_says(schedule: str, warmup: float) -> None:
    it = Settings(epochs=10, schedule=schedule, warmup=warmup)
    factors = [it.factor(at, 100, 10) for at in range(100)]
    rising = round(10 * warmup)
    assert factors[rising] == 1
    assert all(a < b for a, b in pairwise(factors[: rising + 1]))
    assert all(a >= b for a, b in pairwise(factors[rising:]))
    assert factors[0] > 0
    if schedule == "cosine":
        assert factors[-1] < 0.001
        middle = rising + (100 - rising) // 2
        assert it.factor(middle, 100, 10) == pytest.approx(0.5, abs=0.02)
    else:
        found = {round(factor, 6) for factor in factors[rising:]}
        assert found == ({1.0} if schedule == "constant" else {1.0, 0.1, 0.01})


@pytest.mark.parametrize("warmup", [0.0, 1.0, 4.0])
def test_the_schedule_of_steps_drops_at_half_and_at_three_quarters_whatever_the_warm_up(warmup: float) -> None:
    it = Settings(epochs=10, schedule="step", warmup=warmup)
    factors = [it.factor(at, 1000, 100) for at in range(1000)]
    assert [at for at in range(1, 1000) if factors[at] < factors[at - 1]] == [500, 750]


@pytest.mark.parametrize(
    ("preset", "settings", "kind", "words"),
    [
        ("qat-w4a4", {"qat.epoch": 3}, UnknownName, "epochs"),
        ("qat-w4a4", {"qat.epochs": 2.5}, QexploreError, "whole number"),
        ("qat-w4a4", {"qat.epochs": "many"}, QexploreError, "whole number"),
        ("qat-w4a4", {"qat.learn": 1}, QexploreError, "true or false"),
        ("qat-w4a4", {"qat.epochs": 0}, QexploreError, "between 1 and"),
        ("qat-w4a4", {"qat.schedule": "cosin"}, UnknownName, "cosine"),
        ("qat-w4a4", {"qat.weight_bits": 40}, QexploreError, "1 to 16 bits"),
        ("qat-w4a4", {"qat.activation_bits": -1}, QexploreError, "1 to 16 bits"),
        ("qbitopt-4", {"qbitopt.weight_bits": 0, "qbitopt.activation_bits": 0}, QexploreError, "has no budget"),
        ("qbitopt-4", {"qbitopt.weight_bit": 3}, UnknownName, "weight_bits"),
        ("qbitopt-4", {"qbitopt.error": "x"}, UnknownName, "measured"),
        ("qbitopt-4", {"qbitopt.distill": 2.0}, QexploreError, "'distill'"),
        ("qat-w4a4", {"qad.epochs": 3}, UnknownName, "qat"),
    ],
)
def test_what_a_recipe_sets_wrongly_is_told_before_the_first_step(
    preset: str, settings: dict[str, Any], kind: type[Exception], words: str
) -> None:
    events: list[Event] = []
    with pytest.raises(kind, match=words) as told:
        prepare(qx.Task("resnet-digits"), Recipe.load(preset).with_settings(settings), report=Report(events.append))
    assert "\n" not in str(told.value)
    assert not events


@pytest.mark.parametrize("preset", presets("training"))
def test_a_task_without_training_images_is_told_before_anything_is_done(preset: str) -> None:
    digits = qx.Task("resnet-digits")
    data = qx.Data(calibration=digits.data.calibration, evaluation=digits.data.evaluation)
    task, events = Task(model=digits.model, data=data, name="bare"), list[Event]()
    words = r"^The recipe '.*' trains, and the task 'bare' has no training images: sort its pictures into train/ and "
    for attempt in (
        lambda: qx.run(task, preset, on_event=events.append),
        lambda: prepare(task, Recipe.load(preset), report=Report(events.append)),
    ):
        with pytest.raises(QexploreError, match=words) as told:
            attempt()
        assert "\n" not in str(told.value)
    assert not events


LATE = ("fold-bn", "replace-relu6", "equalize", "absorb-high-bias", "weight-ranges", "adaround", "correct-bias")


@pytest.mark.parametrize("trained", ["qat", {"qbitopt": {"weight_bits": 4}}])
@pytest.mark.parametrize("late", [*LATE, "activation-ranges"])
def test_nothing_that_undoes_a_training_comes_after_it(late: str, trained: Any) -> None:
    before = [] if late == "weight-ranges" else ["weight-ranges"]
    recipe = Recipe.from_document({"steps": [*before, trained, late]})
    with pytest.raises(QexploreError, match=f"'{late}' would undo what was trained: put it before"):
        prepare(qx.Task("resnet-digits"), recipe)


def test_a_float_network_is_not_trained_on_grids_that_it_lacks() -> None:
    seen = calibration((3, 8, 8))
    model, x = built("add-relu")
    from qexplore.network import Network

    with pytest.raises(QexploreError, match="put the steps 'weight-ranges' and 'activation-ranges' before it"):
        done(Network.of(model, x[:1]), seen, ("qat", QUICK))


TRAINED = [("qat", QUICK), ("qbitopt", {**QUICK, "weight_bits": 4})]


@pytest.fixture
def no_sensitivity(monkeypatch: pytest.MonkeyPatch) -> None:
    """QBitOpt's first allocation fails: what is refused is refused before it."""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a sensitivity was computed first")

    monkeypatch.setattr("qexplore.qat.qbitopt.fit_of", never)


@pytest.mark.usefixtures("no_sensitivity")
@pytest.mark.parametrize("trained", TRAINED, ids=["qat", "qbitopt"])
def test_ranges_of_single_images_are_not_trained(trained: tuple[str, dict[str, Any]]) -> None:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    network.set_dynamic(True)
    with pytest.raises(QexploreError, match="set dynamic: false in the step 'activation-ranges'"):
        done(network, seen, trained)


@pytest.mark.usefixtures("no_sensitivity")
@pytest.mark.parametrize("trained", TRAINED, ids=["qat", "qbitopt"])
@pytest.mark.parametrize(
    ("specs", "words"),
    [
        ({"weights": {"symmetric": False}}, "lies on an asymmetric grid: set weights.symmetric to true"),
        ({"weights": {"power_of_two": True}}, "power-of-two scale, which cannot be learned: set learn: false"),
        ({"activations": {"symmetric": True, "power_of_two": True}}, "power-of-two scale, which cannot be learned"),
    ],
)
def test_grids_that_cannot_be_trained_are_refused_in_one_sentence(
    specs: dict[str, Any], words: str, trained: tuple[str, dict[str, Any]]
) -> None:
    seen = calibration((3, 8, 8))
    with pytest.raises(QexploreError, match=words):
        done(quantized(built("add-relu")[0], seen, **specs), seen, trained)


def test_one_training_image_is_too_few() -> None:
    seen = calibration((3, 8, 8), images=1)
    with pytest.raises(QexploreError, match="The training part has 1 images; training needs at least 2"):
        done(quantized(built("add-relu")[0], seen), seen, ("qat", QUICK))


class Reversed(nn.Module):
    """A transposed convolution, which is no layer whose weights are trained."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(x).mean((2, 3))


@pytest.mark.parametrize("step", ["qat", "prune", "qbitopt"])
def test_a_network_in_which_nothing_is_trained_says_so(step: str) -> None:
    from qexplore.network import Network

    seen = calibration((3, 8, 8))
    network = Network.of(Reversed().eval(), seen.data.batch_of("train", [0])[0])
    settings: dict[str, Any] = {**QUICK, **({"activation_bits": 4} if step == "qbitopt" else {})}
    if step != "prune":
        network, settings = quantized(Reversed().eval(), seen), {**settings, "learn": False}
    with pytest.raises(QexploreError, match="Nothing is trained in this network: it has no convolution and no linear"):
        done(network, seen, (step, settings))


def test_where_there_are_ranges_alone_they_are_trained() -> None:
    seen = calibration((3, 8, 8))
    network = quantized(Reversed().eval(), seen, bits=3)
    before = {name: network.fitted(network.site(name), 3).grid.scale for name in network.bits}
    network = done(network, seen, ("qat", {**QUICK, "quantizer_rate": 0.05}))
    assert all(not torch.equal(network.fitted(network.site(n), 3).grid.scale, old) for n, old in before.items())


@pytest.mark.parametrize("batch", [1, 2, 23, 24, 10_000])
def test_a_batch_may_have_any_size(batch: int) -> None:
    seen = calibration((3, 8, 8), images=24 if batch > 1 else 4)
    done(quantized(built("add-relu")[0], seen), seen, ("qat", {"epochs": 1, "batch": batch}))


def test_bits_that_a_recipe_gives_a_site_are_not_changed_with_those_of_all() -> None:
    from qexplore.network import Own

    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, bits=8)
    network.set_own("head.out", Own(bits=8))
    network = done(network, seen, ("qat", {**QUICK, "weight_bits": 3, "activation_bits": 4}))
    bits = network.bits
    assert bits.pop("head.out") == 8
    assert {bits[site.name] for site in network.sites if site.kind == "weight"} == {3}
    assert {bits[site.name] for site in network.sites if site.name in bits and site.kind == "activation"} == {4}


@pytest.mark.parametrize("quantizers", OPTIMIZERS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_decay_is_for_weights_alone(optimizer: str, quantizers: str) -> None:
    from qexplore.qat.optimizing import Optimizers
    from qexplore.qat.quantizers import quantizers_of
    from qexplore.qat.trainable import Trainable

    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, fold=False)
    trainable = Trainable(network, quantizers_of(network, learn=True), "keep")
    settings = Settings(optimizer=optimizer, quantizer_optimizer=quantizers, decay=0.3, rate=0.1, quantizer_rate=0.01)
    optimizers = Optimizers(trainable, settings)
    names = {id(p): name for name, p in {**trainable.latent(), **trainable.learned()}.items()}
    groups = [group for each in optimizers.all for group in each.param_groups]
    decays = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    rates = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert set(decays) == set(names.values())
    assert all(decay == (0.3 if name.startswith("weight.") else 0) for name, decay in decays.items())
    assert all(rate == (0.01 if name.startswith(("size.", "offset.")) else 0.1) for name, rate in rates.items())


def test_scales_move_by_sgd_as_lsq_moves_them_and_at_other_bits_too() -> None:
    from qexplore.qat.optimizing import Optimizers
    from qexplore.qat.quantizers import quantizers_of
    from qexplore.qat.trainable import Trainable

    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    trainable = Trainable(network, quantizers_of(network, learn=True), "static")
    optimizers = Optimizers(trainable, Settings(quantizer_optimizer="sgd", momentum=0.0, quantizer_rate=0.3))
    x, _ = seen.data.tensors("train")
    for bits in (8, 3):
        scales = {}
        for name, quantizer in trainable.quantizers.items():
            quantizer.set_bits(bits)
            scales[name] = quantizer.scale.detach().clone()
        optimizers.zero()
        trainable(x).square().mean().backward()
        wanted = {}
        for name, quantizer in trainable.quantizers.items():
            assert quantizer.size.grad is not None
            to_scale = quantizer.size.grad / quantizer.base
            elements = quantizer.site.numel // len(quantizer.base)
            wanted[name] = scales[name] - 0.15 * to_scale / (elements * quantizer.spec.qmax) ** 0.5
        optimizers.step(0.5)
        for name, quantizer in trainable.quantizers.items():
            assert torch.allclose(quantizer.scale.detach(), wanted[name], rtol=1e-5), name
            assert not torch.equal(quantizer.scale.detach(), scales[name]), name
