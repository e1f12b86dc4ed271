"""What the profile of a slow network leaves out: said where it would stand, with the way to have it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from qexplore.runs.profiles import PARTS, Profile
from qexplore.ui.absent import how_to_get
from qexplore.ui.onward import onward
from qexplore.ui.work.watch import active, ask, watch

_WHY = "that would have taken long"


def lacking(profile: Profile, part: str, instead: str = "") -> bool:
    """Whether the profile leaves `part` out (a key of PARTS); then one sentence says so, and where it is measured.

    instead: what the page shows or does in its place, a sentence.
    """
    if part not in profile.left_out:
        return False
    with st.container(border=True, key=f"lacking-{part}"):
        onward(
            f"**Not measured for this task:** {PARTS[part]}, because {_WHY}. {instead}".rstrip(),
            "network",
            "Measure it, at the foot of Network",
            {"task": profile.task},
        )
    return True


def complete(profile: Profile, spec: dict[str, Any]) -> None:
    """All that the profile leaves out in one sentence, and the button that has it measured as well."""
    if not profile.left_out:
        return
    whole = {**spec, "complete": True}
    left, right = st.columns([4, 1.2], vertical_alignment="center")
    left.caption(
        f"Not measured, because {_WHY}: {', '.join(PARTS[part] for part in profile.left_out)}. You can have it "
        "measured in the background, with the time left in view."
    )
    right.button(
        "Measure it all",
        icon=":material/speed:",
        key="measure-all",
        on_click=ask,
        args=(whole,),
        disabled=bool(active([whole])) or bool(how_to_get(profile.task)),
    )
    watch([whole], key="profile-whole")
