"""Reads the identification columns of a table of sites (or of sensitivities) and says what is wrong with them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qexplore.allocate.arrays import Bools, Ints, numbers_of
from qexplore.allocate.kept import kept_elements, read_sparsity
from qexplore.errors import QexploreError

READ = ("site", "index", "kind", "numel", "tied", "input", "macs", "sparsity", "bitmap", "bits", "loss", "metric")
Columns: TypeAlias = dict[str, NDArray[Any]]
LARGEST = 2**42  # of elements or MACs of a site: thousands of sites at 32 bits then stay within 64-bit whole numbers


@dataclass(frozen=True)
class Sites:
    """The sites of a table, one entry each, in the order of the network.

    names [S]; weight [S]: true for weights, false for activations; elements [S]: elements that are kept, not pruned (of
    one image for activations); tied [S]: name of the group that must share its bits; macs [S] and inputs [S]:
    multiplications an image with kept elements and the activation that feeds the layer, None where the table has no
    such column; bitmap: bits that tell which weights of all sites are kept; products: multiplications an image of two
    activations with each other, at least.
    """

    names: tuple[str, ...]
    weight: Bools
    elements: Ints
    tied: tuple[str, ...]
    macs: Ints | None
    inputs: tuple[str, ...] | None
    bitmap: int = 0
    products: int = 0


def read_sites(table: pd.DataFrame) -> tuple[Sites, Columns, Ints]:
    """Sites, the columns of the rows that have bits to choose, and the site of each such row [rows].

    Columns are plain arrays: a table is read whenever a slider moves, and pandas would take most of that time.
    """
    rows = _rows_with_bits(table)
    if _missing(rows["site"]).any():
        raise QexploreError("A row of the table has no name in column 'site'; name every site.")
    codes, names = pd.factorize(rows["site"])
    first = np.unique(codes, return_index=True)[1]
    if "index" in rows:
        order = np.argsort(rows["index"][first], kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(len(order))
        first, names, codes = first[order], names[order], position[codes]
    for column in ("kind", "numel", "tied", "input", "sparsity", "bitmap"):
        if column in rows:
            _require_agreement(column, rows[column], codes, first, names)
    weight = rows["kind"][first] == "weight"
    own = tuple(str(name) for name in names)
    elements = _whole_numbers("numel", rows["numel"][first], names, least=1)
    tied = _names(rows["tied"][first], own) if "tied" in rows else own
    macs = _macs(rows["macs"][first], weight, names) if "macs" in rows else None
    if "sparsity" in rows and (pruned := read_sparsity(rows["sparsity"][first], names)).any():
        elements = kept_elements(elements, pruned, tied, names)
        macs = None if macs is None else macs - np.rint(macs * pruned).astype(np.int64)
    inputs = _names(rows["input"][first], ("",) * len(own)) if "input" in rows else None
    sites = Sites(
        names=own,
        weight=weight,
        elements=elements,
        tied=tied,
        macs=macs,
        inputs=inputs,
        bitmap=int(_whole_numbers("bitmap", rows["bitmap"][first], names, least=0).sum()) if "bitmap" in rows else 0,
        products=_products(rows["macs"][first], weight, own, inputs) if "macs" in rows and inputs else 0,
    )
    return sites, rows, codes.astype(np.int64)


def _rows_with_bits(table: pd.DataFrame) -> Columns:
    if not isinstance(table, pd.DataFrame):
        raise QexploreError(f"The table must be a pandas DataFrame with a row a site, not {type(table).__name__}.")
    missing = [column for column in ("site", "kind", "numel") if column not in table]
    if missing:
        raise QexploreError(
            f"The table lacks the column {missing[0]!r}; it has {', '.join(map(str, table.columns)) or 'none'}."
        )
    kind = table["kind"].to_numpy(dtype=object)
    known = (kind == "weight") | (kind == "activation")
    strange = ~known & (kind != "opaque")
    if strange.any():
        raise QexploreError(f"The kind {kind[strange][0]!r} is unknown; it is 'weight', 'activation' or 'opaque'.")
    if not known.any():
        raise QexploreError("The table has no weight and no activation sites; there is nothing to allocate.")
    # Opaque layers are named in the table, but have no bits to choose.
    return {name: _plain(table[name])[known] for name in READ if name in table}


def _plain(column: pd.Series) -> NDArray[Any]:
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and isinstance(column.dtype, np.dtype)
    if numeric:
        return column.to_numpy()
    values = column.to_numpy(dtype=object, copy=True)
    values[pd.isna(values)] = None  # pandas has several; this one can be compared
    return values


def _missing(values: NDArray[Any]) -> Bools:
    return np.asarray(pd.isna(values), dtype=np.bool_)


def _require_agreement(column: str, values: NDArray[Any], codes: Ints, first: Ints, names: NDArray[Any]) -> None:
    expected = values[first][codes]
    differs = values != expected
    if differs.any():
        differs &= ~(_missing(values) & _missing(expected))
    if differs.any():
        raise QexploreError(f"The rows of site {names[codes[differs][0]]!r} disagree in column {column!r}.")


def _whole_numbers(column: str, said: NDArray[Any], names: NDArray[Any], *, least: int) -> Ints:
    values = numbers_of(said)
    wrong = ~((values >= least) & (values == np.floor(values)) & (values < LARGEST))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise QexploreError(
            f"Column {column!r} of site {names[at]!r} must be a whole number from {least} to 4e12, not {said[at]}."
        )
    return values.astype(np.int64)


def _macs(values: NDArray[Any], weight: Bools, names: NDArray[Any]) -> Ints:
    macs = np.zeros(len(values), dtype=np.int64)
    macs[weight] = _whole_numbers("macs", values[weight], names[weight], least=0)
    return macs


def _products(said: NDArray[Any], weight: Bools, names: tuple[str, ...], inputs: tuple[str, ...]) -> int:
    """What activations are multiplied with beside weights: each product stands at the sites of its two operands, or at
    one where both lie on it; hence "at least".
    """
    macs = numbers_of(said)
    macs = np.where(np.isfinite(macs), macs, 0.0)
    activations = {name for name, own in zip(names, weight, strict=True) if not own}
    layers = weight & np.array([name in activations for name in inputs])
    return max(0, math.ceil(float(macs[~weight].sum() - macs[layers].sum()) / 2))


def _names(values: NDArray[Any], otherwise: tuple[str, ...]) -> tuple[str, ...]:
    gone = _missing(values) | (values == "")
    each = zip(values.tolist(), gone.tolist(), otherwise, strict=True)
    return tuple(other if absent else str(value) for value, absent, other in each)
