"""Training: quantization-aware training, bits that are allocated while it goes on, pruning; steps found by name."""

from qexplore.qat import assign, pruning, qbitopt, steps  # noqa: F401  (each files its steps)
