"""Post-training quantization: steps found by name, network in, network out."""

from qexplore.ptq import (  # noqa: F401  (each files its steps)
    absorption,
    adaround,
    batchnorm,
    bias,
    equalization,
    ranges,
    relu6,
    set_bits,
)
from qexplore.ptq.steps import STEPS, Calibration, Keeper, State, Step

__all__ = ["STEPS", "Calibration", "Keeper", "State", "Step"]
