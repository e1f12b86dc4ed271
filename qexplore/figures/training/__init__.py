"""Figures of a training: loss and accuracy, bits and costs over time, learned ranges, shares, several runs."""

from qexplore.figures.training.accuracy import accuracy
from qexplore.figures.training.bits import Moment, bits, changes
from qexplore.figures.training.learned import ends, latent
from qexplore.figures.training.limits import NAMES, limits
from qexplore.figures.training.limits import finding as kept
from qexplore.figures.training.loss import loss
from qexplore.figures.training.overlay import LETTERS, overlay
from qexplore.figures.training.rate import rate
from qexplore.figures.training.shares import shares

__all__ = [
    "LETTERS",
    "NAMES",
    "Moment",
    "accuracy",
    "bits",
    "changes",
    "ends",
    "kept",
    "latent",
    "limits",
    "loss",
    "overlay",
    "rate",
    "shares",
]
