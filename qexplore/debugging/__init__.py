"""Debugging: why a quantized network is worse than its model, where, and what would repair it."""

from qexplore.debugging.diagnosis import Diagnosis, debug
from qexplore.debugging.finding import Finding, Fix

__all__ = ["Diagnosis", "Finding", "Fix", "debug"]
