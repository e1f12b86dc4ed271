"""Networks with sites: capture, placement, costs, execution on the integer grid, evaluation."""

from qexplore.network.accuracy import Accuracy, cross_entropy, evaluate
from qexplore.network.capture import CaptureError
from qexplore.network.network import Network
from qexplore.network.placement import Site

__all__ = ["Accuracy", "CaptureError", "Network", "Site", "cross_entropy", "evaluate"]
