"""Networks with sites: capture, placement, costs, execution on the integer grid, evaluation."""

from qexplore.network.accuracy import (
    Accuracy,
    Judged,
    Paired,
    Tally,
    compare,
    cross_entropy,
    evaluate,
    image_losses,
    judge,
    summed_loss,
)
from qexplore.network.capturable import capturable
from qexplore.network.fitting import Own
from qexplore.network.network import Network
from qexplore.network.placement import Site
from qexplore.network.trial import CaptureError

__all__ = [
    "Accuracy",
    "CaptureError",
    "Judged",
    "Network",
    "Own",
    "Paired",
    "Site",
    "Tally",
    "capturable",
    "compare",
    "cross_entropy",
    "evaluate",
    "image_losses",
    "judge",
    "summed_loss",
]
