"""Figures about ranges: what estimators make of a site, of all sites, of a whole network; and equalization."""

from qexplore.figures.ranges.brackets import brackets
from qexplore.figures.ranges.contest import OVER, contest, decisive
from qexplore.figures.ranges.equalized import equalized, imbalance, touched
from qexplore.figures.ranges.everywhere import everywhere
from qexplore.figures.ranges.outcomes import outcomes
from qexplore.figures.ranges.parts import parts

__all__ = [
    "OVER",
    "brackets",
    "contest",
    "decisive",
    "equalized",
    "everywhere",
    "imbalance",
    "outcomes",
    "parts",
    "touched",
]
