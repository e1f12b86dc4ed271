"""Sensitivity metrics, found by name: (network, calibration, bits, report) → the table of sites × bits."""

from qexplore.allocate.sensitivity import fit, hessian, measured, signal  # noqa: F401  (each files its metric)
from qexplore.allocate.sensitivity.measured import measured_tables
from qexplore.allocate.sensitivity.metrics import MENU, METRICS, sensitivity_table

__all__ = ["MENU", "METRICS", "measured_tables", "sensitivity_table"]
