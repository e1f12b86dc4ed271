"""Tables, arrays and numbers as plain JSON values, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any

LARGEST = 3.4e38  # of float32


def plain(value: Any) -> Any:
    """`value` as dictionaries, lists, strings, finite numbers, booleans and None.

    A table becomes its rows, an array or a tensor lists; a number that JSON cannot hold (nan, inf) and a missing cell
    become None.
    Raises TypeError for what has no plain form.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, PurePath):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if hasattr(value, "to_dict") and hasattr(value, "columns"):
        return plain(value.to_dict("records"))
    if type(value).__name__ in ("NaTType", "NAType"):  # pandas, which is not imported here
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"A {type(value).__name__} cannot be written as JSON")


def interval(ends: object) -> tuple[float, float] | None:
    """[lo, hi] as two numbers that float32 can hold, lo below hi; None where it is anything else."""
    if not isinstance(ends, list | tuple) or len(ends) != 2 or any(type(end) not in (int, float) for end in ends):
        return None
    return (float(ends[0]), float(ends[1])) if -LARGEST <= ends[0] < ends[1] <= LARGEST else None
