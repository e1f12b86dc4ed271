"""How the range estimators are told apart wherever they are drawn together: a colour and a shape each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qexplore.figures.palette import SERIES

_SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right")
_COLUMNS = {"expr": "width > 700 ? 6 : width > 440 ? 4 : 2"}  # of the legend


def looks(names: Sequence[str], **legend: Any) -> dict[str, Any]:
    """Encodings `color` and `shape` of the field "method", the same for the same names in the same order."""
    many = [names.index(name) for name in names]
    shown = {"title": None, "orient": "bottom", "columns": _COLUMNS, "symbolOpacity": 1, **legend}
    colours = [SERIES[i % len(SERIES)] for i in many]
    shapes = [_SHAPES[i % len(_SHAPES)] for i in many]
    return {
        "color": {"field": "method", "legend": shown, "scale": {"domain": list(names), "range": colours}},
        "shape": {"field": "method", "legend": shown, "scale": {"domain": list(names), "range": shapes}},
    }
