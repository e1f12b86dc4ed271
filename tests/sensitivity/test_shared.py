"""The loss of a weight that several layers share is that of the one tensor, and its sites have parts of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.network import Network
from qexplore.network.divergence import divergence
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare

BITS = (6, 4)


class Thrice(nn.Module):
    """One layer that is called three times, whose errors add up along the way."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.last = nn.Linear(16, 16), nn.Linear(16, 5)
        with torch.no_grad():
            self.again.weight.copy_(torch.eye(16) + 0.075 * torch.randn(16, 16))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.relu(self.again(x))
        return self.last(x)


@pytest.fixture(scope="module")
def task() -> qx.Task:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, x = Thrice().eval(), torch.rand(512, 16)
        with torch.no_grad():
            y = torch.distributions.Categorical(logits=model(x)).sample()
    return qx.Task(model=model, data=qx.Data(calibration=(x, y), evaluation=(x, y)), example=x[:1])


@pytest.fixture(scope="module")
def network(task: qx.Task) -> Network:
    grids = {"weights": {"bits": 6, "granularity": "tensor"}, "steps": ["weight-ranges", "activation-ranges"]}
    return prepare(task, Recipe.from_document({"name": "plain", **grids}))


def shared(network: Network) -> list[str]:
    found = [site.name for site in network.sites if site.kind == "weight" and site.tied == "again.weight"]
    assert len(found) == 3
    return found


def sums(network: Network, task: qx.Task, metric: str) -> dict[int, float]:
    """Of the losses of the three sites; each has a third of them, as of the elements."""
    table = sensitivity_table(network, Calibration(task.data, batch=1), metric, BITS).set_index(["site", "bits"])
    for bits in BITS:
        parts = [table.loc[(name, bits), "loss"] / table.loc[(name, bits), "numel"] for name in shared(network)]
        assert parts == pytest.approx([parts[0]] * 3, rel=1e-6)
    return {bits: sum(float(table.loc[(name, bits), "loss"]) for name in shared(network)) for bits in BITS}


def test_measured_losses_are_those_of_all_its_layers_together(network: Network, task: qx.Task) -> None:
    x, y = task.data.tensors("calibration")
    moved, risen = (sums(network, task, metric) for metric in ("divergence", "loss"))
    with torch.no_grad():
        real = task.model(x)
    for bits in BITS:
        with network.using({**network.uniform(None, None), **dict.fromkeys(shared(network), bits)}):
            logits = network(x)
        assert moved[bits] == pytest.approx(float(divergence(real, logits).mean()), rel=1e-4)
        assert risen[bits] == pytest.approx(float(F.cross_entropy(logits, y) - F.cross_entropy(real, y)), abs=1e-6)


def test_the_fisher_information_is_that_of_the_one_tensor(network: Network, task: qx.Task) -> None:
    x, y = task.data.tensors("calibration")
    site = network.site("again.weight")
    weight = task.model.again.weight.detach()

    def loss(weight: Tensor, image: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(task.model, {"again.weight": weight}, (image[None],))
        return F.cross_entropy(logits, label[None])

    squares = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weight, x, y).square().mean(0).detach()
    found = sums(network, task, "fit")
    for bits in BITS:
        error = network.quantized_weight(site, bits) - weight
        assert found[bits] == pytest.approx(0.5 * float((squares * error.square()).sum()), rel=1e-3)


def test_the_fisher_information_of_the_answers_foresees_their_divergence(network: Network, task: qx.Task) -> None:
    foreseen, moved = (sums(network, task, metric) for metric in ("fisher", "divergence"))
    assert foreseen[6] == pytest.approx(moved[6], rel=0.5)
