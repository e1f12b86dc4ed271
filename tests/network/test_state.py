"""Bits and ranges change in place, what was temporary gives itself back, and a refused change changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, Own
from qexplore.numerics import Range
from tests.network.nets import built
from tests.network.reference import calibrated


@pytest.fixture
def network() -> Network:
    return calibrated(*built("add-relu"))


@pytest.fixture
def x() -> torch.Tensor:
    return built("add-relu")[1]


def test_bits_come_back_after_using_and_after_an_exception_inside(network: Network, x: torch.Tensor) -> None:
    bits, logits = network.bits, network(x)
    with network.using({"stem.weight": 2, "input": None}) as same:
        assert same is network
        assert network.bits == {**{k: v for k, v in bits.items() if k != "input"}, "stem.weight": 2}
        assert not torch.equal(network(x), logits)
        with pytest.raises(ZeroDivisionError), network.using(network.uniform(3, 3)):
            _ = 1 / 0
        assert network.bits["stem.weight"] == 2
    assert network.bits == bits
    assert torch.equal(network(x), logits)


def test_other_sites_come_back_after_some_were_looked_at_alone(network: Network, x: torch.Tensor) -> None:
    sites, logits = network.sites, network(x)
    with network.using(network.uniform(4, None)):
        weights_alone = network(x)
        with network.among(network.bits):
            assert {site.kind for site in network.sites} == {"weight"}
            assert torch.equal(network(x), weights_alone)
    assert network.sites == sites
    assert torch.equal(network(x), logits)


@pytest.mark.parametrize("bad", [{"stem.weight": 3, "head.weight": 99}, {"stem.weight": 3, "stem.wait": 4}])
def test_a_refused_allocation_leaves_every_bit_as_it_was(
    network: Network, bad: dict[str, int], x: torch.Tensor
) -> None:
    bits, logits = network.bits, network(x)
    with pytest.raises(QexploreError):
        network.set_bits(bad)
    with pytest.raises(QexploreError), network.using(bad):
        pass
    assert network.bits == bits
    assert torch.equal(network(x), logits)


def test_a_site_that_does_not_exist_is_named_with_its_nearest(network: Network) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'stem\.weight'"):
        network.set_bits({"stem.wieght": 4})
    with pytest.raises(UnknownName, match=r"stem\.out"):
        network.site("stem.outt")


def test_bits_handed_out_are_a_copy(network: Network) -> None:
    network.bits["stem.weight"] = 1
    assert network.bits["stem.weight"] == 8


def test_a_range_set_by_hand_holds_inside_fixing_alone(network: Network, x: torch.Tensor) -> None:
    logits = network(x)
    narrow = Range(torch.tensor([0.0]), torch.tensor([0.1]))
    with network.fixing({"add.out": narrow, "stem.weight": narrow}):
        assert float(network.fitted(network.site("add.out"), 8).range.hi) == pytest.approx(0.1)
        assert not torch.equal(network(x), logits)
    assert torch.equal(network(x), logits)
    with pytest.raises(ZeroDivisionError), network.fixing({"add.out": narrow}):
        _ = 1 / 0
    assert torch.equal(network(x), logits)
    with pytest.raises(UnknownName), network.fixing({"add.out": narrow, "ad.out": narrow}):
        pass
    assert torch.equal(network(x), logits)


def test_other_samples_hold_inside_seeing_alone(network: Network, x: torch.Tensor) -> None:
    logits, site = network(x), network.site("add.out")
    before = network.fitted(site, 8).range.hi
    doubled = {name: 2 * values for name, values in network.samples.items()}
    ends = {name: tuple(end.view(1) for end in values.aminmax()) for name, values in doubled.items()}
    with network.seeing(doubled, ends):
        torch.testing.assert_close(network.fitted(site, 8).range.hi, 2 * before)
        assert not torch.equal(network(x), logits)
    assert torch.equal(network(x), logits)
    with pytest.raises(ZeroDivisionError), network.seeing(doubled, ends):
        _ = 1 / 0
    assert torch.equal(network.fitted(site, 8).range.hi, before)
    assert torch.equal(network(x), logits)


@pytest.mark.parametrize("kind", ["weight", "activation"])
def test_another_estimator_holds_inside_estimating_alone(network: Network, x: torch.Tensor, kind: str) -> None:
    logits, before = network(x), dict(network.estimators)
    with network.estimating(kind, "percentile", {"percent": 70.0}) as same:
        assert same is network
        assert network.estimators[kind] == ("percentile", {"percent": 70.0})
        assert not torch.equal(network(x), logits)
    assert network.estimators == before
    assert torch.equal(network(x), logits)
    with pytest.raises(ZeroDivisionError), network.estimating(kind, "percentile", {"percent": 70.0}):
        _ = 1 / 0
    assert network.estimators == before
    assert torch.equal(network(x), logits)


def test_a_sample_that_is_taken_away_leaves_no_sorted_values_behind(network: Network) -> None:
    site = network.site("add.out")
    samples = dict(network.samples)
    elements = network.rows(site).values.numel()
    network.set_samples({name: values for name, values in samples.items() if name != site.name})
    assert network.rows(site).values.numel() == 0
    with pytest.raises(QexploreError, match=r"'add\.out'.*calibrate first"):
        network.fitted(site, 8)
    with network.seeing(samples, {}):
        assert network.rows(site).values.numel() == elements
    assert network.rows(site).values.numel() == 0


def test_a_learned_rounding_comes_back_after_other_ranges_were_tried(network: Network, x: torch.Tensor) -> None:
    site = network.site("stem.weight")
    bits, hand = network.bits[site.name], Range(torch.tensor([-0.2]), torch.tensor([0.1]))
    network.set_quantized(site, bits, network.quantized_weight(site, bits).roll(1, 0))
    learned = network(x)
    others = (
        network.fixing({site.name: hand}),
        network.owning({site.name: Own(range=hand)}),
        network.estimating("weight", "percentile", {"percent": 90.0}),
    )
    for tried in others:
        with tried:
            assert not torch.equal(network(x), learned)
        assert torch.equal(network(x), learned)
    with pytest.raises(ZeroDivisionError), network.owning({site.name: Own(estimator=("min-max", {}))}):
        _ = 1 / 0
    assert torch.equal(network(x), learned)
    with pytest.raises(UnknownName), network.owning({site.name: Own(range=hand), "stem.wait": Own()}):
        pass
    assert torch.equal(network(x), learned)
    assert not network.own


def test_a_range_with_the_wrong_number_of_slices_is_refused_in_words(network: Network) -> None:
    wrong = Range(torch.zeros(3), torch.ones(3))
    with network.fixing({"stem.weight": wrong}), pytest.raises(QexploreError, match=r"stem\.weight.*8 slices.*3"):
        network.fitted(network.site("stem.weight"), 8)


def test_an_activation_without_a_range_says_how_it_gets_one() -> None:
    model, x = built("add-relu")
    network = Network.of(model, x[:1])
    network.set_bits({"input": 8})
    with pytest.raises(QexploreError, match=r"'input'.*calibrate first"):
        network(x)


def test_weights_are_quantized_once_for_a_number_of_bits(network: Network) -> None:
    site = network.site("stem.weight")
    first = network.quantized_weight(site, 4)
    codes = network._codes["stem.weight", 4]
    assert (codes.dtype, codes.numel()) == (torch.int8, first.numel())
    with network.using({"stem.weight": 4}):
        network.plan()
    assert torch.equal(network.quantized_weight(site, 4), first)
    assert network._codes["stem.weight", 4] is codes
    network.set_layer("stem", network.layers["stem"].weight * 2, network.layers["stem"].bias)
    assert torch.allclose(network.quantized_weight(site, 4), 2 * first, atol=1e-6)


def test_a_plan_that_is_kept_is_dropped_by_every_change(network: Network, x: torch.Tensor) -> None:
    layer = network.layers["stem"]
    changes = [
        lambda: network.set_bits({"stem.out": 3}),
        lambda: network.set_estimator("weight", "min-max", {}),
        lambda: network.set_estimator("activation", "min-max", {}),
        lambda: network.set_samples({**network.samples, "stem.out": 0.2 * network.samples["stem.out"]}),
        lambda: network.set_layer("stem", 0.5 * layer.weight, layer.bias),
        lambda: network.set_graph(network.graph),
        lambda: network.forget_weights(ranges=True),
    ]
    for change in changes:
        plan = network.plan()
        assert network.plan() is plan
        change()
        assert network.plan() is not plan
        assert torch.isfinite(network(x)).all()


def test_the_layers_of_a_network_share_no_memory_with_the_model() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    network = Network.of(model, torch.randn(1, 4))
    assert network.layers["0"].weight.data_ptr() != model[0].weight.data_ptr()
    before = network(torch.ones(1, 4))
    nn.init.zeros_(model[0].weight)
    assert torch.equal(network(torch.ones(1, 4)), before)
