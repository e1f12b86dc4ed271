"""The controls on top: site, bits, the rest of the network, and the range."""

from __future__ import annotations

import streamlit as st

from qexplore.figures.ranges import decisive
from qexplore.runs.profiles import Profile
from qexplore.ui.chrome import select_site
from qexplore.ui.ranges.choice import HAND, STORED, Choice, read_hand
from qexplore.ui.stored import row_of

WIDTHS = (2, 3, 4, 5, 6, 7, 8)
NAIVE = "min-max"  # the estimator that everything is compared with at first


def choose(profile: Profile) -> Choice:
    """Draws the controls; what the address cannot mean falls back to where the choice matters most."""
    site, bits = decisive(profile.ranges)
    first, second, third = st.columns([2.6, 2, 1.5], vertical_alignment="bottom")
    with first:
        site = _site(profile, site)
    with second:
        picked = st.select_slider(
            "bits of this site", list(WIDTHS), value=bits, key="b", bind="query-params", help="The others keep theirs."
        )
    with third:
        rest = _rest(profile)
    return _by(Choice(profile, site, int(picked), rest, NAIVE))


def _site(profile: Profile, start: str) -> str:
    return select_site(profile.sites.loc[profile.sites["kind"] != "opaque", "site"].tolist(), start)


def _rest(profile: Profile) -> int | None:
    chosen = st.selectbox(
        "bits of all other sites",
        [STORED, "6", "5", "4", "3"],
        key="rest",
        bind="query-params",
        help=f"{STORED}: as the recipe {profile.recipe['name']} has them. With few bits everywhere the errors of all "
        "sites add up, and the choice weighs more.",
    )
    return None if chosen == STORED else int(chosen)


def _by(choice: Choice) -> Choice:
    served = choice.table["method"].tolist()
    options = [*served, HAND]
    if st.session_state.get("by") not in (None, *options):
        st.session_state["by"] = NAIVE  # the estimator of the site before does not serve this one
    picked = st.segmented_control(
        "range of this site",
        options,
        default=NAIVE,
        required=True,
        key="by",
        bind="query-params",
        help=f"Tried against {choice.stored}, the estimator of the stored recipe.",
    )
    by = str(picked or NAIVE)  # an empty word in the address picks nothing
    index = int(row_of(choice.profile.sites, choice.site)["index"])
    ends = read_hand(st.query_params.get("hand"), index) if by == HAND else None
    return Choice(choice.profile, choice.site, choice.bits, choice.rest, by, ends)
