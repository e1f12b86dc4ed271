"""Specs, events and results as plain JSON, and the hash that tells whether two specs ask for the same thing."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from qexplore.errors import QexploreError
from qexplore.plain import plain

EXACT = 2.0**53  # above it a float no longer names one integer


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


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    return value
