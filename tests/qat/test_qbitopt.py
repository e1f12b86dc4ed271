"""QBitOpt never leaves its budget, and what it goes by is the Fisher information and the error of the grids."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn import functional as F

from qexplore.allocate import InfeasibleBudget, cost
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, Own
from qexplore.network.table import identity
from qexplore.numerics import quantize
from qexplore.ptq import STEPS, Calibration
from qexplore.qat.fisher import MEASURED, MODELLED, Fisher, modelled
from qexplore.qat.qbitopt import Allocation, Reallocation, first_allocation
from qexplore.qat.quantizers import Quantizer, quantizers_of
from qexplore.qat.settings import Settings
from qexplore.qat.training import Training
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import QUICK, Memory, calibration, quantized, same, weights_of

SEEN = calibration((3, 8, 8))
SHORT = {"epochs": 1, "batch": 6, "rate": 0.02, "every": 1, "freeze": 0.2}


def run(given_settings: dict[str, Any], network: Network | None = None) -> tuple[Network, list[Event]]:
    events: list[Event] = []
    network = network or quantized(built("concat-relu")[0], SEEN)
    network = STEPS.get("qbitopt")(network, SEEN, Report(events.append), **{**SHORT, **given_settings})
    return network, [event for event in events if event["event"] == "allocation"]


def assert_within(network: Network, bits: dict[str, int], budget: dict[str, float]) -> None:
    """The budget in whole numbers: bits times elements, and multiplications times bits times bits."""
    for kind in ("weight", "activation"):
        sites = [site for site in network.sites if site.kind == kind]
        spent, elements = sum(bits[site.name] * site.numel for site in sites), sum(site.numel for site in sites)
        if f"{kind}_bits" in budget:
            assert spent <= budget[f"{kind}_bits"] * elements
        if kind == "weight" and "kb" in budget:
            assert spent <= budget["kb"] * 8000
    if "gbops" in budget:
        layers = [site for site in network.sites if site.kind == "weight"]
        assert sum(site.macs * bits[site.name] * bits[site.source] for site in layers) <= budget["gbops"] * 10**9


def whole(network: Network) -> dict[str, float]:
    """What one bit everywhere costs, in the units of each limit."""
    weights = [site for site in network.sites if site.kind == "weight"]
    return {
        "weight_bits": 1.0,
        "activation_bits": 1.0,
        "kb": sum(site.numel for site in weights) / 8000,
        "gbops": sum(site.macs for site in weights) / 10**9,
    }


LIMITS = st.dictionaries(
    st.sampled_from(("weight_bits", "activation_bits", "kb", "gbops")), st.floats(1.5, 9), min_size=1
)


@settings(deadline=None, max_examples=12, suppress_health_check=list(HealthCheck))
@example({"weight_bits": 4.0, "activation_bits": 4.0}, 3, 6, False, "model")
@given(LIMITS, st.integers(2, 4), st.integers(4, 8), st.booleans(), st.sampled_from(("measured", "model")))
def test_every_allocation_meets_every_budget_in_whole_numbers(
    times: dict[str, float], least: int, most: int, exact: bool, error: str
) -> None:
    network = quantized(built("concat-relu")[0], SEEN)
    unit = whole(network)
    budget = {name: (value**2 if name == "gbops" else value) * unit[name] for name, value in times.items()}
    lowest = {name: (least**2 if name == "gbops" else least) * unit[name] for name in times}
    # At 0.02 some of these settings silence so small a network within its four steps.
    given_settings = {**budget, "least": least, "most": most, "exact": exact, "error": error, "rate": 0.005}
    if any(budget[name] < lowest[name] for name in times):
        with pytest.raises(InfeasibleBudget):
            run(given_settings, network)
        return
    network, allocations = run(given_settings, network)
    assert len(allocations) == 4  # the first, and after steps 1, 2 and 3 of 4; the last fifth is frozen
    for event in allocations:
        assert_within(network, event["bits"], budget)
        assert set(event["bits"]) == {site.name for site in network.sites}
        assert all(least <= bits <= most for bits in event["bits"].values())
        groups = {site.tied: event["bits"][site.name] for site in network.sites}
        assert all(event["bits"][site.name] == groups[site.tied] for site in network.sites)
        assert event["budget"] == budget
        for name, limit in budget.items():
            assert event["cost"][name] <= limit * (1 + 1e-12)
    assert network.bits == allocations[-1]["bits"]
    assert [event["frozen"] for event in allocations] == [False, False, False, True]


def test_bits_go_where_they_are_needed_and_the_budget_is_used() -> None:
    network, allocations = run({"weight_bits": 3.0, "activation_bits": 4.0})
    assert len(set(network.bits.values())) > 1
    assert allocations[-1]["cost"]["weight_bits"] > 2.7
    assert allocations[-1]["exact"]


def test_a_training_starts_from_ranges_that_go_with_its_first_bits() -> None:
    """Ranges of 2 bits clip what 8 bits could hold, and learning is slow to open them again."""
    network, other = (quantized(built("concat-relu")[0], SEEN, bits=2) for _ in range(2))
    start = first_allocation(network, SEEN, Report(), Allocation(weight_bits=4.5, activation_bits=5))
    assert network.bits == start.answer.bits
    assert set(start.before.values()) == {2}
    assert len(set(network.bits.values())) > 1
    assert_within(network, network.bits, {"weight_bits": 4.5, "activation_bits": 5})
    for name, quantizer in quantizers_of(network, learn=True).items():
        found, expected = quantizer.range(), other.fitted(other.site(name), network.bits[name]).grid
        torch.testing.assert_close(found.lo, expected.scale * (expected.qmin - expected.zero))
        torch.testing.assert_close(found.hi, expected.scale * (expected.qmax - expected.zero))


def test_the_hull_is_no_better_than_the_programme() -> None:
    losses = {exact: run({"weight_bits": 3.0, "exact": exact})[1][0]["loss"] for exact in (True, False)}
    assert losses[True] <= losses[False] * (1 + 1e-9)


def test_an_infeasible_budget_is_told_before_anything_is_trained_and_nothing_is_kept() -> None:
    events, memory = list[Event](), Memory()
    seen = calibration((3, 8, 8), keeper=memory, key="0-qbitopt")
    network = quantized(built("concat-relu")[0], seen)
    before = weights_of(network)
    with pytest.raises(InfeasibleBudget, match="the least that is possible is 2; raise the average weight bits"):
        STEPS.get("qbitopt")(network, seen, Report(events.append), **SHORT, weight_bits=1.5)
    assert not memory.states
    assert not any(event["event"].startswith("training") for event in events)
    assert same(weights_of(network), before)


def test_bits_that_the_recipe_gives_a_site_stay() -> None:
    network = quantized(built("concat-relu")[0], SEEN)
    network.set_own("head.out", Own(bits=8))
    network, allocations = run({"weight_bits": 4, "activation_bits": 5}, network)
    assert {event["bits"]["head.out"] for event in allocations} == {8}
    with pytest.raises(QexploreError, match=r"'head.out' has 8 bits of its own, and the menu goes from 2 to 6"):
        run({"weight_bits": 3, "most": 6}, network)


def test_one_kind_alone_is_allocated_where_the_other_is_real() -> None:
    network = quantized(built("concat-relu")[0], SEEN)
    network.set_bits({site.name: None for site in network.sites if site.kind == "activation"})
    network, allocations = run({"weight_bits": 3}, network)
    assert {network.site(name).kind for name in allocations[-1]["bits"]} == {"weight"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({}, "has no budget: set weight_bits, activation_bits, kb or gbops"),
        ({"weight_bits": -1}, "A limit of the budget is 0, which is none, or a positive number"),
        ({"weight_bits": 4, "least": 5, "most": 3}, "The menu of bits goes from 5 to 3: give least ≤ most"),
        ({"weight_bits": 4, "most": 40}, "A grid has 1 to 16 bits"),
        ({"weight_bits": 4, "every": -1}, "Re-allocation needs every ≥ 0"),
        ({"weight_bits": 4, "wait": 0.7, "freeze": 0.7}, "Re-allocation needs"),
        ({"weight_bits": 4, "wait": -0.5}, "Re-allocation needs"),
        ({"weight_bits": 4, "memory": 1.0}, "Re-allocation needs"),
        ({"weight_bits": 4, "error": "modell"}, "did you mean 'model'|unknown|model"),
        ({"weight_bits": 4, "gradients": "answer"}, "no kind of gradients called 'answer'; did you mean 'answers'"),
    ],
)
def test_wrong_plans_are_one_sentence(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(QexploreError, match=words) as told:
        Allocation(**wrong)
    assert "\n" not in str(told.value)


@given(st.integers(1, 400), st.integers(0, 50), st.floats(0, 1), st.floats(0, 1))
def test_moments_of_reallocation_lie_between_the_waiting_and_the_freezing(
    steps: int, every: int, wait: float, freeze: float
) -> None:
    assume(wait + freeze <= 1)
    plan = Allocation(weight_bits=4, every=every, wait=wait, freeze=freeze)
    moments, period = plan.moments(steps), plan.period(steps)
    assert period == (every or min(250, max(1, steps // 30)))
    assert all(at % period == 0 and 0 < at < steps for at in moments)
    assert all(wait * steps - 1e-5 <= at <= (1 - freeze) * steps + 1e-5 for at in moments)
    inside = [at for at in range(period, steps, period) if wait * steps <= at <= (1 - freeze) * steps]
    assert set(inside) <= set(moments)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(x)).mean((2, 3)))


def small(bits: int = 8, images: int = 24, **settings: Any) -> tuple[Network, Training, Calibration]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Small().eval()
    seen = calibration((3, 8, 8), images=images)
    network = quantized(model, seen, bits=bits)
    training = Training(network, seen, Settings(**{**QUICK, **settings}), quantizers_of(network, learn=True))
    return network, training, seen


def seen_by_fisher(training: Training, images: int) -> Fisher:
    fisher = Fisher(0.99)
    fisher.watch(training.trainable.quantizers)
    for x, y in training.images.epoch(0):
        training.loss(x, y).backward()
        fisher.take(images)
    return fisher


def test_traces_of_weights_are_means_of_the_squared_gradients_of_single_images() -> None:
    """Exact where a batch is one image; the trace of the empirical Fisher information, by per-sample gradients."""
    network, training, seen = small(batch=1)
    fisher = seen_by_fisher(training, 1)
    x, y = seen.data.tensors("train")
    model = Small()
    values = {f"{name}.weight": training.trainable.quantized(name).detach() for name in network.layers}
    values |= {f"{name}.bias": layer.bias for name, layer in network.layers.items() if layer.bias is not None}

    def loss(values: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, values, (image[None],)), label[None])

    gradients = vmap(grad(loss), in_dims=(None, 0, 0))(values, x, y)
    for name in ("conv.weight", "head.weight"):
        direct = float(gradients[name].flatten(1).square().sum(1).mean())
        # Activations are quantized to 8 bits in the one and real in the other.
        assert fisher.traces[name] == pytest.approx(direct, rel=0.05)


@pytest.mark.parametrize("batch", [1, 8])
def test_traces_of_activations_are_exact_at_every_batch_size(batch: int) -> None:
    _, training, seen = small(batch=batch)
    fisher = seen_by_fisher(training, batch)
    x, y = seen.data.tensors("train")
    logits = training.trainable(x).detach().requires_grad_()
    per_image = torch.stack(
        [torch.autograd.grad(F.cross_entropy(logits[i : i + 1], y[i : i + 1]), logits)[0][i] for i in range(len(x))]
    )
    assert fisher.traces["head.out"] == pytest.approx(float(per_image.square().sum(1).mean()), rel=1e-4)


def test_batches_of_many_images_estimate_the_same_trace_of_weights_where_gradients_are_noise() -> None:
    """With labels at random and logits near zero what they have in common is small."""
    traces = {}
    for batch in (1, 8):
        _, training, _ = small(batch=batch, images=640)
        with torch.no_grad():
            training.trainable.weights["head"].mul_(0.01)
            training.trainable.biases["head"].zero_()
        traces[batch] = seen_by_fisher(training, batch).traces
    # Means over the last hundred steps, or over eighty, differ by their own noise.
    assert traces[8]["head.weight"] == pytest.approx(traces[1]["head.weight"], rel=0.4)


def one_by_one(training: Training) -> dict[str, float]:
    """Mean over single images of Σ g², g the gradient to what the site's quantizer gives; of a weight that layers share
    the sum of theirs, its first site alone.
    """
    quantizers, sums = training.trainable.quantizers, dict[str, float]()
    found: dict[str, Tensor] = {}

    def look(name: str) -> Any:
        def seen(gradient: Tensor, unit: float) -> None:
            first = quantizers[name].site.tied if name.endswith("weight") else name
            found[first] = found.get(first, torch.zeros(())) + gradient / unit

        return seen

    for name, quantizer in quantizers.items():
        quantizer.seen = look(name)
    x, y = training.images.data.tensors("train")
    for image, label in zip(x.split(1), y.split(1), strict=True):
        found.clear()
        training.loss(image, label).backward()
        for name, gradient in found.items():
            sums[name] = sums.get(name, 0.0) + float(gradient.double().square().sum()) / len(x)
    for quantizer in quantizers.values():
        quantizer.seen = None
    return sums


class Leaning(nn.Module):
    """A weight that two layers share, between two of their own, and logits that lean to one class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 5)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([3.0, 0.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.again(F.relu(self.again(F.relu(self.conv(x))))))
        return self.head(x.mean((2, 3)))


def leaning(batch: int, images: int = 800, **settings: Any) -> Training:
    """A training at 2 bits of a network far from its minimum: what the images' gradients have in common is large."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Leaning().eval()
    seen = calibration((3, 8, 8), images=images)
    network = quantized(model, seen, bits=2)
    given_settings = Settings(**{**QUICK, "batch": batch, **settings})
    return Training(network, seen, given_settings, quantizers_of(network, learn=True))


def batch_by_batch(training: Training, *, signed: bool = False) -> dict[str, float]:
    """The traces of Fisher, as plain means, after an epoch in which nothing moves; the parts of a weight that layers
    share in one.
    """
    fisher, found = Fisher(0.999999, signed=signed), dict[str, float]()
    fisher.watch(training.trainable.quantizers)
    for number, (x, y) in enumerate(training.images.epoch(0)):
        training.batch = number  # QuantNoise draws anew
        training.loss(x, y).backward()
        fisher.take(len(y), training.settings.noise)
    for name, trace in fisher.traces.items():
        first = training.network.site(name).tied if name.endswith("weight") else name
        found[first] = found.get(first, 0.0) + trace
    return found


@pytest.fixture(scope="module")
def single() -> dict[str, float]:
    return one_by_one(leaning(1))


@pytest.mark.parametrize(("batch", "tolerance"), [(8, 0.1), (32, 0.25)])
def test_traces_are_those_of_single_images_where_these_have_much_in_common(
    batch: int, tolerance: float, single: dict[str, float]
) -> None:
    """As though they had nothing in common, B times the squares of batches would be several times the trace."""
    found, naive = batch_by_batch(leaning(batch)), batch_by_batch(leaning(batch), signed=True)
    assert found.keys() == single.keys()
    for name in ("conv.weight", "again.weight", "head.weight"):
        assert found[name] == pytest.approx(single[name], rel=tolerance), name
    for name in ("input", "conv.out", "again.out", "again#2.out", "head.out"):
        assert found[name] == pytest.approx(single[name], rel=1e-3), name
    if batch == 32:
        assert naive["head.weight"] > 3 * single["head.weight"]


def test_traces_hang_on_no_noise_of_the_weights(single: dict[str, float]) -> None:
    """QuantNoise hides the gradients of most weights in each step, of other ones in every step."""
    found = batch_by_batch(leaning(8, noise=0.9))
    for name in ("conv.weight", "again.weight", "head.weight"):
        assert found[name] == pytest.approx(single[name], rel=0.25), name


def test_traces_hang_on_no_size_of_single_batches() -> None:
    """Batches of 1 to 32 images, drawn at random, and a short memory: right in the mean over many trials."""
    generator = torch.Generator().manual_seed(0)
    gradients = 0.7 + torch.randn(4096, 6, generator=generator)  # those of single images
    want, found = float(gradients.square().sum(1).mean()), []
    training = leaning(1, images=24)
    for _ in range(200):
        fisher = Fisher(0.8)
        fisher.watch({"head.weight": training.trainable.quantizers["head.weight"]})
        for _ in range(8):
            size = int(torch.randint(1, 33, (1,), generator=generator))
            share = 0.5 + float(torch.rand(1, generator=generator)) / 2
            seen = torch.rand(6, generator=generator) < share
            batch = gradients[torch.randint(4096, (size,), generator=generator)].mean(0)
            fisher._see_whole("head.weight", batch * seen, 1.0)
            fisher.take(size, share)
        found.append(fisher.traces["head.weight"])
    mean, error = float(np.mean(found)), float(np.std(found)) / math.sqrt(len(found))
    assert abs(mean - want) < 3 * error
    assert error < 0.1 * want


def test_the_square_of_a_first_batch_stands_in_until_there_is_another() -> None:
    training, fisher = leaning(8, images=24), Fisher(0.99)
    fisher.watch({"head.weight": training.trainable.quantizers["head.weight"]})
    for slope, want in ((0.5, 8 * 40 * 0.25), (0.7, 40 * (0.49 + 7 * 0.04 / 2)), (0.7, 40 * (0.49 + 7 * 0.04 / 4))):
        fisher._see_whole("head.weight", torch.full((5, 8), slope), 1.0)
        fisher.take(8)
        assert fisher.traces == {"head.weight": pytest.approx(want)}


def test_gradients_that_drift_together_are_no_noise() -> None:
    """As in a training, whose mean gradient is another one from one hundred steps to the next."""
    generator, training = torch.Generator().manual_seed(0), leaning(8, images=24)
    fisher = Fisher(0.99)
    fisher.watch({"head.weight": training.trainable.quantizers["head.weight"]})
    want = 0.0
    for step in range(300):
        mean = math.cos(step / 50)
        want += max(0.01, 1 / (step + 1)) * (40 * (1 + mean**2) - want)
        fisher._see_whole("head.weight", mean + torch.randn(5, 8, generator=generator) / math.sqrt(64), 1.0)
        fisher.take(64)
    assert fisher.traces["head.weight"] == pytest.approx(want, rel=0.1)


def test_asked_for_answers_traces_are_the_fisher_information_of_what_the_network_says() -> None:
    """Σ over classes of p |∇ log p|² of single images, whatever the labels; and no listener is left behind."""
    network, training, seen = small(images=240)
    x, _ = seen.data.tensors("train")
    actor = Reallocation(Allocation(weight_bits=4, gradients="answers", memory=0.9999))
    for at in range(40):
        training.at = at  # other signs
        actor._look(training, [seen.data.tensors("train")])
    assert all(quantizer.seen is None for quantizer in training.trainable.quantizers.values())
    assert all(parameter.grad is None for parameter in training.trainable.latent().values())
    model = Small()
    values = {f"{name}.weight": training.trainable.quantized(name).detach() for name in network.layers}
    values |= {f"{name}.bias": layer.bias for name, layer in network.layers.items() if layer.bias is not None}

    def information(values: dict[str, Tensor], image: Tensor) -> Tensor:
        logits = functional_call(model, values, (image[None],))[0]
        return torch.log_softmax(logits, 0)

    told = vmap(jacrev(information), in_dims=(None, 0))(values, x)
    p = vmap(information, in_dims=(None, 0))(values, x).exp()
    for name in ("conv.weight", "head.weight"):
        direct = float((p * told[name].flatten(2).square().sum(2)).sum(1).mean())
        assert actor.fisher.traces[name] == pytest.approx(direct, rel=0.1)
    # At the logits it is 1 - Σ p²: the trace of diag(p) - p pᵀ.
    assert actor.fisher.traces["head.out"] == pytest.approx(float((1 - p.square().sum(1)).mean()), rel=0.05)


@pytest.mark.parametrize("gradients", ["training", "answers"])
def test_a_training_listens_to_its_own_gradients_only_where_it_goes_by_them(
    gradients: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, plain = list[int](), Fisher.take
    monkeypatch.setattr(Fisher, "take", lambda *given: (taken.append(given[1]), plain(*given)))
    network, allocations = run({"weight_bits": 3.0, "activation_bits": 4.0, "gradients": gradients})
    assert_within(network, network.bits, {"weight_bits": 3.0, "activation_bits": 4.0})
    assert len(allocations) == 4
    # Batches of 6: four before the first step, one a step, or one before each of three allocations.
    assert taken == [6] * (8 if gradients == "training" else 7)


def test_noise_on_the_weights_does_not_shrink_their_traces() -> None:
    plain, noisy = (
        seen_by_fisher(small(batch=1)[1], 1).traces["conv.weight"],
        Fisher(0.99),
    )
    _, training, _ = small(batch=1, noise=0.5)
    noisy.watch(training.trainable.quantizers)
    for number, (x, y) in enumerate(training.images.epoch(0)):
        training.batch = number
        training.loss(x, y).backward()
        noisy.take(1, 0.5)
    assert noisy.traces["conv.weight"] == pytest.approx(plain, rel=0.2)


class Normed(nn.Module):
    """A batch norm behind a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))


@pytest.mark.parametrize("mode", ["static", "keep", "frozen", "double-forward"])
def test_what_is_handed_over_costs_what_was_told_with_the_last_allocation(mode: str) -> None:
    seen = calibration((3, 8, 8))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = quantized(Normed().eval(), seen, fold=False)
    events: list[Event] = []
    settings: dict[str, Any] = {**QUICK, "kb": 0.15, "gbops": 1e-3, "every": 1, "freeze": 0.0, "batch_norm": mode}
    network = STEPS.get("qbitopt")(network, seen, Report(events.append), **settings)
    last = [event for event in events if event["event"] == "allocation"][-1]
    assert last["bits"] == network.bits
    assert len(set(network.bits.values())) > 1
    now = cost(pd.DataFrame([identity(network, site) for site in network.sites]), network.bits)
    assert now == pytest.approx(last["cost"])
    assert now["kb"] <= 0.15


def test_means_move_with_their_memory() -> None:
    fisher = Fisher(0.9)
    values = [float(v) for v in range(1, 30)]
    expected = 0.0
    for step, value in enumerate(values, 1):
        fisher._see("a", torch.tensor([math.sqrt(value)]), 1.0)
        fisher.take(1)
        share = max(0.1, 1 / step)
        expected += share * (value - expected)
    assert fisher.traces["a"] == pytest.approx(expected, rel=1e-5)


def within(values: Tensor, quantizer: Quantizer) -> Tensor:
    """The values, those beyond the present range at its ends."""
    rows, ends = quantizer.spec.slices(values), quantizer.range()
    clipped = torch.minimum(torch.maximum(rows, ends.lo[:, None]), ends.hi[:, None])
    return quantizer.spec.unslice(clipped, values.shape)


def test_a_site_that_has_learned_to_clip_still_gains_by_every_bit() -> None:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, bits=8)
    training = Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True))
    logits = training.trainable.quantizers["head.out"]
    with torch.no_grad():
        logits.size.mul_(0.3)
    fisher = Fisher(0.99)
    fisher.sample(training, seen.data.tensors("train")[0])
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)
    losses = fisher.losses(training, range(2, 9), MEASURED)
    clipping = (fisher._samples["head.out"] - logits.clipped(fisher._samples["head.out"])).square().mean()
    rising = [losses["head.out", bits] for bits in range(2, 9)]
    assert float(clipping) > rising[-1]
    assert all(fewer > 2 * more for fewer, more in pairwise(rising[2:]))
    assert rising[0] > 100 * rising[-1]


@pytest.mark.parametrize("granularity", ["tensor", "channel", 5])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_measured_errors_are_those_of_the_grid_and_modelled_ones_those_of_uniform_noise(
    bits: int, granularity: str | int
) -> None:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen, weights={"granularity": granularity})
    training = Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True))
    fisher = Fisher(0.99)
    x, _ = seen.data.tensors("train")
    fisher.sample(training, x)
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)  # so that losses are the errors
    measured, model = (fisher.losses(training, [bits], error) for error in (MEASURED, MODELLED))
    observed = training.trainable.observe(x)
    for name, quantizer in training.trainable.quantizers.items():
        there = quantizer.at(bits)
        values = network.layers[quantizer.site.layer].weight if name.endswith("weight") else observed[name]
        reached = within(values, quantizer)
        direct = (quantize(values, there.spec, there.range()) - reached).detach().double().square().mean()
        tolerance = 1e-3 if name.endswith("weight") else 0.1  # activations: of a sample
        assert measured[name, bits] == pytest.approx(float(direct), rel=tolerance), name
        step = (there.range().hi - there.range().lo) / (2**bits - 1)
        assert model[name, bits] == pytest.approx(float(step.square().mean()) / 12, rel=1e-4)
        assert modelled(quantizer.range(), [bits]) == pytest.approx(modelled(there.range(), [bits]), rel=1e-6)


@pytest.mark.parametrize("granularity", ["channel", 5])
def test_channels_of_zeros_have_no_error_that_a_model_of_noise_would_see(granularity: str | int) -> None:
    seen, (model, _) = calibration((3, 8, 8)), built("add-relu")
    with torch.no_grad():
        model.stem.weight[:4].zero_()
    network = quantized(model, seen, weights={"granularity": granularity})
    training = Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True))
    fisher = Fisher(0.99)
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)
    measured, model_ = (fisher.losses(training, [4], error)["stem.weight", 4] for error in (MEASURED, MODELLED))
    assert model_ == pytest.approx(measured, rel=0.5)


@pytest.mark.parametrize("granularity", ["tensor", "channel", 5])
def test_pruned_weights_have_no_error_that_a_model_of_noise_would_see(granularity: str | int) -> None:
    seen, (model, _) = calibration((3, 8, 8)), built("add-relu")
    network = quantized(model, seen, weights={"granularity": granularity})
    weight = network.layers["stem"].weight
    mask = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.25
    network.set_masks({"stem": mask})
    training = Training(network, seen, Settings(**QUICK), quantizers_of(network, learn=True))
    fisher = Fisher(0.99)
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)
    found = fisher.losses(training, [4], MODELLED)["stem.weight", 4]
    steps = training.trainable.quantizers["stem.weight"].steps_of(weight)
    assert found == pytest.approx(float((steps.square() * mask).double().mean()) / 12, rel=1e-5)


def test_activations_are_sampled_on_the_scales_that_they_are_measured_with() -> None:
    _, training, seen = small(ema=0.9)
    x, _ = seen.data.tensors("train")
    with torch.no_grad():
        for name, size in training.trainable.learned().items():
            size.fill_(0.5 if name.startswith("size") else float(size))  # the averages stay where they were
    fisher = Fisher(0.99)
    fisher.sample(training, x)
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)
    with training.evaluating(averaged=False), torch.no_grad():
        observed = training.trainable.observe(x)
    for name, quantizer in training.trainable.quantizers.items():
        if quantizer.site.kind == "activation":
            values, there = observed[name], quantizer.at(3)
            error = quantize(values, there.spec, there.range()) - within(values, quantizer)
            direct = float(error.detach().double().square().mean())
            assert fisher.losses(training, [3], MEASURED)[name, 3] == pytest.approx(direct, rel=0.1), name


def test_the_settings_of_training_and_of_allocation_have_names_of_their_own() -> None:
    from qexplore.qat.settings import defaults_of

    assert not set(defaults_of(Settings)) & set(defaults_of(Allocation))


def test_an_unknown_error_is_an_unknown_name() -> None:
    with pytest.raises(UnknownName):
        Allocation(weight_bits=4, error="guess")


@pytest.mark.parametrize(("size", "batch"), [(32, 64), (16, 256)])
def test_the_sample_of_an_activation_sees_all_of_it_whatever_its_size(size: int, batch: int) -> None:
    seen = calibration((3, size, size), images=batch)
    border = torch.zeros(1, 1, size, size)
    border[..., 0] = border[..., 0, :] = 1.0  # what a stride that falls in step with the rows looks at
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)
    )
    network = quantized(model.eval(), seen)
    training = Training(network, seen, Settings(epochs=1, batch=batch), quantizers_of(network, learn=True))
    x, _ = seen.data.tensors("train")
    fisher = Fisher(0.99)
    fisher.sample(training, 4 * border + x)
    fisher.traces = dict.fromkeys(training.trainable.quantizers, 2.0)
    measured = fisher.losses(training, [3], MEASURED)
    for name, value in training.trainable.observe(4 * border + x).items():
        there = training.trainable.quantizers[name].at(3)
        reached = within(value, training.trainable.quantizers[name])
        direct = (quantize(value, there.spec, there.range()) - reached).detach().double().square().mean()
        assert measured[name, 3] == pytest.approx(float(direct), rel=0.15), name


def test_without_quantized_weights_there_is_nothing_to_allocate_by() -> None:
    seen = calibration((3, 8, 8))
    network = quantized(built("add-relu")[0], seen)
    with pytest.raises(QexploreError, match="noise"):
        STEPS.get("qbitopt")(network, seen, Report(), **QUICK, noise=0.0, weight_bits=4, activation_bits=4)
