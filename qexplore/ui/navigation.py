"""The app's pages, and what happens before each of them."""

from __future__ import annotations

import runpy
from pathlib import Path

import streamlit as st

from qexplore.ui.sentence import sentence
from qexplore.ui.stored import store

_PAGES = {
    "home": ("Home", ":material/home:"),
    "network": ("Network", ":material/account_tree:"),
    "quantizer": ("Quantizer", ":material/stairs:"),
    "ranges": ("Ranges", ":material/width:"),
    "post_training": ("Post-training", ":material/waterfall_chart:"),
    "sensitivity": ("Sensitivity", ":material/grid_on:"),
    "budgets": ("Budgets", ":material/tune:"),
    "training": ("Training", ":material/model_training:"),
    "runs": ("Runs", ":material/list_alt:"),
}
_MARK = str(Path(__file__).with_name("mark.svg"))
_ADDRESS = Path(__file__).with_name("address.js").read_text(encoding="utf-8")
_FOLDER = Path(__file__).parents[2] / "pages"


def app() -> None:
    """The whole app: navigation, style sheet, and the page that the address names."""
    st.session_state["app-began"] = True
    st.set_page_config(page_title="qexplore", page_icon=_MARK, layout="wide")
    pages = {
        title: st.Page(_FOLDER / f"{file}.py", title=title, icon=icon, default=file == "home")
        for file, (title, icon) in _PAGES.items()
    }
    page = st.navigation(list(pages.values()), position="top")
    st.html(Path(__file__).with_name("style.css"))
    st.html(f"<script class='qx-unseen'>{_ADDRESS}</script>", unsafe_allow_javascript=True)
    with sentence():
        store()  # a home that cannot be used stops every page
        _run(page.title)


def _run(title: str) -> None:
    """Carries out the page with this title as a part of app.py, not with `page.run()`.

    For what is bound to the address by `page.run()` belongs to one page: Streamlit 1.67 then takes task and site out of
    the link to the next page. What a page binds alone is dropped when the next page ends; address.js keeps that out of
    the browser's history.
    """
    file = next(file for file, (known, _) in _PAGES.items() if known == title)
    runpy.run_path(str(_FOLDER / f"{file}.py"), run_name="__main__")


def write_address(name: str, text: str) -> None:
    """Puts a setting into the address, unless it stands there.

    Each writing sends the whole address of this page to the browser, which may have gone back to another by then.
    """
    if st.query_params.get(name) != text:
        st.query_params[name] = text


def through_app() -> None:
    """Lets the app run the page where Streamlit runs a file of pages/ alone.

    It does so for an address opened before app.py has run for the first time; the call of st.navigation ends that.
    """
    if "app-began" not in st.session_state:
        app()
        st.stop()
