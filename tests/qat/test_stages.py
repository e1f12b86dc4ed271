"""What a training leaves for the steps after it: estimators of ranges, and no statistics of weights that are gone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from qexplore.errors import QexploreError
from qexplore.network import Network, Own
from qexplore.ptq import Calibration
from qexplore.ptq.expectation import compare_means
from qexplore.qat import steps
from qexplore.report import Event, Report
from tests.network.nets import built
from tests.qat.small import QUICK, calibration, done, quantized

TRAINED = ("qat", {**QUICK, "epochs": 1})


@pytest.fixture
def seen() -> Calibration:
    return calibration((3, 8, 8))


def normed(seen: Calibration, *after: Any) -> Network:
    """A folded network, of every activation of which batch norms tell, but for that of its input."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    network = Network.of(model.eval(), seen.data.batch_of("train", [0])[0])
    return done(network, seen, "fold-bn", *after)


def test_a_second_training_at_other_bits_finds_ranges_by_the_estimators_of_the_sites(
    seen: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = normed(seen)
    network.set_own("input", Own(estimator=("percentile", {"percent": 80.0})))
    ranged = ("activation-ranges", {"logits": "cross-entropy"})
    network = done(network, seen, "weight-ranges", ranged, TRAINED)
    learned = network.fitted(network.site("input"), 8).range
    assert torch.equal(learned.hi, network.own["input"].range.hi)  # type: ignore[union-attr]
    starts = list[tuple[str, float, float]]()

    def spy(given: Network, *rest: Any, **more: Any) -> Network:
        starts.append((given.estimator(given.site("8.out"))[0], *_percentiles(given)))
        return original(given, *rest, **more)

    original = steps.fine_tune
    monkeypatch.setattr(steps, "fine_tune", spy)
    done(network, seen, ("qat", {**TRAINED[1], "activation_bits": 6}))
    ((estimator, hi, quantile),) = starts
    assert estimator == "cross-entropy"
    assert hi == pytest.approx(quantile, rel=0.1)


def _percentiles(network: Network) -> tuple[float, float]:
    """The upper end of the input's grid, and what 80 % of its values lie below."""
    site = network.site("input")
    return float(network.fitted(site, 6).grid.span.hi), float(network.values(site).quantile(0.8))


@pytest.mark.parametrize("step", [("prune", {**QUICK, "epochs": 1, "sparsity": 0.3}), TRAINED])
def test_statistics_of_norms_that_were_folded_before_a_training_are_gone_after_it(step: Any, seen: Calibration) -> None:
    network = normed(seen)
    assert not compare_means(network, seen).empty
    if step is TRAINED:
        network = done(network, seen, "weight-ranges", "activation-ranges")
    network = done(network, seen, step)
    assert all(layer.mean is None and layer.std is None for layer in network.layers.values())
    assert compare_means(network, seen).empty


def test_statistics_of_norms_that_were_trained_are_those_of_the_training(seen: Calibration) -> None:
    network = quantized(built("add-relu")[0], seen, fold=False)
    network = done(network, seen, ("qat", {**QUICK, "rate": 0.1, "batch_norm": "keep"}))
    second = network.layers["second.0"]
    assert second.mean is not None
    assert not torch.equal(second.mean, built("add-relu")[0].second[1].bias)


@pytest.mark.parametrize(
    ("step", "settings", "before"),
    [("absorb-high-bias", {}, ()), ("correct-bias", {"method": "analytic"}, ("weight-ranges",))],
)
def test_a_step_that_asks_norms_of_which_none_tells_says_so(
    step: str, settings: dict[str, Any], before: tuple[str, ...], seen: Calibration
) -> None:
    network = normed(seen, ("prune", {**QUICK, "epochs": 1, "sparsity": 0.3}), *before)
    biases = {name: layer.bias.clone() for name, layer in network.layers.items() if layer.bias is not None}
    events = list[Event]()
    steps.STEPS.get(step)(network, seen, Report(events.append), **settings)
    (told,) = [event["text"] for event in events if event["event"] == "log"]
    assert told.startswith(f"{step}: no batch norm")
    assert all(torch.equal(network.layers[name].bias, bias) for name, bias in biases.items())  # type: ignore[arg-type]


def test_a_range_by_norms_that_are_gone_is_refused_and_that_of_the_images_stays(seen: Calibration) -> None:
    told = ("activation-ranges", {"method": "batch-norm", "input": [-3, 3]})
    network = normed(seen, "weight-ranges", told, TRAINED)
    assert set(network.bands) == {"input"}
    with pytest.raises(QexploreError, match=r"'0\.out' has a range that no batch norm tells"):
        done(network, seen, ("qat", {**TRAINED[1], "activation_bits": 6}))
