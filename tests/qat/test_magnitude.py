"""The least weights go, exactly as many as the share says, and what has gone does not come back."""

from __future__ import annotations

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from qexplore.qat.magnitude import cubic, layer_by_layer, over_all

SHARES = st.floats(0, 1)
FEW_SIZES = st.lists(st.lists(st.integers(-3, 3), min_size=1, max_size=9), min_size=1, max_size=4)


def weights_of(sizes: list[list[int]]) -> dict[str, Tensor]:
    return {f"layer {n}": torch.tensor(each, dtype=torch.float32) for n, each in enumerate(sizes)}


def brute_force(weights: dict[str, Tensor], share: float, gone: set[tuple[str, int]]) -> set[tuple[str, int]]:
    """The weights that go, by sorting a list of all of them in which those of `gone` come first."""
    alive = {name: [i for i in range(len(w)) if (name, i) not in gone] for name, w in weights.items()}
    spared = {(name, max(alive[name], key=lambda i, w=w: (abs(float(w[i])), -i))) for name, w in weights.items()}
    every = [(name, i) for name, w in weights.items() for i in range(len(w)) if (name, i) not in spared]
    every.sort(key=lambda at: (at not in gone, abs(float(weights[at[0]][at[1]]))))
    count = round(share * sum(len(w) for w in weights.values()))
    return set(every[: max(count, len(gone))])


def pruned(masks: dict[str, Tensor]) -> set[tuple[str, int]]:
    return {(name, i) for name, mask in masks.items() for i in range(len(mask)) if not mask[i]}


@given(FEW_SIZES, SHARES, SHARES)
def test_over_all_layers_the_least_go_as_a_sorted_list_says(sizes: list[list[int]], first: float, then: float) -> None:
    weights = weights_of(sizes)
    once = over_all(weights, {}, first)
    assert pruned(once) == brute_force(weights, first, set())
    turned = {name: weight.flip(0) for name, weight in weights.items()}
    assert pruned(over_all(turned, once, then)) == brute_force(turned, then, pruned(once))


@given(FEW_SIZES, SHARES, SHARES)
def test_layer_by_layer_each_layer_is_a_network_of_its_own(sizes: list[list[int]], first: float, then: float) -> None:
    weights = weights_of(sizes)
    once = layer_by_layer(weights, {}, first)
    twice = layer_by_layer(weights, once, then)
    for name, weight in weights.items():
        alone, before = {name: weight}, pruned({name: once[name]})
        assert before == brute_force(alone, first, set())
        assert pruned({name: twice[name]}) == brute_force(alone, then, before)


def test_the_share_is_exact_to_one_weight_on_tensors_of_any_shape() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (16, 3, 3, 3), "b": (16, 1, 3, 3), "c": (10, 64)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    weights["a"] = weights["a"].contiguous(memory_format=torch.channels_last)
    for share in (0.0, 0.1, 0.3, 0.77, 1.0):
        masks = over_all(weights, {}, share)
        total = sum(mask.numel() for mask in masks.values())
        gone = total - sum(int(mask.sum()) for mask in masks.values())
        assert gone == min(round(share * total), total - 3)
        if share < 0.9:  # no layer has its largest weight alone
            least = min(float(weights[name].abs()[mask].min()) for name, mask in masks.items())
            assert all(bool((weights[name].abs()[~mask] <= least).all()) for name, mask in masks.items())


@given(SHARES, SHARES, st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=8))
def test_the_schedule_rises_from_the_first_share_to_the_last(one: float, other: float, times: list[float]) -> None:
    start, end = sorted((one, other))
    found = [cubic(end, start, done) for done in sorted(times)]
    assert all(start - 1e-12 <= share <= end + 1e-12 for share in found)
    assert all(before <= after + 1e-12 for before, after in itertools.pairwise(found))
    assert (cubic(end, start, 1), cubic(end, start, 2)) == (end, end)
    assert abs(cubic(end, start, 0) - start) < 1e-12


def test_half_way_seven_eighths_of_the_rise_are_done() -> None:
    assert cubic(0.8, 0.0, 0.5) == 0.8 * 7 / 8
