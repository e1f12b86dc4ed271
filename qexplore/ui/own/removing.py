"""Letting go of tasks of one's own, after a second look."""

from __future__ import annotations

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.ui.chrome import START, go_to
from qexplore.ui.foreign import escaped
from qexplore.zoo import entry, own


def removing() -> None:
    """The list of own tasks, each with a way to remove it; nothing where there is none."""
    names = own.folders()
    if not names:
        return
    with st.expander(f"Tasks of your own: {len(names)}", icon=":material/inventory_2:"):
        for name in names:
            _row(name)


def _row(name: str) -> None:
    left, right = st.columns([4, 1], vertical_alignment="center")
    left.markdown(f"**{name}** :gray[:small[{escaped(_about(name))}]]")
    with right.popover("Remove", icon=":material/delete:", key=f"own-remove {name}"):
        st.markdown(f"Remove **{name}** and its weights? Its images and its runs stay.")
        st.button("Yes, remove it", key=f"own-gone {name}", on_click=_remove, args=(name,), type="primary")


def _about(name: str) -> str:
    try:
        return entry(name).description
    except QexploreError:
        return "cannot be read"


def _remove(name: str) -> None:
    try:
        own.remove(name)
    except (QexploreError, OSError) as error:
        st.toast(escaped(str(error)), icon=":material/error:")
        return
    if st.session_state.get("task") == name:
        go_to(START)
    st.toast(f"{name} is removed.", icon=":material/delete:")
