"""Pruned weights in the costs: only what is kept counts, and the bitmap that tells what is kept comes on top in KB."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexplore.allocate import Budget, InfeasibleBudget, allocate, cost, frontier
from qexplore.allocate.kept import kept_elements
from qexplore.errors import QexploreError

ROWS = [
    # site, kind, numel, macs, input, sparsity, bitmap
    ("x", "activation", 50, 0, "", 0.0, 0),
    ("a.weight", "weight", 1000, 9000, "x", 0.3, 1000),
    ("a.out", "activation", 20, 0, "", 0.0, 0),
    ("b.weight", "weight", 500, 500, "a.out", 0.5, 0),
]
TABLE = pd.DataFrame(
    [(*row, bits, 2.0**-bits) for row in ROWS for bits in (2, 4, 8)],
    columns=["site", "kind", "numel", "macs", "input", "sparsity", "bitmap", "bits", "loss"],
)
BITS = {"x": 8, "a.weight": 4, "a.out": 2, "b.weight": 8}


def test_kept_weights_and_their_multiplications_are_what_costs() -> None:
    found = cost(TABLE, BITS)
    assert found["weight_bits"] == (700 * 4 + 250 * 8) / 950
    assert found["kb"] == (700 * 4 + 250 * 8 + 1000) / 8000
    assert found["gbops"] == (6300 * 4 * 8 + 250 * 8 * 2) / 10**9
    assert found["activation_bits"] == (50 * 8 + 20 * 2) / 70


def test_a_table_without_zeros_costs_what_one_without_the_columns_costs() -> None:
    dense = TABLE.assign(sparsity=0.0, bitmap=0)
    bare = dense.drop(columns=["sparsity", "bitmap"])
    assert cost(dense, BITS) == cost(bare, BITS)
    one, other = (allocate(table, Budget(weight_bits=4, kb=0.7, gbops=0.002)) for table in (dense, bare))
    assert (one.bits, one.cost, one.loss) == (other.bits, other.cost, other.loss)


def test_a_limit_of_kb_holds_with_the_bitmap_and_a_limit_of_bits_without() -> None:
    least = (950 * 2 + 1000) / 8000
    assert allocate(TABLE, Budget(kb=least)).cost["kb"] == least
    with pytest.raises(InfeasibleBudget) as said:
        allocate(TABLE, Budget(kb=0.999 * least))
    assert said.value.least == least
    assert allocate(TABLE, Budget(weight_bits=2)).cost == allocate(TABLE, Budget(kb=least)).cost
    assert frontier(TABLE, "kb")["kb"].iloc[0] == least


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [("sparsity", 1.0, "below 1"), ("sparsity", -0.1, "at least 0"), ("sparsity", 0.9999, "keeps at least one"),
     ("bitmap", -1, "whole number from 0"), ("bitmap", 0.5, "whole number from 0")],
)  # fmt: skip
def test_what_is_no_sparsity_is_one_sentence(column: str, value: float, said: str) -> None:
    wrong = TABLE.astype({column: float})
    wrong.loc[wrong["site"] == "b.weight", column] = value
    with pytest.raises(QexploreError, match=said):
        cost(wrong, BITS)


@given(st.lists(st.integers(1, 2**36), min_size=1, max_size=4), st.data())
def test_parts_of_a_shared_weight_keep_together_what_is_kept(parts: list[int], data: st.DataObject) -> None:
    total = sum(parts)
    kept = data.draw(st.integers(1, total))
    shares = np.full(len(parts), (total - kept) / total)
    names = np.array([f"site {n}" for n in range(len(parts))], dtype=object)
    found = kept_elements(np.array(parts), shares, ("tied",) * len(parts), names)
    assert int(found.sum()) == kept
    assert (found >= 0).all()
    assert (found <= np.array(parts)).all()
