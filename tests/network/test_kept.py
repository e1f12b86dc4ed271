"""Results that are kept up to a bound, and how much memory a network's results take."""

from __future__ import annotations

import platform
import resource
from pathlib import Path

import pytest
import torch
from torch import nn

from qexplore.network import Network
from qexplore.network.footprint import UNNOTICED, live, micro_batch, resumed_batch
from qexplore.network.heap import give_back
from qexplore.network.kept import Kept


def test_what_was_not_asked_for_longest_goes_first() -> None:
    kept: Kept[str, int] = Kept(lambda size: size, bound=10)
    kept.update({"a": 4, "b": 4})
    assert kept["a"] == 4
    kept["c"] = 4
    assert list(kept) == ["a", "c"]


def test_the_newest_stays_however_large_and_what_is_taken_out_no_longer_counts() -> None:
    kept: Kept[str, int] = Kept(lambda size: size, bound=10)
    kept["large"] = 11
    assert list(kept) == ["large"]
    kept["large"] = 3
    kept.update({"a": 3, "b": 4})
    assert list(kept) == ["large", "a", "b"]
    del kept["a"]
    kept["c"] = 3
    assert list(kept) == ["large", "b", "c"]
    kept.clear()
    kept.update({"a": 5, "b": 5})
    assert list(kept) == ["a", "b"]


def test_a_chain_of_layers_has_an_input_and_an_output_at_once() -> None:
    layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)]
    graph = Network.of(nn.Sequential(*layers), torch.zeros(1, 1, 10, 10)).graph
    assert live(graph) == (2 + 4) * 100


def test_a_micro_batch_keeps_no_more_for_backward_than_a_forward_pass_has_of_the_whole_batch() -> None:
    layers = [nn.Conv2d(1, 1, 3, padding=1) for _ in range(12)]
    graph = Network.of(nn.Sequential(*layers), torch.zeros(1, 1, 256, 256)).graph
    elements = 256 * 256
    assert live(graph) == 2 * elements
    size = micro_batch(graph, 1024)
    assert 13 * elements * size <= 2 * elements * 1024 < 13 * elements * (size + 1)
    few = UNNOTICED // (4 * 13 * elements)
    assert micro_batch(graph, few) == few
    half = micro_batch(graph, 1024, besides=4 * elements * 1024)
    assert 13 * elements * half <= elements * 1024 < 13 * elements * (half + 1)


def test_a_pass_that_goes_on_from_what_stays_takes_half_the_images_at_once() -> None:
    graph = Network.of(nn.Conv2d(1, 1, 3, padding=1), torch.zeros(1, 1, 256, 256)).graph
    few = UNNOTICED // (4 * 4 * 256 * 256)
    assert resumed_batch(graph, few) == few
    assert resumed_batch(graph, 1024) == 512


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is asked")
def test_holes_between_blocks_in_use_go_back_to_the_system() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    blocks = [torch.ones(1 << 14) for _ in range(1000)]  # 64 kB each, which glibc takes from its heap
    del blocks[: len(blocks) - 1]  # the last one keeps the rest from shrinking
    before = resident()
    give_back()
    assert resident() < before - (32 << 20)
