"""Which images: a folder or an .npz file below the folders that are allowed, or the zoo's own."""

from __future__ import annotations

import streamlit as st

from qexplore.errors import QexploreError
from qexplore.places import roots
from qexplore.ui.foreign import escaped
from qexplore.ui.own.folders import Place, contents, places, typed

ZOO = (Place("digits of the zoo, 8 × 8 grey", "digits"), Place("CIFAR-10 of the zoo, 32 × 32 RGB", "cifar10"))
ALLOW = (
    "No folder of images is allowed yet. Whoever runs this app allows one with `python -m qexplore data add DIR`, or "
    "starts it with `python -m qexplore app --data DIR`."
)
_FORMS = (
    "A folder with a subfolder of pictures for each class (or `train/` and `test/` of them, or `images/` and "
    "`masks/`), or an .npz file with the arrays x and y."
)


def choose() -> str | None:
    """Draws the controls; the source of the images, None until there is one that may be used."""
    found = [*places(roots()), *ZOO]
    known = {place.label: place for place in found}
    label = st.selectbox(
        "images",
        list(known),
        index=None,
        key="own-images",
        placeholder="pick a folder, or type its path",
        accept_new_options=True,
        help=_FORMS,
    )
    if not roots():
        st.caption(ALLOW)
    if not label:
        return None
    try:
        place = known.get(label) or typed(label)
    except QexploreError as error:
        st.error(escaped(str(error)), icon=":material/block:")
        return None
    told = contents(place.source)
    if told:
        st.caption(f"{told[0].upper()}{told[1:]}{'' if told.endswith('*') else '.'}")
    return place.source
