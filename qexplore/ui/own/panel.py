"""The part of the Network page that takes a visitor's own network in, and lets go of it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.figures.words import seconds
from qexplore.ui.chrome import go_to
from qexplore.ui.desk import desk
from qexplore.ui.foreign import code, escaped
from qexplore.ui.origin import images_told
from qexplore.ui.own import helper, images, network
from qexplore.ui.own.adding import Adding, begin, name_of
from qexplore.ui.own.network import Network
from qexplore.ui.own.removing import removing
from qexplore.ui.sentence import sentence
from qexplore.ui.snippets import OWN_MODEL
from qexplore.ui.unmeasured import queue
from qexplore.zoo import own

_EVERY = 0.4  # seconds between two looks at something that is under way
_SHOWN = 12  # entries of weights that are named
_PICKS = ("own-model", "own-images", "own-weights ", "own-name ")  # what the keys of the form's fields begin with


def panel() -> None:
    """Everything about networks of one's own."""
    st.markdown(
        "**Your own network** :gray[:small[torchvision's models, or weights of yours for a known architecture]]"
    )
    with st.container(border=True, key="own"):
        under_way = st.session_state.get("own-adding")
        if under_way is not None:
            _watch(under_way)
        else:
            if st.session_state.pop("own-restore", False):
                _keep()
            _added(st.session_state.get("own-added"))
            _form()
    removing()
    with st.expander("From a notebook or a script: any torch.nn.Module", icon=":material/code:"):
        st.code(OWN_MODEL)


def _form() -> None:
    left, right = st.columns(2, gap="large")
    with right:
        source = images.choose()
    with left:
        chosen = _network()
    _trouble(st.session_state.get("own-trouble"))
    if chosen is None or source is None:
        _keep("own-name ")
        st.session_state["own-named"] = None
        st.caption("A network and its images are tried together before anything is kept; then everything is measured.")
        return
    proposed = name_of(chosen.model, source)
    where, button = st.columns([3, 1.2], vertical_alignment="bottom")
    key = f"own-name {proposed}"
    if st.session_state.get("own-named") != key:  # the browser has forgotten a field that was not there meanwhile
        st.session_state[key] = st.session_state.get(key) or proposed
        st.session_state["own-named"] = key
    name = where.text_input("name of the task", max_chars=64, key=key)
    button.button(
        "Add and measure",
        type="primary",
        icon=":material/add:",
        key="own-add",
        on_click=_add,
        args=(name, chosen, source),
    )


def _network() -> Network | None:
    try:
        known = helper.catalogue()
    except (QexploreError, RuntimeError) as error:
        st.warning(f"torchvision's models cannot be listed: {escaped(str(error))}", icon=":material/warning:")
        st.button("Try again", key="own-again", on_click=lambda: desk("catalogue").forget("catalogue"))
        known = {}
    if known is None:
        _until(lambda: helper.catalogue() is not None, "Reading torchvision's list of models, once …")
        return None
    return network.choose(known)


def _add(name: str, chosen: Network, source: str) -> None:
    """Starts to add; what could be said at once is said at once."""
    st.session_state["own-trouble"] = st.session_state["own-added"] = None
    try:
        own.require_free(name)
        words = {"name": name, "model": chosen.model, "data": source, "seed": 0, "title": ""}
        st.session_state["own-adding"] = begin(words, chosen.upload)
    except QexploreError as error:
        st.session_state["own-trouble"] = {"trouble": str(error)}
    except OSError as error:
        st.session_state["own-trouble"] = {"trouble": f"The file cannot be kept ({error.strerror})."}


def _watch(adding: Adding) -> None:
    """The progress of what is being added; then the task's page, or what was wrong and the form as it was."""
    _keep()

    @st.fragment(run_every=_EVERY)
    @sentence()
    def look() -> None:
        if adding.future.done():
            _ended(adding)
            st.rerun()
        share, text, left = adding.progress
        told = f"{text}{f' · {seconds(left)} left' if left is not None else ' …'}"
        st.progress(share, text=f":material/progress_activity: **Adding {adding.name}** · {escaped(told)}")

    look()


def _keep(*picks: str) -> None:
    """What was picked outlives a redraw without these fields, which would be forgotten; to be called as well when they
    come back, or the browser draws them as if nothing were picked. picks: what their keys begin with; all when none.
    """
    for key in _picked(picks or _PICKS):
        st.session_state[key] = st.session_state[key]


def _picked(picks: tuple[str, ...]) -> list[str]:
    return [str(key) for key in st.session_state if str(key).startswith(picks)]


def _ended(adding: Adding) -> None:
    st.session_state["own-adding"] = None
    found = adding.outcome()
    if "trouble" in found:
        st.session_state["own-trouble"] = found
        st.session_state["own-restore"] = True
        return
    for key in _picked(_PICKS):
        del st.session_state[key]
    queue(str(found["name"]))
    st.session_state["own-added"] = found
    go_to(str(found["name"]))


def _added(found: Mapping[str, Any] | None) -> None:
    """What came of the last task that was added: how its images were read, and what was left out."""
    if found and found["name"] in own.names():
        st.success(f"**{found['name']}** is added.", icon=":material/check_circle:")
        st.caption(" · ".join(dict.fromkeys([*images_told(found), *map(escaped, found["notes"])])))


def _until(ready: Any, text: str) -> None:
    @st.fragment(run_every=_EVERY)
    @sentence()
    def look() -> None:
        if ready():
            st.rerun()
        st.caption(f":material/progress_activity: {text}")

    look()


def _trouble(found: Mapping[str, Any] | None) -> None:
    """Why a task was not added; the one that is open stays as it is."""
    if not found:
        return
    st.error(escaped(str(found["trouble"])), icon=":material/block:")
    lists = {what: found.get(what) or [] for what in ("missing", "unexpected", "misshapen")}
    if any(lists.values()):
        with st.expander("Which entries do not fit", icon=":material/rule:"):
            for what, names in lists.items():
                if names:
                    more = f" … and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
                    st.markdown(f"**{what}**, {len(names):,}: {', '.join(map(code, names[:_SHOWN]))}{more}")
