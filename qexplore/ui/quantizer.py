"""The Quantizer's view: one tensor, one grid, computed in the browser while a hand moves."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

_FILES = Path(__file__).with_name("components")
KINDS = ("asymmetric", "symmetric", "unsigned")
_WIDTHS = tuple(str(bits) for bits in range(1, 9))


def _text(*names: str) -> str:
    return "\n".join((_FILES / name).read_text(encoding="utf-8") for name in names)


_view = st.components.v2.component(
    "qexplore.quantizer",
    html=_text("quantizer.html"),
    css=_text("quantizer.css"),
    js=_text("grid.js", "plot.js", "quantizer.js"),
)


def quantizer(
    values: NDArray[np.float32],
    name: str,
    stored: tuple[float, float],
    state: Mapping[str, Any],
    *,
    key: str,
    fixed: bool = False,
) -> dict[str, Any] | None:
    """Draws the view; returns {bits, kind, powerOfTwo, low, high} once a hand has changed it, None before.

    values: sample of the tensor, at most some thousands, in its own unit. stored: the range of the profile.
    state: where to start, with the keys of the answer. fixed: bits and kind of grid have no controls here.
    """
    data = {
        "tensor": key,
        "name": name,
        "values": base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii"),
        "stored": list(stored),
        "state": dict(state),
        "fixed": fixed,
    }
    answer = _view(data=data, key=key, default={"state": None}, on_state_change=lambda: None)
    return None if answer.state is None else dict(answer.state)


def read_state(text: str | None, start: Mapping[str, Any]) -> dict[str, Any]:
    """The state in an address, 'asymmetric,4,-1.5,2'; what cannot be read stays as in `start`."""
    state = dict(start)
    parts = (text or "").split(",")
    if len(parts) != 4:
        return state
    kind, bits, low, high = parts
    grid, _, power = kind.partition("+")
    try:
        ends = float(low), float(high)
    except ValueError:
        return state
    if grid not in KINDS or bits not in _WIDTHS or not np.isfinite(ends).all():
        return state
    return {
        "kind": grid,
        "powerOfTwo": power == "p2" and grid != "asymmetric",
        "bits": int(bits),
        "low": min(ends[0], 0.0),
        "high": max(ends[1], 0.0),
    }


def write_state(state: Mapping[str, Any]) -> str:
    """A state as the address holds it."""
    power = "+p2" if state["powerOfTwo"] else ""
    return f"{state['kind']}{power},{int(state['bits'])},{state['low']:.6g},{state['high']:.6g}"


def cell(task: str, site: str, state: Mapping[str, Any]) -> str:
    """The same error in a notebook."""
    symmetric = state["kind"] != "asymmetric"
    words = {
        "bits": int(state["bits"]),
        "symmetric": symmetric,
        "signed": state["kind"] == "symmetric",
        "power_of_two": bool(state["powerOfTwo"]),
    }
    spec = ", ".join(f"{name}={value}" for name, value in words.items())
    return "\n".join(
        [
            "import torch",
            "from qexplore.numerics import Range, Spec, quantize",
            "from qexplore.runs import profiles",
            "",
            f"x = torch.from_numpy(profiles.load({json.dumps(task)}).tensor({json.dumps(site)}))",
            f"spec = Spec({spec})",
            f"interval = Range(torch.tensor([{state['low']:.6g}]), torch.tensor([{state['high']:.6g}]))",
            "error = quantize(x, spec, interval) - x",
            "10 * torch.log10(x.square().sum() / error.square().sum())   # SQNR in dB",
        ]
    )
