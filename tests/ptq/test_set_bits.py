"""Bits that a recipe gives to sites after its calibration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml

import qexplore as qx
from qexplore.errors import QexploreError, UnknownName
from qexplore.numerics import BadSpec
from qexplore.recipes import BadRecipe, Recipe
from qexplore.recipes.carry_out import check, prepare

BITS = {"stem.conv.weight": 3, "stem.conv.out": 5}


def test_only_the_named_sites_change_and_what_was_calibrated_stays() -> None:
    task, recipe = qx.Task("resnet-digits"), Recipe.load("w8a8")
    before, after = prepare(task, recipe), prepare(task, recipe.with_bits(BITS))
    assert after.bits == before.bits | BITS
    for name, sample in before.samples.items():
        assert torch.equal(after.samples[name], sample), name


def test_the_recipe_with_bits_survives_a_file() -> None:
    recipe = Recipe.load("w8a8").with_bits(BITS)
    assert Recipe.from_document(yaml.safe_load(recipe.to_yaml())) == recipe


def test_bits_are_told_by_site() -> None:
    with pytest.raises(QexploreError, match="bits of sites by name, such as"):
        check(Recipe.from_document({"steps": ["weight-ranges", "set-bits"]}))


@pytest.mark.parametrize("bits", [0, 2.5, "many"])
def test_impossible_bits_are_told_before_the_work(bits: Any) -> None:
    with pytest.raises(BadSpec):
        check(Recipe.load("w8a8").with_bits({"input": bits}))


def test_a_site_that_is_not_there_or_not_quantized_is_named() -> None:
    task = qx.Task("resnet-digits")
    with pytest.raises(UnknownName, match="nowhere"):
        prepare(task, Recipe.load("w8a8").with_bits({"nowhere": 4}))
    weights = Recipe.from_document({"steps": ["fold-bn", "weight-ranges"]})
    with pytest.raises(QexploreError, match="'input', which is not quantized: put the steps"):
        prepare(task, weights.with_bits({"input": 4}))


@pytest.mark.parametrize("later", ["weight-ranges", "activation-ranges", "equalize", {"allocate-bits": {"kb": 9}}])
def test_what_would_undo_the_bits_comes_before_them(later: Any) -> None:
    steps = ["fold-bn", {"set-bits": BITS}, later]
    with pytest.raises(BadRecipe, match="before 'set-bits'"):
        check(Recipe.from_document({"steps": steps}))


def test_roundings_are_learned_at_the_bits_that_hold() -> None:
    steps = ["fold-bn", "weight-ranges", "activation-ranges", "adaround", {"set-bits": BITS}]
    with pytest.raises(BadRecipe, match=r"'set-bits' .* before 'adaround'"):
        check(Recipe.from_document({"steps": steps}))
