"""A task opens by name, or holds a network and images of one's own; what is missing is named."""

import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.zoo.outputs import checked_output

X, Y = torch.rand(12, 1, 8, 8), torch.arange(12) % 10
DATA = qx.Data(calibration=(X[:4], Y[:4]), evaluation=(X[4:], Y[4:]))


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(), nn.Flatten(), nn.Linear(144, 10))


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits", "mobilenet-digits-unbalanced"])
def test_a_zoo_task_is_ready_for_use(name: str) -> None:
    task = qx.Task(name)
    assert task.name == name
    assert not any(module.training for module in task.model.modules())
    assert task.example.shape == (1, 1, 8, 8)
    assert task.model(task.example).shape == (1, 10)
    assert {p.dtype for p in task.model.parameters()} == {torch.float32}


def test_names_match_without_regard_to_case_and_dashes() -> None:
    assert qx.Task("ResNet_Digits").name == "resnet-digits"


def test_opening_a_task_leaves_the_global_generator_as_it_was_and_takes_no_time() -> None:
    qx.Task("resnet-digits")
    before, started = torch.get_rng_state(), time.perf_counter()
    qx.Task("mobilenet-digits")
    assert time.perf_counter() - started < 1
    assert torch.equal(torch.get_rng_state(), before)


def test_two_openings_share_no_weights() -> None:
    first, second = qx.Task("mobilenet-digits"), qx.Task("mobilenet-digits")
    with torch.no_grad():
        first.model.classifier.weight.zero_()
    assert bool(second.model.classifier.weight.detach().any())


class Saying(nn.Module):
    """Logits that went through a function."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.change = network(), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.layers(x))


UNLIKE = {
    "complex": (lambda y: y + 1j, r"Saying gives complex64 numbers of the shape \[1, 10\]; logits are floating-point"),
    "classes": (lambda y: y.argmax(1, keepdim=True), r"gives int64 numbers of the shape \[1, 1\]"),
    "three sides": (lambda y: y[:, None], r"gives \[1, 1, 10\] for one image; logits are \[1, classes\]"),
    "no class": (lambda y: y[:, :0], r"gives \[1, 0\] for one image; logits are \[1, classes\]"),
}


@pytest.mark.parametrize("case", UNLIKE)
def test_what_is_no_logits_is_told_with_its_shape(case: str) -> None:
    change, sentence = UNLIKE[case]
    with pytest.raises(QexploreError, match=sentence):
        qx.Task(model=Saying(change), data=DATA)


def test_a_norm_that_needs_several_images_is_named_with_a_way_out() -> None:
    norm = nn.BatchNorm1d(64, track_running_stats=False)
    with pytest.raises(QexploreError, match=r"its batch norm 1 has no running statistics.*track_running_stats=True"):
        qx.Task(model=nn.Sequential(nn.Flatten(), norm, nn.Linear(64, 10)), data=DATA)


class Ramp(nn.Module):
    """Makes a tensor in its first forward for each size of batch, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[int, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kept.setdefault(len(x), torch.linspace(0.5, 1, 8))


def keeping() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 1, 1), Ramp(), network())


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


@pytest.mark.parametrize("make", [lazy, keeping])
def test_what_a_network_makes_in_its_first_forward_can_still_be_trained(make: Callable[[], nn.Module]) -> None:
    task = qx.Task(model=make(), data=DATA)
    assert 0 <= qx.run(task, "w8a8").fp32_accuracy.value <= 1
    qx.sensitivity(task, metric="sqnr", bits=(4,))
    task.model.train()
    for part in (X[:4], X[4:]):
        nn.functional.cross_entropy(task.model(part), Y[: len(part)]).backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in task.model.parameters() if p.grad is not None)
    assert qx.Task(model=task.model, data=DATA).model is task.model


def test_ones_own_network_is_the_very_module_in_eval_mode() -> None:
    model = network()
    weights = [p.clone() for p in model.parameters()]
    task = qx.Task(model=model, data=DATA, example=X, name="mine")
    assert task.model is model
    assert not any(module.training for module in model.modules())
    assert all(torch.equal(a, b) and b.requires_grad for a, b in zip(weights, model.parameters()))
    assert task.name == "mine"
    assert torch.equal(task.example, X[:1])
    assert qx.Task(model=model, data=DATA).name == "Sequential"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (DATA, X[:1]),
        (qx.Data(evaluation=TensorDataset(X[4:], Y[4:])), X[4:5]),
        (qx.Data(train=(X[6:], Y[6:])), X[6:7]),
    ],
)
def test_without_an_example_the_first_image_serves(data: qx.Data, expected: Tensor) -> None:
    assert torch.equal(qx.Task(model=network(), data=data).example, expected)


def test_layers_that_learn_their_size_from_the_first_image_are_taken() -> None:
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    task = qx.Task(model=lazy, data=DATA)
    assert list(task.model[1].weight.shape) == [3, X[0].numel()]


def holed() -> nn.Module:
    model = network()
    with torch.no_grad():
        model[0].weight[1, 0, 2, 2] = float("nan")
    return model


class Several(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": x.flatten(1), "aux": x}


class Two(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x.flatten(1) * mask


class OneByOne(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.view(1, 64)


def unfilled() -> nn.Module:
    with torch.device("meta"):
        return network()


LAST = qx.Data(calibration=(torch.rand(9, 8, 8, 3), torch.arange(9) % 3))


def rgb() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(network().eval(), X[:1])


WRONG = {
    "nothing": ({}, r"needs model=, a torch\.nn\.Module, not nothing; or name one of the zoo: mobilenet-digits"),
    "no data": ({"model": network()}, r"needs data=qx\.Data\(calibration=…, evaluation=…\), not nothing"),
    "a folder": ({"model": network(), "data": "photos"}, r"opened by qx\.Task\.of\(model, 'folder:photos'\)"),
    "a path": ({"model": network(), "data": Path("a/b")}, r"opened by qx\.Task\.of\(model, 'folder:a/b'\)"),
    "a file": ({"model": network(), "data": "x.npz"}, r"opened by qx\.Task\.of\(model, 'npz:x\.npz'\)"),
    "its images": ({"model": network(), "data": "cifar10"}, r"opened by qx\.Task\.of\(model, 'cifar10'\)"),
    "names": ({"model": "timm:resnet18", "data": "x"}, r"opened by qx\.Task\.of\('timm:resnet18', 'folder:x'\)"),
    "a name": ({"model": "timm:resnet18", "data": DATA}, r"opened by qx\.Task\.of\('timm:resnet18', data\)"),
    "no model": ({"data": DATA}, "needs model="),
    "a class": ({"model": nn.Linear, "data": DATA}, "needs model=, .* not 'type'"),
    "bare tensors": ({"model": network(), "data": (X, Y)}, "needs data=.* not 'tuple'"),
    "empty data": ({"model": network(), "data": qx.Data()}, "neither images nor an example"),
    "NaN weights": ({"model": holed(), "data": DATA}, r"model's 0\.weight holds NaN"),
    "a number": ({"model": network(), "data": DATA, "example": 3}, "example must be .* not 'int'"),
    "bytes": ({"model": network(), "data": DATA, "example": X.byte()}, r"not torch\.uint8 \[12, 1, 8, 8\]"),
    "empty example": ({"model": network(), "data": DATA, "example": X[:0]}, r"not torch\.float32 \[0, 1, 8, 8\]"),
    "NaN example": ({"model": network(), "data": DATA, "example": X / 0}, "example holds NaN"),
    "other channels": (
        {"model": network(), "data": DATA, "example": torch.rand(1, 3, 8, 8)},
        r"shape \[1, 3, 8, 8\], the",
    ),
    "a dictionary": ({"model": Several(), "data": DATA}, "returns a dict with 'out', 'aux', not one tensor of logits"),
    "too few channels": ({"model": rgb(), "data": DATA}, "have 1 channel and Sequential takes 3: give RGB images"),
    "two inputs": ({"model": Two(), "data": DATA}, r"Two needs more inputs than images \('mask'\): wrap it in"),
    "no numbers": ({"model": unfilled(), "data": DATA}, r"has no numbers in 0\.weight, which lies on torch's meta"),
    "channels last": (
        {"model": rgb(), "data": LAST},
        r"images \[8, 8, 3\] have their channels last .* x\.transpose\(0, 3",
    ),
    "TorchScript": ({"model": scripted(), "data": DATA}, "by TorchScript, .*: give the module it was made from"),
    "a taken name": ({"name": "resnet-digits", "model": network(), "data": DATA}, "belongs to the zoo"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_makes_no_task_gets_one_sentence(case: str) -> None:
    words, sentence = WRONG[case]
    with pytest.raises(QexploreError, match=sentence) as told:
        qx.Task(**words)
    assert "\n" not in str(told.value)


def test_a_network_for_batches_of_one_is_told_how_to_write_shapes() -> None:
    with pytest.raises(QexploreError, match=r"runs on one image and not on a batch of 4 .*: write shapes with -1"):
        checked_output(OneByOne(), X[:4], "mine")


def test_an_unknown_task_is_told_the_nearest_ones() -> None:
    with pytest.raises(UnknownName, match="no task 'resnet-digit'; did you mean 'resnet-digits'"):
        qx.Task("resnet-digit")
