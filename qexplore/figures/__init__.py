"""Tables in, figures out. Nothing here knows Streamlit or torch; every figure brings its data and a sentence."""

from qexplore.figures.agreement import agreement, correlations
from qexplore.figures.allocation import allocation
from qexplore.figures.channels import channels
from qexplore.figures.compare import compare
from qexplore.figures.debugging import culprits
from qexplore.figures.figure import Figure, Live, Still
from qexplore.figures.frontier import frontier
from qexplore.figures.graph import graph, near
from qexplore.figures.grid import Grid, grid
from qexplore.figures.heatmap import heatmap
from qexplore.figures.histogram import histogram
from qexplore.figures.left_out import left_out
from qexplore.figures.losses import losses
from qexplore.figures.ranking import ranking
from qexplore.figures.waterfall import waterfall

__all__ = [
    "Figure",
    "Grid",
    "Live",
    "Still",
    "agreement",
    "allocation",
    "channels",
    "compare",
    "correlations",
    "culprits",
    "frontier",
    "graph",
    "grid",
    "heatmap",
    "histogram",
    "left_out",
    "losses",
    "near",
    "ranking",
    "waterfall",
]
