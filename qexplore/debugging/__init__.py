"""Debugging: why a quantized network is worse than its model, where, and what would repair it.

The report alone needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qexplore.debugging.report import markdown

if TYPE_CHECKING:
    from qexplore.debugging.diagnosis import Diagnosis, debug
    from qexplore.debugging.finding import Finding, Fix

__all__ = ["Diagnosis", "Finding", "Fix", "debug", "markdown"]


def __getattr__(name: str) -> Any:
    if name in ("Diagnosis", "debug"):
        from qexplore.debugging import diagnosis

        return getattr(diagnosis, name)
    if name in ("Finding", "Fix"):
        from qexplore.debugging import finding

        return getattr(finding, name)
    raise AttributeError(f"module 'qexplore.debugging' has no attribute {name!r}")
