"""The grid that is drawn is the grid that the engine computes with."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qexplore.figures import grid
from qexplore.numerics import Range, Spec, quantize
from qexplore.numerics.error import quantization_error

KINDS = [
    {"symmetric": False},
    {"symmetric": True, "signed": True},
    {"symmetric": True, "signed": False},
    {"symmetric": True, "signed": True, "power_of_two": True},
    {"symmetric": True, "signed": False, "power_of_two": True},
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.1), (0.0, 5.0), (-0.25, 0.125), (0.5, 3.0)])
def test_rounded_values_and_errors_are_those_of_the_engine(kind: dict, bits: int, low: float, high: float) -> None:
    x = np.random.default_rng(bits).normal(scale=1.5, size=400).astype(np.float32)
    spec = Spec(bits=bits, **({"signed": False} | kind))
    interval = Range(torch.tensor([low]), torch.tensor([high]))
    drawn = grid(low, high, bits, **kind)
    expected = quantize(torch.from_numpy(x), spec, interval).numpy()
    np.testing.assert_allclose(drawn.rounded(x), expected, atol=1e-5)
    error = quantization_error(torch.from_numpy(x), spec, interval)
    assert drawn.sqnr_db(x) == pytest.approx(error.sqnr_db, abs=1e-3)
    assert drawn.split(x) == pytest.approx((error.rounding, error.clipping), rel=1e-3, abs=1e-6)


def test_an_empty_range_keeps_zero() -> None:
    assert grid(0, 0, 4).rounded(np.zeros(3)).tolist() == [0, 0, 0]
