"""Execution on the integer grid is fake quantization as the white paper writes it: same codes, ties apart."""

from __future__ import annotations

import pytest

from tests.network.nets import NETS, built
from tests.network.reference import assert_equals_fake_quantization, calibrated


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("name", NETS)
def test_codes_are_those_of_the_formulas(name: str, bits: int) -> None:
    model, x = built(name)
    assert_equals_fake_quantization(calibrated(model, x, bits, bits), x)
