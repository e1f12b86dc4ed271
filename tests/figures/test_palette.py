"""Every colour that carries a mark can be told from both pages."""

from __future__ import annotations

import pytest

from qexplore.figures import palette

COLOURS = sorted({*palette.SERIES, *palette.BITS.values()})


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("page", [palette.LIGHT_PAGE, palette.DARK_PAGE])
def test_a_colour_reaches_three_to_one_on_both_pages(colour: str, page: str) -> None:
    assert palette.contrast(colour, page) >= 3.0


def test_contrast_is_that_of_the_standard() -> None:
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_neighbouring_bit_widths_have_colours_of_their_own() -> None:
    assert len(set(palette.BITS.values())) == len(palette.BITS)
