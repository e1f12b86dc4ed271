"""The address of what the visitor sees."""

from __future__ import annotations

from urllib.parse import urlencode

import streamlit as st


def link() -> None:
    """Draws the address of this view, to be copied: of a view as it first comes, that of the page alone."""
    state = urlencode(dict(st.query_params))
    st.code(f"{st.context.url}?{state}" if state else str(st.context.url), language=None, wrap_lines=True)
