"""bfloat16 is used where the processor has it, and only there."""

from __future__ import annotations

import pytest
import torch

from qexplore.numerics.bfloat16 import half_precision, has_bfloat16

OLD = {"avx2": True, "avx512_f": True, "avx512_bf16": False, "amx_bf16": False, "architecture": "x86_64"}
NEW = ({**OLD, "avx512_bf16": True}, {**OLD, "amx_bf16": True}, {"neon": True, "bf16": True, "architecture": "arm64"})


def product(wanted: bool) -> torch.Tensor:
    with half_precision(wanted):
        return torch.eye(2) @ torch.eye(2)


def seen_as(processor: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)


@pytest.mark.parametrize("processor", NEW)
def test_a_processor_that_has_it_uses_it_where_it_is_wanted(
    processor: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen_as(processor, monkeypatch)
    assert has_bfloat16()
    assert product(True).dtype == torch.bfloat16
    assert product(False).dtype == torch.float32


def test_a_processor_that_would_imitate_it_stays_with_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    seen_as(OLD, monkeypatch)
    assert not has_bfloat16()
    assert product(True).dtype == torch.float32
