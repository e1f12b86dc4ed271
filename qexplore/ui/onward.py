"""A way on: one sentence, and the page where it can be tried."""

from __future__ import annotations

import streamlit as st


def onward(text: str, page: str, label: str, query: dict[str, str]) -> None:
    """A row with the sentence and a link that opens `page` in the state that `query` names."""
    left, right = st.columns([4, 1.3], vertical_alignment="center")
    left.markdown(text)
    right.page_link(f"pages/{page}.py", label=label, icon=":material/arrow_forward:", query_params=query)
