"""What the engine gives becomes JSON without loss, and what JSON cannot hold becomes null."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from qexplore.plain import interval, plain


def test_tables_arrays_and_numbers_become_plain():
    table = pd.DataFrame({"site": ["a"], "bits": np.array([4], np.int64), "lo": np.array([np.nan], np.float32)})
    assert plain(table) == [{"site": "a", "bits": 4, "lo": None}]
    assert plain({1: np.arange(3), "x": (np.float32(0.5), np.bool_(True), float("-inf"))}) == {
        "1": [0, 1, 2],
        "x": [0.5, True, None],
    }
    assert json.loads(json.dumps(plain(table), allow_nan=False))


def test_missing_values_of_every_kind_become_null():
    table = pd.DataFrame({"name": ["a", None], "when": pd.to_datetime(["2026-01-01", None]), "n": pd.array([1, None])})
    assert [value for row in plain(table) for value in row.values()].count(None) == 3


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(TypeError, match="object"):
        plain(object())


@pytest.mark.parametrize(
    ("ends", "found"), [([0, 1], (0.0, 1.0)), ((-1.5, 2), (-1.5, 2.0)), ([-3e38, 3e38], (-3e38, 3e38))]
)
def test_an_interval_is_two_numbers_in_order(ends: object, found: tuple[float, float]) -> None:
    assert interval(ends) == found


NO_INTERVAL = [[1, 0], [1, 1], [0], [0, 1, 2], "01", None, 3, {0: 1, 1: 2}, [0, "1"], [True, 2], [0, float("nan")]]


@pytest.mark.parametrize("ends", [*NO_INTERVAL, [0, float("inf")], [0, 10**400], [0, 1e39]])
def test_anything_else_is_none(ends: object) -> None:
    assert interval(ends) is None
