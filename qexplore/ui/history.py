"""Undo and redo over the settings of a page: a list of states and a position in it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

State = dict[str, object]
_MOST = 100


def remember(name: str, keys: Sequence[str]) -> None:
    """Files the present values of the widgets `keys` unless they are what history shows already."""
    log = st.session_state.setdefault(name, {"states": [], "at": -1})
    now = {key: st.session_state.get(key) for key in keys}
    if log["at"] >= 0 and log["states"][log["at"]] == now:
        return
    log["states"] = [*log["states"][: log["at"] + 1], now][-_MOST:]
    log["at"] = len(log["states"]) - 1


def undo_redo(name: str) -> None:
    """Two buttons, and Ctrl+Z and Ctrl+Shift+Z."""
    log = st.session_state.get(name, {"states": [], "at": -1})
    last = len(log["states"]) - 1
    _button("undo", "Undo", ":material/undo:", "Ctrl+Z", log["at"] <= 0, name, -1)
    _button("redo", "Redo", ":material/redo:", "Ctrl+Shift+Z", log["at"] >= last, name, +1)


def _button(key: str, label: str, icon: str, shortcut: str, off: bool, name: str, step: int) -> None:
    st.button(
        label,
        key=f"{name}-{key}",
        icon=icon,
        disabled=off,
        shortcut=shortcut,
        on_click=_move,
        args=(name, step),
    )


def _move(name: str, step: int) -> None:
    log = st.session_state[name]
    log["at"] = min(max(log["at"] + step, 0), len(log["states"]) - 1)
    for key, value in log["states"][log["at"]].items():
        st.session_state[key] = value
