"""What cannot be had: one sentence in place of a traceback, where it would be drawn or, of a click, as a toast.

Both stand before a function or after `with`. Other errors than QexploreError are faults of qexplore and pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.ui.foreign import escaped


@contextmanager
def sentence() -> Iterator[None]:
    """Ends what is drawn with the sentence. Each fragment has its own: what fails in one never reaches the page."""
    try:
        yield
    except QexploreError as error:
        st.error(escaped(str(error)), icon=":material/block:")


@contextmanager
def toast() -> Iterator[None]:
    """Ends what a click has begun with the sentence. Callbacks are carried out before the page that could tell it."""
    try:
        yield
    except QexploreError as error:
        st.toast(escaped(str(error)), icon=":material/error:")
