"""Sensitivity metrics, found by name: (network, calibration, bits, report) → the table of sites × bits."""

from qexplore.allocate.sensitivity import fit, hessian, measured, signal  # noqa: F401  (each files its metric)
from qexplore.allocate.sensitivity.metrics import MENU, METRICS, sensitivity_table

__all__ = ["MENU", "METRICS", "PROFILED", "sensitivity_table"]

PROFILED = ("fit", "loss", "sqnr")
"""Metrics whose tables a profile holds; the others ask for too much of a large network, or not of every one."""
