"""Each metric against a slow computation that a reader can check."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.allocate.sensitivity import MENU, METRICS, fit, sensitivity_table
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, cross_entropy, footprint
from qexplore.numerics import quantize
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import prepare
from qexplore.report import Report


class Tiny(nn.Module):
    """A convolution and ReLU6, a residual addition, an average and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act, self.pool, self.last = nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def parts(self, x: Tensor) -> dict[str, Tensor]:
        """Site → the tensor that is quantized there."""
        first = self.act(self.first(x))
        second = self.second(first)
        total = self.act(second + first)
        return {
            "input": x,
            "first.out": first,
            "second.out": second,
            "add.out": total,
            "last.out": self.last(self.pool(total).flatten(1)),
        }

    def forward(self, x: Tensor) -> Tensor:
        first = self.act(self.first(x))
        return self.last(self.pool(self.act(self.second(first) + first)).flatten(1))


@pytest.fixture(scope="module")
def task() -> qx.Task:
    torch.manual_seed(0)
    x, y = 2 * torch.randn(12, 2, 5, 5), torch.randint(0, 3, (12,))
    return qx.Task(model=Tiny(), data=qx.Data(calibration=(x, y), evaluation=(x, y)), example=x[:1])


@pytest.fixture(scope="module")
def network(task: qx.Task) -> Network:
    return prepare(task, Recipe.load("w8a8"))


def losses(table: pd.DataFrame) -> dict[tuple[str, int], float]:
    return {(row.site, row.bits): row.loss for row in table.itertuples()}


def squared_gradients(model: Tiny, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Squared gradient of one image's loss in every weight and activation."""
    parts = model.parts(x.requires_grad_())
    loss = F.cross_entropy(parts["last.out"], y)
    weights = {f"{name}.weight": getattr(model, name).weight for name in ("first", "second", "last")}
    named = {**weights, **parts}
    return dict(zip(named, (g.square() for g in torch.autograd.grad(loss, list(named.values())))))


def test_fit_is_half_the_fisher_information_times_the_squared_error(task: qx.Task, network: Network) -> None:
    bits = (2, 4, 8)
    model, (x, y) = task.model, task.data.tensors("calibration")
    model.requires_grad_(True)
    want = {(site.name, b): 0.0 for site in network.sites for b in bits}
    for image, label in zip(x.split(1), y.split(1)):
        squares, parts = squared_gradients(model, image.clone(), label), model.parts(image)
        for site in network.sites:
            value = network.layers[site.layer].weight if site.kind == "weight" else parts[site.name].detach()
            for b in bits:
                spec, interval, *_ = network.fitted(site, b)
                error = (quantize(value, spec, interval) - value).double().square()
                want[site.name, b] += 0.5 * float((squares[site.name] * error).sum()) / len(x)
    found = losses(sensitivity_table(network, Calibration(task.data, batch=1), "fit", bits))
    assert found == pytest.approx(want, rel=1e-3)


def test_fit_of_a_batch_is_in_expectation_that_of_its_images(
    monkeypatch: pytest.MonkeyPatch, task: qx.Task, network: Network
) -> None:
    """What the images of one backward pass have in common does not count as Fisher information."""
    want, seeds = losses(sensitivity_table(network, Calibration(task.data, batch=1), "fit", (3,))), 300
    monkeypatch.setattr(fit, "PASSES", 1)
    sums = dict.fromkeys(want, 0.0)
    for seed in range(seeds):
        for key, value in losses(sensitivity_table(network, Calibration(task.data, seed), "fit", (3,))).items():
            sums[key] += value / seeds
    assert sums == pytest.approx(want, rel=0.15)


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_fit_of_weights_is_that_of_images_taken_one_by_one(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Summed over a batch without signs the gradients of these networks' weights square to 1.3 to 20 times as much."""
    found = losses(qx.sensitivity(name, "fit", bits=(4,)))
    monkeypatch.setattr(fit, "PASSES", 1 << 20)
    alone = losses(qx.sensitivity(name, "fit", bits=(4,)))
    weights = [key for key in alone if key[0].endswith(".weight")]
    assert {key: found[key] for key in weights} == pytest.approx({key: alone[key] for key in weights}, rel=0.15)


def test_a_batch_more_or_less_changes_fit_of_activations_not_at_all(task: qx.Task, network: Network) -> None:
    one, all_at_once = (
        losses(sensitivity_table(network, Calibration(task.data, batch=n), "fit", (3,))) for n in (1, 12)
    )
    for site in network.sites:
        if site.kind == "activation":
            assert all_at_once[site.name, 3] == pytest.approx(one[site.name, 3], rel=1e-3)


@pytest.mark.parametrize("name", ["tiny", "mobilenet-digits", "resnet-digits"])
def test_loss_is_what_a_full_evaluation_measures(name: str, task: qx.Task) -> None:
    task = task if name == "tiny" else qx.Task(name)
    network, bits = prepare(task, Recipe.load("w8a8")), (2, 6)
    found = losses(sensitivity_table(network, Calibration(task.data, limit=100), "loss", bits))
    real = network.uniform(None, None)

    def measured() -> float:
        return cross_entropy(network, task.data.batches("calibration", limit=100))

    with network.using(real):
        before = measured()
    for (site, b), loss in found.items():
        with network.using({**real, site: b}):
            assert loss == pytest.approx(measured() - before, rel=1e-3, abs=2e-5), (site, b)


@pytest.mark.parametrize("name", ["tiny", "mobilenet-digits"])
def test_divergence_is_what_complete_passes_move(name: str, task: qx.Task) -> None:
    task = task if name == "tiny" else qx.Task(name)
    network, bits = prepare(task, Recipe.load("w8a8")), (2, 6)
    found = losses(sensitivity_table(network, Calibration(task.data, limit=100, batch=40), "divergence", bits))
    real, (x, _) = network.uniform(None, None), next(task.data.batches("calibration", size=100, limit=100))

    def answers() -> Tensor:
        with torch.no_grad():
            return F.log_softmax(network(x).double(), dim=1)

    with network.using(real):
        before = answers()
    for (site, b), moved in found.items():
        with network.using({**real, site: b}):
            want = F.kl_div(answers(), before, log_target=True, reduction="batchmean")
        assert moved == pytest.approx(float(want), rel=1e-3, abs=1e-9), (site, b)
        assert moved >= 0


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_fisher_foresees_how_far_the_answers_move(name: str) -> None:
    """In its order of the sites and in nats, where errors are small; better than the labels of a few images do."""
    found = {metric: qx.sensitivity(name, metric, bits=(4, 6, 8)) for metric in ("fit", "fisher", "divergence")}
    for bits in (4, 6, 8):
        fit, fisher, moved = (table[table["bits"] == bits]["loss"] for table in found.values())
        assert spearmanr(fisher, moved).statistic > max(0.65, spearmanr(fit, moved).statistic)
        assert 0.6 < fisher.sum() / moved.sum() < 1.5


def exact_fisher(task: qx.Task, network: Network, bits: tuple[int, ...]) -> dict[tuple[str, int], float]:
    """½ Σ Fⱼⱼ δⱼ² with the expectation over all answers that the network could give, class by class."""
    model, (x, _) = task.model, task.data.tensors("calibration")
    model.requires_grad_(True)
    want = {(site.name, b): 0.0 for site in network.sites for b in bits}
    for image in x.split(1):
        chances, parts = torch.softmax(model(image), dim=1)[0].tolist(), model.parts(image)
        for label, chance in enumerate(chances):
            squares = squared_gradients(model, image.clone(), torch.tensor([label]))
            for site in network.sites:
                value = network.layers[site.layer].weight if site.kind == "weight" else parts[site.name].detach()
                for b in bits:
                    spec, interval, *_ = network.fitted(site, b)
                    error = (quantize(value, spec, interval) - value).double().square()
                    want[site.name, b] += 0.5 * chance * float((squares[site.name] * error).sum()) / len(x)
    return want


def test_fisher_is_the_expectation_over_the_answers_that_the_network_could_give(
    task: qx.Task, network: Network
) -> None:
    want, seeds = exact_fisher(task, network, (3,)), 150
    sums = dict.fromkeys(want, 0.0)
    for seed in range(seeds):
        for key, value in losses(sensitivity_table(network, Calibration(task.data, seed), "fisher", (3,))).items():
            sums[key] += value / seeds
    assert sums == pytest.approx(want, rel=0.1)


@pytest.mark.parametrize("shape", [(4096, 3), (4096, 3, 2, 2), (4096, 5, 3)])
def test_what_fisher_asks_has_the_covariance_of_the_answers(shape: tuple[int, ...]) -> None:
    """At the logits of every position: diag(p) - p pᵀ, over the number of positions."""
    classes = 1 if len(shape) == 4 else -1
    one = torch.randn(1, *shape[1:], dtype=torch.float64)
    logits = one.expand(shape).clone().requires_grad_()
    asked = fit.asked_of_answers(logits, torch.zeros(0), torch.Generator().manual_seed(0))
    (pull,) = torch.autograd.grad(asked, logits)
    each = pull.movedim(classes, -1).reshape(len(pull), -1, shape[classes])  # image, position, class
    found = torch.einsum("npi,npj->pij", each, each) / len(each)
    p = torch.softmax(one, dim=classes).movedim(classes, -1).reshape(-1, shape[classes])
    want = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / len(p)
    assert torch.allclose(found, want, atol=0.03 / len(p))


def test_fisher_and_divergence_need_no_labels(task: qx.Task) -> None:
    x, y = task.data.tensors("calibration")
    others = qx.Data(calibration=(x, (y + 1) % 3), evaluation=(x, y))
    for metric in ("fisher", "divergence"):
        one, other = (
            qx.sensitivity(qx.Task(model=task.model, data=data, example=x[:1]), metric, bits=(3,))["loss"]
            for data in (task.data, others)
        )
        assert one.equals(other)


def test_loss_of_images_that_take_much_memory_is_measured_part_by_part(
    monkeypatch: pytest.MonkeyPatch, task: qx.Task, network: Network
) -> None:
    whole = losses(sensitivity_table(network, Calibration(task.data), "loss", (2, 4)))
    events: list[dict[str, object]] = []
    monkeypatch.setattr(footprint, "UNNOTICED", 0)
    parts = losses(sensitivity_table(network, Calibration(task.data, batch=12), "loss", (2, 4), Report(events.append)))
    assert parts == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert int(str(events[0]["done"])) <= 6


def test_loss_tells_how_far_it_is(task: qx.Task, network: Network) -> None:
    events: list[dict[str, object]] = []
    sensitivity_table(network, Calibration(task.data, batch=5), "loss", (2, 4), Report(events.append))
    done = [event["done"] for event in events if event["text"] == "one site at a time"]
    assert done == sorted(done)
    assert done[-1] == events[-1]["total"] == 12 * 2 * len(network.sites)


def test_sqnr_is_total_noise_over_total_signal(network: Network) -> None:
    table = losses(sensitivity_table(network, Calibration(qx.Data()), "sqnr", (2, 5, 12)))
    for site in network.sites:
        values = network.values(site)
        for b in (2, 5, 12):
            spec, interval, *_ = network.fitted(site, b)
            noise = (quantize(values, spec, interval) - values).double().square().sum()
            assert table[site.name, b] == pytest.approx(float(noise / values.double().square().sum()), rel=2e-3)


def test_a_site_that_is_always_zero_costs_nothing() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    nn.init.constant_(model[0].bias, -100)
    part = (torch.randn(6, 3), torch.tensor([0, 1, 0, 1, 0, 1]))
    task = qx.Task(model=model, data=qx.Data(calibration=part, evaluation=part))
    for metric in METRICS:
        table = qx.sensitivity(task, metric, bits=(2, 8))
        assert bool(np.isfinite(table["loss"]).all())
        assert (table.loc[table["site"] == "0.out", "loss"] == 0).all()


@pytest.mark.parametrize("metric", ["fit", "fisher", "sqnr", "loss", "divergence"])
def test_the_table_has_a_row_for_each_site_and_bits(metric: str, task: qx.Task) -> None:
    table = qx.sensitivity(task, metric, bits=(4, 2, 4))
    columns = ["site", "index", "kind", "layer", "op", "numel", "macs", "tied", "input"]
    columns += ["sparsity", "bitmap", "bits", "loss", "metric"]
    assert list(table.columns) == columns
    assert not table.duplicated(["site", "bits"]).any()
    assert sorted(set(table["bits"])) == [2, 4]
    assert len(table) == 2 * table["site"].nunique()
    assert set(table["metric"]) == {metric}


@pytest.mark.parametrize("metric", ["fit", "fisher", "sqnr"])
def test_expected_losses_fall_with_bits(metric: str) -> None:
    table = qx.sensitivity("resnet-digits", metric)
    wide = table.pivot(index="site", columns="bits", values="loss")
    assert tuple(wide.columns) == MENU
    assert (wide.to_numpy() >= 0).all()
    # Each bit quarters the noise; a range found anew may give a little back.
    assert (np.diff(wide.to_numpy(), axis=1) <= 0.02 * wide.to_numpy()[:, :-1]).all()


def test_same_seed_same_table_another_seed_another_sample() -> None:
    one, same, other = (qx.sensitivity("resnet-digits", "fit", bits=(3,), seed=seed)["loss"] for seed in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)
    assert np.allclose(one, other, rtol=0.5)


def test_scoring_leaves_the_network_as_it_was(task: qx.Task, network: Network) -> None:
    x, _ = task.data.tensors("evaluation")
    before, bits = network(x), network.bits
    for metric in METRICS:
        sensitivity_table(network, Calibration(task.data), metric, (2,))
    assert network.bits == bits
    assert torch.equal(network(x), before)


@pytest.mark.parametrize("bits", [(), (0,), (17,), (2.5,), (True,), ("4",), "48", 8, None])
def test_bits_that_no_grid_has_are_refused(bits: object, task: qx.Task) -> None:
    with pytest.raises(QexploreError, match="1 to 16"):
        qx.sensitivity(task, bits=bits)  # type: ignore[arg-type]


def test_bits_may_come_from_a_table(task: qx.Task) -> None:
    bits = pd.Series([2, 8]).unique()
    assert set(qx.sensitivity(task, "sqnr", bits=bits)["bits"]) == {2, 8}  # type: ignore[arg-type]


def test_an_unknown_metric_is_answered_before_any_work() -> None:
    with pytest.raises(UnknownName, match=r"fitt.*did you mean 'fit'"):
        qx.sensitivity("no such task", "fitt")


def test_a_sample_tells_what_all_values_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    sampled = losses(qx.sensitivity("mobilenet-digits", "fit", bits=(2, 4)))
    monkeypatch.setattr(fit, "SAMPLE", 1 << 40)
    whole = losses(qx.sensitivity("mobilenet-digits", "fit", bits=(2, 4)))
    ratios = np.array([sampled[key] / whole[key] for key in whole])
    assert abs(np.log(ratios)).max() < 0.35
    assert abs(np.log(ratios)).mean() < 0.03


@pytest.mark.parametrize("batch", [1, 7, 256])
def test_a_sample_holds_whatever_the_batch_and_the_size_of_a_site(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SAMPLE", 64)
    torch.manual_seed(0)
    part = (torch.randn(40, 5), torch.randint(0, 3, (40,)))
    task = qx.Task(model=nn.Linear(5, 3), data=qx.Data(calibration=part, evaluation=part))
    network = prepare(task, Recipe.load("w8a8"))
    found = losses(sensitivity_table(network, Calibration(task.data, batch=batch), "fit", (2,)))
    monkeypatch.setattr(fit, "SAMPLE", 1 << 40)
    whole = losses(sensitivity_table(network, Calibration(task.data, batch=batch), "fit", (2,)))
    assert found == pytest.approx(whole, rel=0.5)
