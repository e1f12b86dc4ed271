"""Benches: speed as ratios taken side by side in one run, found by name."""

from qexplore.bench import (  # noqa: F401  (each files its benches)
    adaround,
    calibration,
    evaluation,
    memory,
    ranges,
    sensitivity,
    solving,
    sweep,
    training,
)
from qexplore.bench.timing import BENCHES

__all__ = ["BENCHES"]
