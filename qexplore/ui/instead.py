"""What a link asked for and cannot have: one quiet sentence beside what is shown in its place."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from qexplore.ui.foreign import code


def asked(key: str, fits: Callable[[str], bool]) -> None:
    """Before the widget `key` is drawn, which drops what it cannot show from the address: remembers that."""
    text = st.query_params.get(key)
    if text is not None and not fits(text):
        st.session_state[_name(key)] = {"asked": text}


def tell(key: str, shown: object, sentence: Callable[[str], str]) -> None:
    """After the widget: the sentence on what was asked for, as long as `shown`, what stands there instead, still does.

    sentence: from what the address asked for, as code; it names what is shown.
    """
    kept = st.session_state.get(_name(key))
    if kept is None:
        return
    if kept.setdefault("shown", shown) != shown:  # the visitor has gone on
        st.session_state.pop(_name(key))
        return
    st.caption(f":material/link_off: {sentence(code(kept['asked']))}")


def between(least: float, most: float = float("inf")) -> Callable[[str], bool]:
    """Whether a text is a number from `least` to `most`."""

    def fits(text: str) -> bool:
        try:
            return least <= float(text) <= most
        except ValueError:
            return False

    return fits


def _name(key: str) -> str:
    return f"instead-of {key}"
