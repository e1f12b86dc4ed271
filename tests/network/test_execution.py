"""Execution on the integer grid is fake quantization as the white paper writes it: same codes, ties apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.network import Network, fused
from qexplore.numerics import Range, Spec, quantize
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from tests.network.nets import NETS, built
from tests.network.reference import assert_equals_fake_quantization, calibrated


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("name", NETS)
def test_codes_are_those_of_the_formulas(name: str, bits: int) -> None:
    model, x = built(name)
    assert_equals_fake_quantization(calibrated(model, x, bits, bits), x)


@pytest.mark.parametrize("name", NETS)
def test_without_bits_the_network_is_the_model_and_no_tensor_of_the_caller_changes(name: str) -> None:
    model, x = built(name)
    before = x.clone()
    with torch.no_grad():
        expected = model(x.clone())
    network = Network.of(model, x[:1])
    assert torch.allclose(network(x), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(x, before)
    calibrated(model, x)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["resnet-digits", "mobilenet-digits", "mobilenet-digits-unbalanced"])
@pytest.mark.parametrize("recipe", ["w8a8", "w4a8", "w8a8-per-tensor-equalized"])
def test_the_zoo_has_the_codes_of_the_formulas(name: str, recipe: str) -> None:
    task = qx.Task(name)
    x, _ = task.data.tensors("evaluation", limit=40)
    assert_equals_fake_quantization(prepare(task, Recipe.load(recipe)), x)


@pytest.mark.parametrize("name", ["mobilenet-digits", "mobilenet-digits-unbalanced"])
def test_a_relu6_whose_bound_equalization_has_split_by_channel_has_the_codes_of_the_formulas(name: str) -> None:
    task = qx.Task(name)
    document = Recipe.load("w8a8-per-tensor-equalized").to_document()
    document["steps"] = [step for step in document["steps"] if step != "replace-relu6"]
    network = prepare(task, Recipe.from_document(document))
    assert any(isinstance(op.upper, Tensor) for op in network.graph.ops)
    x, _ = task.data.tensors("evaluation", limit=40)
    assert_equals_fake_quantization(network, x)


@pytest.mark.parametrize("name", ["mobilenet-digits-unbalanced", "resnet-digits"])
def test_batch_norms_that_are_not_folded_run_as_they_are(name: str) -> None:
    task = qx.Task(name)
    x, _ = task.data.tensors("calibration", limit=40)
    network = calibrated(task.model, x)
    assert any(op.kind == "batchnorm" for op in network.graph.ops)
    assert_equals_fake_quantization(network, x)


MIXED = ["conv-read-twice", "add-relu", "concat", "bound-a-channel", "attention", "squeeze-excite", "average-pool"]


@pytest.mark.parametrize("name", [*MIXED, "sequence", "relu-read-twice", "clamp-on-a-shared-grid", "memory"])
def test_any_mixture_of_quantized_and_real_sites_has_the_codes_of_the_formulas(name: str) -> None:
    model, x = built(name)
    network = calibrated(model, x, 4, 4)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        picked = torch.randint(0, 4, (len(network.sites),), generator=generator).tolist()
        bits = {site.name: (None, 2, 5, 8)[pick] for site, pick in zip(network.sites, picked)}
        with network.using(bits):
            assert_equals_fake_quantization(network, x)
    for weights, activations in ((4, None), (None, 4)):
        with network.using(network.uniform(weights, activations)):
            assert_equals_fake_quantization(network, x)


@pytest.mark.parametrize("name", ["view-as-another", "constant-like-another", "max-pool", "view", "chunk"])
def test_a_tensor_lies_on_its_own_grid_whatever_gives_it_its_shape(name: str) -> None:
    model, x = built(name)
    network = calibrated(model, x, 6, 6)
    for site in network.sites:
        with network.using({**network.uniform(None, None), site.name: 4}):
            assert_equals_fake_quantization(network, x)


SPECS = {
    "symmetric activations": (Spec(granularity="channel"), Spec(symmetric=True)),
    "powers of two": (Spec(power_of_two=True), Spec(symmetric=True, power_of_two=True)),
    "a scale for a tensor": (Spec(), Spec(symmetric=False)),
    "asymmetric weights": (Spec(symmetric=False, granularity="channel"), Spec(symmetric=False)),
    "groups of 3": (Spec(granularity=3), Spec(symmetric=False, signed=True)),
}


@pytest.mark.parametrize("specs", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("name", ["conv-relu6", "add-relu", "sigmoid"])
def test_every_kind_of_grid_has_the_codes_of_the_formulas(name: str, specs: tuple[Spec, Spec]) -> None:
    model, x = built(name)
    network = calibrated(model, x, 5, 4, weights=specs[0], activations=specs[1])
    assert_equals_fake_quantization(network, x)


@pytest.mark.parametrize(
    "name", ["conv-relu6", "add-relu6-inplace", "clamp-on-a-shared-grid", "average-pool", "sigmoid"]
)
def test_a_scale_of_exactly_1_is_a_grid_like_any_other(name: str) -> None:
    model, x = built(name)
    network, x = calibrated(model, 40 * x), 40 * x
    whole = Range(torch.tensor([-100.0]), torch.tensor([155.0]))
    with network.fixing({site.name: whole for site in network.sites if site.kind == "activation"}):
        assert all(network.fitted(s, 8).grid.scale == 1 for s in network.sites if s.kind == "activation")
        assert_equals_fake_quantization(network, x)


def test_bounds_off_the_grid_are_rounded_to_it_also_at_scale_1() -> None:
    class Seen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            return F.hardtanh(y, -2.6, 6.4) * y

    model, x = Seen(), 20 * torch.randn(50, 4)
    network = calibrated(model, x)
    with network.fixing({"first.out": Range(torch.tensor([-100.0]), torch.tensor([155.0]))}):
        assert_equals_fake_quantization(network, x)


def test_a_residual_block_equals_its_forward_written_by_hand() -> None:
    """The whole path once more, placed by hand, with the quantizer of the numerics floor after each tensor."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu6(self.stem(x))
            return self.head(F.max_pool2d(F.relu(self.inner(x) + x), 2).mean((2, 3)))

    torch.manual_seed(0)
    model, x = Residual().eval(), torch.randn(16, 1, 8, 8)
    network = calibrated(model, x, 6, 5)

    def q(name: str, value: Tensor) -> Tensor:
        spec, interval, *_ = network.fitted(network.site(name), network.bits[name])
        return quantize(value, spec, interval)

    def w(layer: str) -> Tensor:
        return q(f"{layer}.weight", getattr(model, layer).weight)

    with torch.no_grad():
        first = q("stem.out", F.relu6(F.conv2d(q("input", x), w("stem"), model.stem.bias)))
        inner = q("inner.out", F.conv2d(first, w("inner"), model.inner.bias, padding=1))
        total = q("add.out", F.relu(inner + first))
        pooled = F.max_pool2d(total, 2)
        mean = q("add.out", pooled.mean((2, 3)))
        logits = q("head.out", F.linear(mean, w("head"), model.head.bias))
    assert torch.allclose(network(x), logits, atol=1e-5)
    assert [site.name for site in network.sites] == [
        *("input", "stem.weight", "stem.out", "inner.weight", "inner.out", "add.out", "head.weight", "head.out")
    ]


def test_no_image_gives_no_logits_and_any_memory_order_the_same_ones() -> None:
    task = qx.Task("mobilenet-digits")
    network = prepare(task, Recipe.load("w8a8"))
    x, _ = task.data.tensors("evaluation", limit=8)
    assert network(x[:0]).shape == (0, 10)
    expected = network(x)
    for other in (x.contiguous(memory_format=torch.channels_last), torch.cat([x, x])[8:], x.double(), x.half().float()):
        assert torch.allclose(network(other), expected, atol=1e-2)
    assert torch.equal(network(x.flip(0)).flip(0), expected)


def test_large_activations_are_finished_block_by_block_with_the_same_codes() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU6(), nn.Flatten(2)), torch.randn(5, 3, 96, 96)
    assert_equals_fake_quantization(calibrated(model, x), x)


def test_large_weights_that_are_made_for_each_batch_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    task = qx.Task("mobilenet-digits")
    x, _ = task.data.tensors("evaluation", limit=40)
    network, logits = prepare(task, Recipe.load("w4a8")), []
    for large in (1 << 40, 0):
        monkeypatch.setattr("qexplore.network.network.LARGE", large)
        network.set_bits({})  # which forgets the plan
        logits += [network(x), network(x)]
    assert not torch.equal(logits[0], network.real_plan()(x))
    assert all(torch.equal(logits[0], other) for other in logits)


def test_resuming_from_known_results_leaves_them_as_they_are() -> None:
    model, x = built("inplace-relu-seen-by-another")
    plan, known = Network.of(model, x[:1]).real_plan(), {}
    with torch.no_grad():
        logits = plan.watch(x, known.__setitem__)
        known["input"] = x
        before = {name: value.clone() for name, value in known.items()}
        for start in range(len(plan.steps)):
            assert torch.equal(plan.resume(known, plan.steps[start:]), logits)
    assert all(torch.equal(value, before[name]) for name, value in known.items())


# --- the convolution that clamps inside, made to act on small networks too -------------------------------------------


@pytest.fixture
def fused_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "LARGE", 0)


@pytest.mark.usefixtures("fused_everywhere")
@pytest.mark.parametrize("name", NETS)
def test_convolutions_that_clamp_inside_have_the_codes_of_the_formulas(name: str) -> None:
    model, x = built(name)
    assert_equals_fake_quantization(calibrated(model, x, 5, 5), x)


@pytest.mark.usefixtures("fused_everywhere")
def test_convolutions_that_clamp_inside_take_no_image_and_any_memory_order() -> None:
    task = qx.Task("mobilenet-digits")
    network = prepare(task, Recipe.load("w8a8"))
    x, _ = task.data.tensors("evaluation", limit=8)
    assert network(x[:0]).shape == (0, 10)
    assert torch.allclose(network(torch.cat([x, x])[8:]), network(x), atol=1e-4)


@pytest.mark.parametrize("everywhere", [False, True])
def test_gradients_flow_through_a_plan_that_was_made_for_evaluation(
    everywhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "LARGE", 0 if everywhere else 1 << 40)
    model, x = built("conv-relu6")
    network = calibrated(model, x, None, 4)
    with network.using({"second.out": 8}):
        network(x)
        images = x.clone().requires_grad_()
        network.plan()(images).sum().backward()
    assert images.grad is not None


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize(("bounds", "span"), [((3.0, 6.0), (0.0, 2.0)), ((-6.0, -3.0), (-1.0, 5.0)), ((-1, 1), (0, 0))])
def test_bounds_outside_the_grid_clamp_to_its_nearer_end(
    everywhere: bool, bounds: tuple[float, float], span: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused, "LARGE", 0 if everywhere else 1 << 40)
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardtanh(*bounds), nn.Flatten()), 5 * torch.randn(4, 3, 6, 6)
    network = calibrated(model, x)
    with network.fixing({"0.out": Range(torch.tensor([span[0]]), torch.tensor([span[1]]))}):
        assert_equals_fake_quantization(network, x)


class Twice(nn.Module):
    """Sums whose first term is a layer's result: read by the sum alone, read again, and of another shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(4))
        self.narrow = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x) + x)
        z = self.b(y)
        y = F.relu(z + y) + z
        y = self.narrow(y) + y
        return (self.d(y) + self.d(y) + self.c(y)).flatten(1)


@pytest.mark.parametrize("bits", [None, 8, 3])
def test_sums_that_are_written_over_a_term_equal_those_that_are_not(bits: int | None) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, 3, 9, 9)
    network = calibrated(Twice().eval(), x, 8, 8)
    network.set_bits(network.uniform(bits, bits))
    plan = network.plan()
    assert {step.name for step in plan.steps if step.over} == {"add", "add#5"}
    watched = plan.watch(x, lambda name, value: None)
    assert torch.equal(network(x), watched)
    with torch.no_grad():
        assert torch.equal(plan(x), watched)
        known = plan.begin(x)
        assert torch.equal(plan.resume(known, plan.steps), plan.resume(known, plan.steps))
