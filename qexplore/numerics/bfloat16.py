"""Products in bfloat16, on processors that have it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def has_bfloat16() -> bool:
    """Whether this processor has instructions for products of bfloat16 numbers (AVX-512, AMX, NEON or SVE)."""
    return any(there for name, there in torch.cpu.get_capabilities().items() if name.endswith("bf16"))


def half_precision(wanted: bool = True) -> AbstractContextManager[object]:
    """Convolutions and matrix products inside it in bfloat16 where that is `wanted` and the processor has it.

    torch imitates bfloat16 on other processors: a training step of ResNet-20 then takes ten times longer than in
    float32 (AVX2), so that they stay with float32.
    """
    return torch.autocast("cpu", torch.bfloat16) if wanted and has_bfloat16() else nullcontext()
