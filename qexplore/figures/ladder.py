"""Parts that figures of rows share: bars with their intervals, and a column of figures at the right edge."""

from __future__ import annotations

from typing import Any

from qexplore.figures.palette import GREY

ROW: dict[str, Any] = {
    "field": "row",
    "type": "nominal",
    "sort": None,
    "title": None,
    "axis": {"labelLimit": 150, "ticks": False, "domain": False, "labelPadding": 6},
}


def ladder(x: dict[str, Any], colour: dict[str, Any], said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bars from start to end, and under each the 95 % interval of its end; from the table "bars".

    x: encoding of the field end. colour: encoding of the bars. said: the tooltip.
    """
    data = {"name": "bars"}
    ends = {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": ROW}
    return [
        {
            "data": data,
            "mark": {"type": "bar", "height": 15, "yOffset": -2, "cornerRadius": 1, "minBandSize": 2},
            "encoding": {
                "x": {**x, "field": "start"},
                "x2": {"field": "end"},
                "y": ROW,
                "color": colour,
                "opacity": {"value": 1},
                "tooltip": said,
            },
        },
        {"data": data, "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.5, "yOffset": 11}, "encoding": ends},
        {
            "data": data,
            "mark": {"type": "tick", "height": 16, "width": 3, "yOffset": -2, "thickness": 3, "opacity": 1},
            "encoding": {"x": x, "y": ROW, "color": colour},
        },
    ]


def column() -> dict[str, Any]:
    """The text of each row at the right edge of the figure, in two lines."""
    return {
        "data": {"name": "bars"},
        "mark": {
            "type": "text",
            "align": "right",
            "lineBreak": "\n",
            "lineHeight": 14,
            "dy": -6,
            "fontSize": 12,
            "color": "currentColor",  # of the page's text, light or dark: the drawing is SVG
        },
        "encoding": {"x": {"value": {"expr": "width"}}, "y": ROW, "text": {"field": "text"}},
    }
