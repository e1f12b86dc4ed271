"""Benches: speed as ratios taken side by side in one run, found by name."""

from qexplore.bench import adaround, evaluation, ranges, sensitivity, solving  # noqa: F401  (each files its benches)
from qexplore.bench.timing import BENCHES

__all__ = ["BENCHES"]
