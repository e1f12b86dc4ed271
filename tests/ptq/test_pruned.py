"""A pruned weight stays 0, whatever steps come after, and the tables tell how many there are."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import qexplore as qx
from qexplore.allocate import cost
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.sparsity import bitmap
from qexplore.network.table import site_table
from qexplore.numerics import Spec
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.rounding import Rounding
from qexplore.report import Report

IMAGES = torch.rand(24, 3, 6, 6, generator=torch.Generator().manual_seed(1))
DATA = qx.Data(calibration=(IMAGES, torch.zeros(len(IMAGES), dtype=torch.int64)))
ANY_ORDER = ("fold-bn", "replace-relu6", "equalize", "absorb-high-bias", "weight-ranges")
QUICK = {"adaround": {"iterations": 20}, "equalize": {"sweeps": 3}}


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 6, 1), nn.BatchNorm2d(6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 4)
            nn.init.normal_(module.bias, 1, 2)
    return model.eval()


def network_of(bits: int = 3, granularity: str = "channel", *, symmetric: bool = True) -> Network:
    return Network.of(convolutions(), IMAGES[:1], Spec(bits=bits, granularity=granularity, symmetric=symmetric))


def some(network: Network, share: float, seed: int) -> dict[str, Tensor]:
    """A random mask for each layer that keeps its first weight at least."""
    generator = torch.Generator().manual_seed(seed)
    masks = {}
    for name, layer in network.layers.items():
        masks[name] = torch.rand(layer.weight.shape, generator=generator) >= share
        masks[name].view(-1)[0] = True
    return masks


def step(network: Network, name: str) -> None:
    STEPS.get(name)(network, Calibration(DATA), Report(), **QUICK.get(name, {}))  # type: ignore[call-arg]


def lawful(network: Network, masks: dict[str, Tensor]) -> bool:
    """Whether the weights, and their quantized ones where there are bits, are 0 wherever a mask says so."""
    weights = [(name, layer.weight) for name, layer in network.layers.items()]
    for site in network.sites:
        if site.kind == "weight" and (bits := network.bits.get(site.name)):
            weights.append((site.layer, network.quantized_weight(site, bits)))
    return all(bool((weight[~masks[name]] == 0).all()) for name, weight in weights if name in masks)


@settings(max_examples=30, deadline=None)
@given(
    order=st.permutations(ANY_ORDER),
    at=st.integers(0, 5),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
    granularity=st.sampled_from(["tensor", "channel"]),
    symmetric=st.booleans(),
)
def test_zeros_stay_where_the_mask_says_after_any_order_of_steps(
    order: list[str], at: int, share: float, seed: int, granularity: str, symmetric: bool
) -> None:
    network = network_of(granularity=granularity, symmetric=symmetric)
    masks = some(network, share, seed)
    for number, name in enumerate(order):
        if number == at:
            network.set_masks(masks)
        step(network, name)
        assert number < at or lawful(network, masks), name
    network.set_masks(masks)
    for name in ("adaround", "correct-bias"):
        step(network, name)
        assert lawful(network, masks), name


@pytest.mark.parametrize("name", ["fold-bn", "equalize", "absorb-high-bias"])
def test_a_step_between_pruning_and_ranges_leaves_the_zeros(name: str) -> None:
    network = network_of()
    masks = some(network, 0.5, 3)
    network.set_masks(masks)
    before = {name: layer.weight for name, layer in network.layers.items()}
    step(network, "fold-bn")
    step(network, name)
    assert lawful(network, masks)
    assert not all(torch.equal(layer.weight, before[key]) for key, layer in network.layers.items())


def test_adaround_would_round_zeros_away_without_a_mask_and_has_no_choice_with_one() -> None:
    weight = torch.tensor([[0.0, 0.3, -0.2, 0.0]])
    mask = torch.tensor([[False, True, True, True]])
    network = Network.of(nn.Linear(4, 1).eval(), torch.zeros(1, 4), Spec(bits=3))
    network.set_layer(next(iter(network.layers)), weight, None)
    spec, _, grid, _ = network.fitted(next(s for s in network.sites if s.kind == "weight"), 3)
    up = torch.ones(1, 4, dtype=torch.bool)
    free, bound = Rounding(weight, spec, grid).weight(up), Rounding(weight, spec, grid, mask).weight(up)
    assert float(free[0, 0]) != 0.0
    assert float(bound[0, 0]) == 0.0
    assert torch.equal(free[0, 1:], bound[0, 1:])


def test_weights_that_come_from_elsewhere_lose_what_is_pruned() -> None:
    network = network_of()
    masks = some(network, 0.5, 1)
    network.set_masks(masks)
    step(network, "weight-ranges")
    site = next(site for site in network.sites if site.kind == "weight")
    network.set_quantized(site, 3, torch.ones(site.shape))
    assert torch.equal(network.quantized_weight(site, 3), masks[site.layer].float())
    network.set_layer(site.layer, torch.ones(site.shape), None)
    assert torch.equal(network.layers[site.layer].weight, masks[site.layer].float())


def test_the_table_of_sites_tells_the_share_of_zeros_and_the_bits_of_the_bitmap() -> None:
    network = network_of()
    table = site_table(network).set_index("site")
    assert (table["sparsity"] == 0).all()
    assert (table["bitmap"] == 0).all()
    masks = some(network, 0.5, 2)
    masks["6"] = torch.ones(6, 8, 1, 1, dtype=torch.bool)
    masks["6"][2], masks["6"][:, 5] = False, False  # whole channels: 5 × 7 are left
    network.set_masks(masks)
    table = site_table(network).set_index("site")
    assert table.loc["0.weight", "sparsity"] == 1 - int(masks["0"].sum()) / 216
    assert table.loc["0.weight", "bitmap"] == 216
    assert table.loc["6.weight", "sparsity"] == (48 - 35) / 48
    assert table.loc["6.weight", "bitmap"] == 0
    assert (table.loc[table["kind"] == "activation", "sparsity"] == 0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0, 1), weight_bits=st.integers(1, 8), bits=st.integers(1, 8))
def test_costs_read_from_the_table_are_those_counted_on_the_masks(
    seed: int, share: float, weight_bits: int, bits: int
) -> None:
    network = network_of()
    masks = some(network, share, seed)
    del masks["3"]  # one layer is left whole
    network.set_masks(masks)
    table = site_table(network)
    found = cost(table, {s.name: weight_bits if s.kind == "weight" else bits for s in network.sites})
    kept = {name: int(masks[name].sum()) if name in masks else w.weight.numel() for name, w in network.layers.items()}
    places = {"0": 36, "3": 36, "6": 36, "11": 1}  # of an image of 6 × 6
    assert found["weight_bits"] == weight_bits
    assert found["kb"] == (weight_bits * sum(kept.values()) + sum(bitmap(mask) for mask in masks.values())) / 8000
    assert found["gbops"] == sum(kept[name] * places[name] for name in kept) * weight_bits * bits / 10**9


def test_a_bitmap_covers_what_whole_channels_leave() -> None:
    mask = torch.ones(4, 3, 2, 2, dtype=torch.bool)
    assert bitmap(mask) == 0
    mask[1], mask[:, 0] = False, False
    assert bitmap(mask) == 0
    mask[0, 1, 0, 0] = False
    assert bitmap(mask) == 3 * 2 * 4


def test_weights_that_two_layers_share_stay_shared_under_one_mask() -> None:
    shared = nn.Conv2d(3, 3, 1)
    network = Network.of(nn.Sequential(shared, nn.ReLU(), shared).eval(), IMAGES[:1])
    mask = torch.eye(3, dtype=torch.bool).view(3, 3, 1, 1)
    names = list(network.layers)
    network.set_masks(dict.fromkeys(names, mask))
    weights = [site for site in network.sites if site.kind == "weight"]
    assert len({site.tied for site in weights}) == 1
    assert site_table(network)["bitmap"].sum() == 9
    network.set_masks({names[0]: torch.ones_like(mask)})
    assert torch.equal(network.masks[names[1]], mask)


def test_what_is_no_mask_is_refused_in_words() -> None:
    network = network_of()
    kept = torch.ones(8, 3, 3, 3, dtype=torch.bool)
    with pytest.raises(UnknownName, match="layer"):
        network.set_masks({"nowhere": kept})
    with pytest.raises(QexploreError, match="bool tensor"):
        network.set_masks({"0": kept.float()})
    with pytest.raises(QexploreError, match="bool tensor"):
        network.set_masks({"0": kept[:4]})
    with pytest.raises(QexploreError, match="keeps no weight"):
        network.set_masks({"0": ~kept})
    assert network.masks == {}
