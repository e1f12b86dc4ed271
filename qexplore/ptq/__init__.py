"""Post-training quantization: steps found by name, network in, network out."""

from qexplore.ptq import absorption, adaround, batchnorm, bias, equalization, ranges, relu6  # noqa: F401  (each files its steps)
from qexplore.ptq.steps import STEPS, Calibration, Keeper, State, Step

__all__ = ["STEPS", "Calibration", "Keeper", "State", "Step"]
