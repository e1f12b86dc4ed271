"""Colours that keep a contrast of 3:1 for graphics (WCAG 2.1, 1.4.11) on Streamlit's light and dark page.

Colour never carries meaning alone: bits are printed as numbers, series differ in shape, references in dash.
"""

from __future__ import annotations

LIGHT_PAGE = "#ffffff"
DARK_PAGE = "#171614"

BLUE = "#0072B2"
VERMILLION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
OCHRE = "#A66F00"
GREY = "#808080"
VIOLET = "#8F5FD7"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, OCHRE, GREY, VIOLET)

BITS = {2: "#7B5BA6", 3: "#4377C4", 4: "#24869B", 5: "#2E8C76", 6: "#3F9150", 7: "#7A8500", 8: "#A67C00"}


def _luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' (WCAG 2.1)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.1)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
