"""Specs, events and results as plain JSON, and the hash that tells whether two specs ask for the same thing."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import PurePath
from typing import Any

from qexplore.errors import QexploreError

EXACT = 2.0**53  # above it a float no longer names one integer


def plain(value: Any) -> Any:
    """`value` as JSON types: arrays and tensors become lists, what is not finite becomes None.

    Raises TypeError for anything that JSON cannot say.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # numpy and torch, neither of which is imported here
        return plain(value.tolist())
    raise TypeError(f"A {type(value).__name__} cannot be written as JSON")


def dumps(value: Any) -> str:
    """Strict JSON in ASCII: any string survives, lone surrogates too."""
    return json.dumps(plain(value), allow_nan=False)


def check_spec(spec: Any) -> dict[str, Any]:
    """A spec as it is stored; QexploreError where it is no JSON object with a "kind" or holds what is not finite."""
    if not isinstance(spec, dict) or not isinstance(spec.get("kind"), str) or not spec["kind"]:
        raise QexploreError(
            'A run is described by a dictionary with the text "kind", for example {"kind": "recipe", …}.'
        )
    try:
        return json.loads(_json(spec))  # type: ignore[no-any-return]
    except (TypeError, ValueError, RecursionError) as error:
        raise QexploreError(f"The description of the run is not plain JSON: {error}.") from error


def canonical(spec: dict[str, Any]) -> str:
    """One text for all specs that mean the same: keys sorted, tuples as lists, 4.0 as 4."""
    return json.dumps(_whole(json.loads(_json(spec))), sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(spec: dict[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(spec).encode("ascii")).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, default=plain)


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"The key {key!r} is no text")
    return key


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    return value
