"""How bits over time are drawn: the pieces, the numbers in them, and what is marked over them."""

from __future__ import annotations

from typing import Any

from qexplore.figures.figure import PADDING
from qexplore.figures.palette import BITS, GREY, VERMILLION
from qexplore.figures.training.axes import EPOCH

REAL = 0  # the bits of a site that is not quantized
ROOM = 11  # pixels of a row in which a number can be read
Spec = dict[str, Any]


def drawing(step: int, epochs: float) -> Spec:
    """step: pixels of a row. epochs: of the whole training, above 0. Tables: pieces, sites, border, picked, now."""
    x, y = {**EPOCH, "scale": {"domain": [0, epochs], "nice": False}}, _rows(step)
    numbers = [_numbers(x, y, step, epochs)] if step >= ROOM else []
    return {
        "height": {"step": step},
        "width": "container",
        "padding": PADDING,
        "layer": [_pieces(x, y, step), *numbers, *_marked(x, y)],
    }


def _rows(step: int) -> Spec:
    """The axis of the sites."""
    return {
        "field": "index",
        "type": "ordinal",
        "sort": {"field": "rank"},
        "title": "site index",
        "axis": {
            "labelOverlap": step < ROOM,
            "ticks": False,
            "domain": False,
            "labelFontSize": min(10, max(8, step - 2)),
        },
    }


def _pieces(x: Spec, y: Spec, step: int) -> Spec:
    """A rectangle for each stretch of time with the same bits; a click reports its site."""
    named = {"lookup": "index", "from": {"data": {"name": "sites"}, "key": "index", "fields": ["site", "kind"]}}
    return {
        "data": {"name": "pieces"},
        "transform": [named],
        "params": [{"name": "piece", "select": {"type": "point", "fields": ["site"], "toggle": False}}],
        "mark": {"type": "rect", "cursor": "pointer", "height": {"band": 0.9}},
        "encoding": {
            "x": x,
            "x2": {"field": "to"},
            "y": y,
            "color": _colour(step),
            "opacity": {"value": 1},
            "tooltip": [
                {"field": "site"},
                {"field": "index"},
                {"field": "kind"},
                {"field": "bits"},
                {"field": "epoch", "title": "from epoch", "format": ".2~f"},
                {"field": "to", "title": "to epoch", "format": ".2~f"},
            ],
        },
    }


def _colour(step: int) -> Spec:
    """The colour of a number of bits, with a legend where the numbers themselves have no room."""
    legend = {"title": "bits", "orient": "top", "symbolOpacity": 1, "values": [*BITS]}
    return {
        "field": "bits",
        "type": "nominal",
        "scale": {"domain": [*BITS, REAL], "range": [*BITS.values(), GREY]},
        "legend": None if step >= ROOM else legend,
    }


def _numbers(x: Spec, y: Spec, step: int, epochs: float) -> Spec:
    """The bits, printed in the middle of each piece that is wide enough."""
    wide = f"(datum.to - datum.epoch) / {epochs!r} * width > 13"
    return {
        "data": {"name": "pieces"},
        "transform": [
            {"filter": f"datum.bits > 0 && {wide}"},
            {"calculate": "(datum.epoch + datum.to) / 2", "as": "middle"},
        ],
        "mark": {"type": "text", "color": "white", "fontSize": min(11, step - 2), "fontWeight": "bold"},
        "encoding": {"x": {**x, "field": "middle"}, "y": y, "text": {"field": "bits"}},
    }


def _marked(x: Spec, y: Spec) -> list[Spec]:
    """The border between weights and activations, the site that is picked, the moment that is looked at."""
    return [
        {
            "data": {"name": "border"},
            "mark": {"type": "rule", "color": GREY, "strokeWidth": 1.5},
            "encoding": {"y": {**y, "bandPosition": 0}},
        },
        {
            "data": {"name": "picked"},
            "mark": {"type": "rect", "filled": False, "stroke": VERMILLION, "strokeWidth": 2},
            "encoding": {"x": x, "x2": {"field": "to"}, "y": y},
        },
        {
            "data": {"name": "now"},
            "mark": {"type": "rule", "color": VERMILLION, "strokeWidth": 2},
            "encoding": {"x": x},
        },
    ]
