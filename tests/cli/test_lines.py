"""How numbers and tables read in a terminal, and how key=value words are taken apart."""

from __future__ import annotations

import pytest

from qexplore.cli.lines import accuracy, table
from qexplore.errors import QexploreError
from qexplore.recipes.pairs import pairs, words_of


def test_an_accuracy_shows_its_interval_and_images():
    document = {"value": 0.974, "low": 0.9561, "high": 0.9847, "images": 500}
    assert accuracy(document) == "97.4 % (95.6–98.5, 500 images)"


def test_numbers_stand_flush_right_and_names_left():
    assert table(("site", "bits"), [("a", 2), ("long", 16)]) == "site  bits\na        2\nlong    16"
    assert table(("site", "bits"), []) == "site  bits"


def test_pairs_keep_later_equals_signs():
    assert pairs(["weights.bits=4", "name=a=b"], "--set") == {"weights.bits": "4", "name": "a=b"}


@pytest.mark.parametrize("words", [["bits"], ["=4"], ["bits="], ["a=1", "a=2"]])
def test_what_is_no_pair_is_refused(words):
    with pytest.raises(QexploreError, match="--set"):
        pairs(words, "--set")


def test_a_line_is_taken_apart_as_a_shell_does_it():
    assert words_of('a.b=4 "sites.input.range=[0, 1]"') == ["a.b=4", "sites.input.range=[0, 1]"]
    with pytest.raises(QexploreError, match="No closing quotation"):
        words_of("a='4")
