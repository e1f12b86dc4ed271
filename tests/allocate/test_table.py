"""Tables that users bring: what is optional, and one clear sentence for each thing that is wrong."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import qexplore as qx
from qexplore.allocate import Budget, allocate, cost, frontier, uniform
from qexplore.allocate.random_problems import random_table
from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network
from qexplore.network.table import identity

FOUR = Budget(weight_bits=4.0)
ALL = Budget(weight_bits=4.0, activation_bits=4.0)


@pytest.fixture
def table() -> pd.DataFrame:
    return random_table(4, 3, ties=1.0, seed=1)


def test_optional_columns_may_be_missing(table: pd.DataFrame) -> None:
    answer = allocate(table.drop(columns=["tied", "input", "index", "layer", "macs", "metric"]), ALL)
    assert len(answer.bits) == 7
    assert set(answer.cost) == {"weight_bits", "activation_bits", "kb"}


@pytest.mark.parametrize("column", ["macs", "input"])
def test_gbops_say_which_column_they_need(table: pd.DataFrame, column: str) -> None:
    with pytest.raises(QexploreError, match=f"needs the column '{column}', which the table lacks"):
        allocate(table.drop(columns=column), Budget(gbops=1.0))


@pytest.mark.parametrize(("feed", "said"), [("", "is empty"), ("layers.9.out", "names 'layers.9.out'")])
def test_gbops_say_whose_input_is_unknown(table: pd.DataFrame, feed: str, said: str) -> None:
    table.loc[table["site"] == "layers.2.weight", "input"] = feed
    with pytest.raises(QexploreError, match=f"what feeds 'layers.2.weight', but its 'input' {said}"):
        allocate(table, Budget(gbops=1.0))
    assert "gbops" not in allocate(table, FOUR).cost


class Attention(nn.Module):
    """Two products of activations: queries by keys and shares by values, 7 · 7 · 8 multiplications each."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)) if apart else None
        self.together, self.head = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.together(x).chunk(3, -1) if self.parts is None else [part(x) for part in self.parts]
        return self.head(nn.functional.scaled_dot_product_attention(q, k, v).mean(1))


@pytest.mark.parametrize(("apart", "known"), [(True, 1.0), (False, 0.75)])
def test_what_gbops_leave_out_is_told(apart: bool, known: float) -> None:
    network = Network.of(Attention(apart).eval(), torch.randn(1, 7, 8))
    rows = [{**identity(network, site), "bits": b, "loss": 1.0 / b} for site in network.sites for b in (2, 4, 8)]
    layers = 3 * 8 * 8 * 7 + 8 * 5  # multiplications of weights
    for budget in (FOUR, Budget(gbops=1e9)):
        answer = allocate(pd.DataFrame(rows), budget)
        assert answer.cost["gbops"] <= 64 * layers / 1e9
        assert answer.uncounted_macs == known * 2 * 7 * 7 * 8
        assert f"leave out the products of two activations (attention): at least {answer.uncounted_macs}" in (
            answer.uncounted
        )


def test_where_gbops_leave_nothing_out_nothing_is_told(table: pd.DataFrame) -> None:
    assert allocate(table, FOUR).uncounted == ""
    assert allocate(table.assign(macs=table["macs"].where(table["kind"] == "weight")), FOUR).uncounted == ""
    assert allocate(table.drop(columns="macs"), FOUR).uncounted == ""


@pytest.mark.parametrize("name", ["resnet-digits", "mobilenet-digits"])
def test_the_networks_of_the_zoo_have_all_their_products_counted(name: str) -> None:
    assert allocate(qx.sensitivity(qx.Task(name), "sqnr", (4, 8)), FOUR).uncounted_macs == 0


@pytest.mark.parametrize("limit", ["activation_bits", "gbops"])
def test_a_limit_needs_sites_of_its_kind(limit: str) -> None:
    with pytest.raises(QexploreError, match="activation sites"):
        allocate(random_table(3), Budget(**{limit: 4.0}))


@pytest.mark.parametrize("column", ["site", "kind", "numel", "bits", "loss"])
def test_a_missing_column_is_named(table: pd.DataFrame, column: str) -> None:
    with pytest.raises(QexploreError, match=f"The table lacks the column '{column}'"):
        allocate(table.drop(columns=column), FOUR)


def wrong(table: pd.DataFrame, column: str, value: object) -> pd.DataFrame:
    """The table with one entry of 'layers.1.weight' at 3 bits replaced."""
    changed = table.astype({column: object})
    changed.loc[(changed["site"] == "layers.1.weight") & (changed["bits"] == 3), column] = value
    return changed


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("loss", np.nan, "The loss of site 'layers.1.weight' at 3 bits is nan, not a finite number."),
        ("loss", np.inf, "The loss of site 'layers.1.weight' at 3 bits is inf, not a finite number."),
        ("loss", "much", "The loss of site 'layers.1.weight' at 3 bits is much, not a finite number."),
        ("bits", None, "The bits of site 'layers.1.weight' is nan, not a finite number."),
        ("bits", 2.5, "Column 'bits' must hold whole numbers from 1 to 32."),
        ("bits", 4, "Site 'layers.1.weight' has no row at 3 bits; it needs one row at each of 2, 3, 4, 5, 6, 7, 8."),
        ("kind", "bias", "The kind 'bias' is unknown; it is 'weight', 'activation' or 'opaque'."),
        ("kind", "activation", "The rows of site 'layers.1.weight' disagree in column 'kind'."),
        ("numel", 7, "The rows of site 'layers.1.weight' disagree in column 'numel'."),
        ("site", None, "A row of the table has no name in column 'site'; name every site."),
        ("metric", "fit", "The table holds the metrics 'random', 'fit'; keep the rows of one of them."),
    ],
)
def test_one_wrong_entry_is_one_sentence(table: pd.DataFrame, column: str, value: object, said: str) -> None:
    with pytest.raises(QexploreError, match=re.escape(said)):
        allocate(wrong(table, column, value), FOUR)


@pytest.mark.parametrize("value", [0, -3, 1.5, np.nan, "many", 1e18])
@pytest.mark.parametrize("column", ["numel", "macs"])
def test_sizes_are_whole_numbers(table: pd.DataFrame, column: str, value: object) -> None:
    if (column, value) == ("macs", 0):
        return
    table = table.astype({column: object})
    table.loc[table["site"] == "layers.1.weight", column] = value
    with pytest.raises(QexploreError, match=f"Column '{column}' of site 'layers.1.weight' must be a whole number"):
        allocate(table, FOUR)


def test_a_doubled_row_is_named(table: pd.DataFrame) -> None:
    with pytest.raises(QexploreError, match=r"Site 'layers.0.weight' has more than one row at 2 bits"):
        allocate(pd.concat([table, table.iloc[:1]]), FOUR)


def test_an_empty_table_and_what_is_no_table_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(QexploreError, match="nothing to allocate"):
        allocate(table.iloc[:0], FOUR)
    with pytest.raises(QexploreError, match="must be a pandas DataFrame"):
        allocate({"site": []}, FOUR)  # type: ignore[arg-type]
    with pytest.raises(QexploreError, match="must be a Budget"):
        allocate(table, 4.0)  # type: ignore[arg-type]


def test_opaque_layers_have_no_bits_to_choose(table: pd.DataFrame) -> None:
    opaque = table.iloc[[0]].assign(site="odd", kind="opaque", bits=np.nan, loss=np.nan, numel=np.nan)
    assert "odd" not in allocate(pd.concat([opaque, table]), ALL).bits


def test_a_group_ties_sites_of_one_kind(table: pd.DataFrame) -> None:
    table.loc[table["site"].isin(["layers.0.weight", "layers.0.out"]), "tied"] = "both"
    with pytest.raises(QexploreError, match="The tied group 'both' holds weights and activations"):
        allocate(table, FOUR)


def test_tied_sites_share_their_bits_and_their_loss(table: pd.DataFrame) -> None:
    answer = allocate(table, ALL)
    assert len({answer.bits[f"layers.{k}.out"] for k in range(3)}) == 1
    apart = allocate(table.drop(columns="tied"), ALL)
    assert apart.loss <= answer.loss


def test_the_order_of_rows_does_not_matter(table: pd.DataFrame) -> None:
    mixed = table.sample(frac=1.0, random_state=0)
    assert allocate(mixed, ALL).bits == allocate(table, ALL).bits
    assert list(allocate(mixed, ALL).bits) == list(table["site"].unique())


def test_losses_are_clamped_and_the_places_are_listed() -> None:
    table = pd.DataFrame(
        {
            "site": ["a"] * 4 + ["b"] * 4,
            "kind": "weight",
            "numel": 10,
            "bits": [2, 3, 4, 5] * 2,
            "loss": [4.0, 1.0, 2.0, 0.5, 3.0, 2.0, -1.0, -0.5],
        }
    )
    answer = allocate(table, Budget(weight_bits=5))
    assert answer.clamped == [("a", 4), ("b", 4), ("b", 5)]
    assert answer.loss == 0.5
    assert answer.bits["a"] == 5
    assert uniform(table, 4).loss == 1.0


@pytest.mark.parametrize(
    ("locked", "said"),
    [
        (
            {"layers.0.weight": 9},
            "Site 'layers.0.weight' cannot be locked at 9 bits; the menu has 2, 3, 4, 5, 6, 7, 8.",
        ),
        ({"layers.0.weight": 4.5}, "Site 'layers.0.weight' must be locked at a whole number of bits, not 4.5."),
        (
            {"layers.0.out": 4, "layers.1.out": 5},
            "Sites 'layers.0.out' and 'layers.1.out' are tied and share their bits, but are locked at 4 and 5; "
            "lock one of them.",
        ),
    ],
)
def test_a_lock_that_makes_no_sense_is_one_sentence(table: pd.DataFrame, locked: dict[str, int], said: str) -> None:
    with pytest.raises(QexploreError, match=re.escape(said)):
        allocate(table, ALL, locked=locked)


def test_a_lock_on_an_unknown_site_names_the_nearest(table: pd.DataFrame) -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'layers.0.weight'"):
        allocate(table, ALL, locked={"layers.0.weigth": 4})


def test_a_lock_on_one_of_a_group_locks_the_group(table: pd.DataFrame) -> None:
    bits = allocate(table, ALL, locked={"layers.1.out": 3, "layers.2.out": 3}).bits
    assert [bits[f"layers.{k}.out"] for k in range(3)] == [3, 3, 3]


def test_cost_counts_what_it_is_given(table: pd.DataFrame) -> None:
    one = table.drop_duplicates("site").drop(columns=["bits", "loss", "metric"])
    weights = {site: 4 for site in one["site"] if site.endswith("weight")}
    total = int(one.loc[one["kind"] == "weight", "numel"].sum())
    assert cost(one, weights) == {"weight_bits": 4.0, "kb": total / 2000}
    everything = cost(one, weights | {f"layers.{k}.out": 11 for k in range(3)})
    assert everything["activation_bits"] == 11.0
    assert everything["gbops"] == pytest.approx(44 * one["macs"].sum() / 1e9)


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        ({"layers.0.weight": 4}, "Site 'layers.1.weight' has no bits"),
        ({"nowhere": 4}, "There is no site 'nowhere'"),
        ({"layers.0.weight": 0}, "must be a whole number of at least 1"),
    ],
)
def test_cost_says_what_is_wrong(table: pd.DataFrame, bits: dict[str, int], said: str) -> None:
    with pytest.raises(QexploreError, match=said):
        cost(table, bits)


def test_uniform_bits_must_be_in_the_table(table: pd.DataFrame) -> None:
    answer = uniform(table, 4, activation_bits=8)
    assert answer.cost["weight_bits"] == 4.0
    assert answer.cost["activation_bits"] == 8.0
    with pytest.raises(QexploreError, match="The table has no loss for weights at 9 bits; it has 2, 3"):
        uniform(table, 9)


def test_a_frontier_over_an_unknown_limit_names_the_known(table: pd.DataFrame) -> None:
    with pytest.raises(UnknownName, match="There is no limit 'bits'"):
        frontier(table, "bits")
