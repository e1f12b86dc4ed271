"""A figure on a page: the drawing, what to look for, and its data to read and to keep."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import streamlit as st

from qexplore.figures import Figure, Live, Still
from qexplore.ui.foreign import escaped

OnPick = Callable[[dict[str, object]], None]


def figure(
    drawn: Figure,
    *,
    key: str | None = None,
    on_pick: OnPick | None = None,
    words: bool = True,
    beside: Callable[[], object] | None = None,
) -> None:
    """Draws a figure with its alternative text, its caption, and a button for its data.

    on_pick gets the fields of the mark that was clicked. words=False leaves caption and data out, for small pictures.
    beside draws a control beside the caption.
    """
    key = key or drawn.name
    if isinstance(drawn, Live):
        _live(drawn, key, on_pick)
        # A chart whose alt text changes is rebuilt, so the finding, which changes with the data, stands beside it.
        st.html(f'<p class="qx-said">{escape(drawn.alt)}</p>')
    elif isinstance(drawn, Still):
        config = {"displayModeBar": False}
        st.plotly_chart(drawn.plot, key=key, alt=drawn.alt, config=config)
    if words:
        _words(drawn, key, beside)


def _live(drawn: Live, key: str, on_pick: OnPick | None) -> None:
    spec = {**drawn.spec, "datasets": dict(drawn.tables)}
    # A selection that Streamlit does not know of is forgotten whenever data change.
    known = [name for name in (drawn.picks if on_pick else "", drawn.zooms) if name]
    if not known:
        st.vega_lite_chart(None, spec, key=key, alt=drawn.title)
        return

    def picked() -> None:
        marks = st.session_state[key].selection.get(drawn.picks) or []
        if marks and on_pick is not None:
            on_pick(dict(marks[0]))

    st.vega_lite_chart(None, spec, key=key, alt=drawn.title, on_select=picked, selection_mode=known)


def _words(drawn: Figure, key: str, beside: Callable[[], object] | None) -> None:
    row = st.container(key=f"words-{key}")  # style.css keeps caption and data side by side on a phone
    caption, *control, data = row.columns(
        [7, 2.6, 1.2] if beside else [9, 1.2], vertical_alignment="center", gap="small"
    )
    caption.caption(drawn.look)
    if beside is not None:
        with control[0]:
            beside()
    with data:
        shown = st.popover("data", type="tertiary", key=f"{key}-data", on_change="rerun", help="the data as a table")
    if shown.open:
        with shown:
            table(drawn, key)


def table(drawn: Figure, key: str) -> None:
    """The finding in words, the figure's data, and their CSV."""
    st.markdown(escaped(drawn.alt))
    st.dataframe(drawn.data, hide_index=True, height=280)
    text = drawn.data.to_csv(index=False)
    name = f"{drawn.name.replace('/', '-')}.csv"
    st.download_button("CSV", text, name, "text/csv", key=f"{key}-csv", icon=":material/download:", on_click="ignore")
