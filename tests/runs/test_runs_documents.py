"""Two specs that mean the same have one hash, and two that do not have two."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexplore.plain import plain
from qexplore.runs.documents import canonical, dumps, fingerprint
from qexplore.runs.files import replacing

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPECS = st.dictionaries(st.text(), VALUES, max_size=5)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same with the keys in another order, lists as tuples and whole numbers in the other notation."""
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    if isinstance(value, list):
        return tuple(shuffled(entry, chance) for entry in value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        return float(value)
    return value


@settings(max_examples=50, deadline=None)
@given(SPECS, st.randoms(use_true_random=False))
def test_the_hash_is_of_the_meaning_not_of_the_notation(spec: dict[str, Any], chance: random.Random) -> None:
    assert fingerprint(shuffled(spec, chance)) == fingerprint(spec)
    assert fingerprint(json.loads(dumps(spec))) == fingerprint(spec)


@settings(deadline=None)
@given(SPECS)
def test_the_canonical_text_is_the_spec_itself(spec: dict[str, Any]) -> None:
    assert json.loads(canonical(spec)) == spec
    assert canonical(json.loads(canonical(spec))) == canonical(spec)


@settings(max_examples=50, deadline=None)
@given(SPECS, SPECS)
def test_specs_that_differ_have_different_texts(one: dict[str, Any], other: dict[str, Any]) -> None:
    if canonical(one) == canonical(other):
        assert one == other


def test_truth_is_not_the_number_one() -> None:
    assert len({fingerprint({"x": value}) for value in (True, 1, "1", [1], None)}) == 5


def test_arrays_become_lists_and_what_is_not_finite_becomes_null() -> None:
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": [float("nan"), float("inf")], "d": np.array([np.nan])}
    assert plain(value) == {"a": 0.5, "b": [0, 1, 2], "c": [None, None], "d": [None]}
    with pytest.raises(TypeError, match="set cannot be written as JSON"):
        plain({"x": {1}})


def test_a_file_appears_whole_or_not_at_all(home: Path) -> None:
    final = home / "sites.parquet"
    with pytest.raises(KeyError), replacing(final) as draft:  # noqa: PT012
        draft.write_text("half")
        raise KeyError
    assert list(home.iterdir()) == []
    with replacing(final) as draft:
        draft.write_text("whole")
        assert not final.exists()
    assert [entry.name for entry in home.iterdir()] == ["sites.parquet"]
