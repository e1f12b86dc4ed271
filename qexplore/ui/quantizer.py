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

from qexplore.figures.words import SQNR
from qexplore.runs.profiles import Profile
from qexplore.ui.ranges.choice import stored_method

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
    channels: int = 0,
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Draws the view; returns {bits, kind, powerOfTwo, low, high} once a hand has changed it, None before.

    values: sample of the tensor, at most some thousands, in its own unit. stored: the range of the profile.
    state: where to start, with the keys of the answer. fixed: bits and kind of grid have no controls here.
    channels: equal slices of `values`, one after another, whose SQNR on grids of their own stands beside that of the
    one grid; 0 where there is none. own: as `recipes_own` gives it, None where it is told elsewhere.
    """
    data = {
        "tensor": key,
        "name": name,
        "values": base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii"),
        "stored": list(stored),
        "state": dict(state),
        "fixed": fixed,
        "channels": channels,
        "own": None if own is None else dict(own),
    }
    answer = _view(data=data, key=key, default={"state": None}, on_state_change=lambda: None)
    return None if answer.state is None else dict(answer.state)


def whole_channels(profile: Profile, row: Mapping[str, Any], values: NDArray[np.float32]) -> int:
    """Number of channels of a weight all of whose values are kept, channel after channel; 0 for any other site."""
    rows = int((profile.channels["site"] == row["site"]).sum())
    return rows if row["kind"] == "weight" and rows and len(values) == int(row["numel"]) else 0


def recipes_own(profile: Profile, row: Mapping[str, Any]) -> dict[str, Any]:
    """What the profile's recipe makes of a site: name (of the figure), and sqnr (bits → SQNR as the page prints it).

    All values of the site, each grid with the range by the recipe's estimator.
    """
    rows = profile.ranges
    rows = rows[(rows["site"] == row["site"]) & (rows["method"] == stored_method(profile, str(row["kind"])))]
    told = {str(bits): _decibels(value) for bits, value in zip(rows["bits"], rows["sqnr_db"], strict=True)}
    return {"name": "SQNR, the recipe's", "sqnr": told}


def about(profile: Profile, row: Mapping[str, Any], values: NDArray[np.float32]) -> str:
    """Which SQNR is of what."""
    channels = whole_channels(profile, row, values)
    told = ["The picture and the errors are of **one grid** for the whole tensor."]
    if channels > 1:
        told.append(f"**{channels} grids**: one a channel, each over the same share of the channel's own range.")
    grids = "one grid a channel, each range" if row["granularity"] == "channel" else "one grid, its range"
    method, name = stored_method(profile, str(row["kind"])), profile.recipe["name"]
    told.append(f"**The recipe's**: as {name} would at these bits, {grids} by {method}.")
    if len(values) < int(row["numel"]) and row["kind"] == "weight":
        told.append(f"The picture has {len(values):,} of {int(row['numel']):,} values, the recipe's SQNR all.")
    return " ".join([*told, SQNR, "The typical error is the root of the mean square, in the unit of the values."])


def _decibels(value: float) -> str:
    return f"{value:.2f} dB" if np.isfinite(value) else "no error"


def read_state(text: str | None, index: int, start: Mapping[str, Any]) -> dict[str, Any]:
    """The state in an address, '9:asymmetric,4,-1.5,2' for site 9; what cannot be read stays as in `start`.

    Of another site's only the bits are taken: its range and its kind of grid mean little to this one.
    """
    state = dict(start)
    where, _, told = (text or "").partition(":")
    parts = told.split(",")
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
    if where != str(index):
        return {**state, "bits": int(bits)}
    return {
        "kind": grid,
        "powerOfTwo": power == "p2" and grid != "asymmetric",
        "bits": int(bits),
        "low": min(ends[0], 0.0),
        "high": max(ends[1], 0.0),
    }


def named(text: str, index: int) -> str:
    """The state in an address with its site; links of an older qexplore name none and mean the one that they open."""
    return text if ":" in text else f"{index}:{text}"


def write_state(index: int, state: Mapping[str, Any]) -> str:
    """The state of a site as the address holds it."""
    power = "+p2" if state["powerOfTwo"] else ""
    return f"{index}:{state['kind']}{power},{int(state['bits'])},{state['low']:.6g},{state['high']:.6g}"


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
