"""The Hessian's traces against Hessians that are formed entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.allocate.sensitivity import sensitivity_table
from qexplore.allocate.sensitivity.hessian import traces
from qexplore.errors import QexploreError
from qexplore.network import Network
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report


class Small(nn.Module):
    """Two layers and a ReLU, as its parts and as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.first(x)))


@pytest.fixture(scope="module")
def task() -> qx.Task:
    torch.manual_seed(1)
    part = torch.randn(10, 3), torch.randint(0, 3, (10,))
    return qx.Task(model=Small(), data=qx.Data(calibration=part, evaluation=part), example=part[0][:1])


@pytest.fixture(scope="module")
def network(task: qx.Task) -> Network:
    return prepare(task, Recipe.load("w8a8"))


@pytest.fixture(scope="module")
def formed(task: qx.Task) -> dict[str, float]:
    """Site → trace of the Hessian, formed explicitly."""
    model, (x, y) = task.model, task.data.tensors("calibration")
    first, last = model.first, model.last

    def from_first(weight: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(F.relu(F.linear(x, weight, first.bias)), last.weight, last.bias), y)

    def from_last(weight: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(F.relu(first(x)), weight, last.bias), y)

    def trace(function: object, at: Tensor) -> float:
        hessian = torch.autograd.functional.hessian(function, at.detach())
        return float(hessian.reshape(at.numel(), at.numel()).trace())

    def each(function: object, values: Tensor) -> float:
        return sum(trace(lambda v, k=k: F.cross_entropy(function(v), y[k]), values[k]) for k in range(len(y))) / len(y)

    with torch.no_grad():
        hidden = F.relu(first(x))
        logits = last(hidden)
    return {
        "first.weight": trace(from_first, first.weight),
        "last.weight": trace(from_last, last.weight),
        "input": each(model, x),
        "first.out": each(last, hidden),
        "last.out": each(lambda v: v, logits),
    }


def test_traces_are_those_of_the_hessians(task: qx.Task, network: Network, formed: dict[str, float]) -> None:
    found = [traces(network, Calibration(task.data, seed, batch=5), Report(), 10) for seed in range(60)]
    assert set(found[0]) == set(formed)
    for name, want in formed.items():
        values = np.array([each[name] for each in found])
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(values.mean() - want) <= 4 * error + 1e-6, name
        assert error < 0.1 * want, name


class Tied(nn.Module):
    """A layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.again(torch.tanh(self.again(x)))))


def test_the_trace_of_a_weight_that_layers_share_is_that_of_the_one_tensor() -> None:
    """With what the two calls have in common: its second derivatives are not those of each call alone, added up."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Tied().eval()
        part = 2 * torch.randn(10, 3), torch.randint(0, 3, (10,))
    data, (x, y) = qx.Data(calibration=part, evaluation=part), part

    def loss(weight: Tensor) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(model, {"again.weight": weight}, (x,)), y)

    hessian = torch.autograd.functional.hessian(loss, model.again.weight.detach())
    exact = float(hessian.reshape(9, 9).trace())
    network = Network.of(model, x[:1])
    first, second = (site for site in network.sites if site.kind == "weight" and site.layer.startswith("again"))
    found = [traces(network, Calibration(data, seed), Report(), 10) for seed in range(40)]
    values = np.array([each[first.name] + each[second.name] for each in found])
    error = values.std(ddof=1) / np.sqrt(len(values))
    assert abs(values.mean() - exact) <= 4 * error
    assert error < 0.1 * abs(exact)
    assert {first.numel, second.numel} == {4, 5}
    assert all(each[first.name] * second.numel == pytest.approx(each[second.name] * first.numel) for each in found)


def test_more_probes_leave_less_noise(task: qx.Task, network: Network) -> None:
    few, many = (
        np.array([traces(network, Calibration(task.data, s), Report(), n)["first.weight"] for s in range(25)]).std()
        for n in (1, 32)
    )
    assert many < few / 2


def test_the_loss_is_half_the_average_trace_times_the_squared_error(task: qx.Task, network: Network) -> None:
    calibration = Calibration(task.data, 3)
    table, found = (
        sensitivity_table(network, calibration, "hessian_trace", (2, 4)),
        traces(network, calibration, Report()),
    )
    assert set(table["metric"]) == {"hessian-trace"}
    for row in table.itertuples():
        site = network.site(row.site)
        assert row.loss == pytest.approx(
            0.5 * found[row.site] / site.numel * (network.noise(site, row.bits) * site.numel)
        )


def test_on_the_digits_it_ranks_sites_much_as_the_fisher_information_does() -> None:
    one, other = (qx.sensitivity("resnet-digits", metric, bits=(3,)) for metric in ("hessian-trace", "fit"))
    assert (one["loss"] >= 0).all()
    for kind in ("weight", "activation"):
        mine = (one["kind"] == kind).to_numpy()
        rank = one["loss"][mine].rank().corr(other["loss"][mine].rank())
        assert rank > 0.5, kind


def test_the_same_seed_gives_the_same_table(task: qx.Task) -> None:
    one, same, other = (qx.sensitivity(task, "hessian-trace", bits=(3,), seed=seed)["loss"] for seed in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)


class Stepped(torch.autograd.Function):
    """An operation that can be differentiated once."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        return gradient * 2


class Once(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.last = nn.Linear(3, 4), Inner(), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.first(x)))


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = Stepped.apply(x) if x.sum() != 0 else x  # a branch, so that it stays one operation
        return result


def test_an_operation_without_second_derivative_is_told() -> None:
    torch.manual_seed(0)
    part = torch.randn(6, 3), torch.randint(0, 3, (6,))
    task = qx.Task(model=Once(), data=qx.Data(calibration=part, evaluation=part), example=part[0][:1])
    with pytest.raises(QexploreError, match=r"after '(input|first.weight)' has none: take the metric 'fisher'"):
        qx.sensitivity(task, "hessian-trace", bits=(4,))


def test_ranges_that_were_found_without_images_are_told() -> None:
    with pytest.raises(QexploreError, match="ranged without images"):
        qx.sensitivity("resnet-digits", "hessian-trace", bits=(4,), recipe="data-free-w8a8")
