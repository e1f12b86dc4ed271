"""Quantizer: what does a grid do to one tensor?"""

import streamlit as st

from qexplore import ui
from qexplore.ui import quantizer

profile = ui.header("Quantizer", "What does a grid do to one tensor?")
site = ui.site_picker(profile.sites)
row = ui.row_of(profile.sites, site)
index = int(row["index"])
values = profile.tensor(site)
stored = (float(row["lo"]), float(row["hi"]))
start = {"kind": "symmetric" if row["kind"] == "weight" else "asymmetric", "powerOfTwo": False, "bits": 4}
if "grid" in st.query_params:
    ui.write_address("grid", quantizer.named(st.query_params["grid"], index))
state = quantizer.read_state(
    st.query_params.get("grid"), index, {**start, "low": min(stored[0], 0), "high": max(stored[1], 0)}
)
st.caption(
    "Drag the two ends of the range, or let the values decide. A narrow range rounds finely and clips much; a wide one "
    "clips nothing and rounds coarsely. The smallest error lies between."
)
changed = quantizer.quantizer(
    values,
    site,
    stored,
    state,
    key=f"{profile.task} {profile.header['created']} {site}",
    channels=quantizer.whole_channels(profile, row, values),
    own=quantizer.recipes_own(profile, row),
)
st.caption(quantizer.about(profile, row, values))
if changed is not None:
    ui.write_address("grid", quantizer.write_state(index, changed))
with st.expander("The same in a notebook", icon=":material/code:"):
    st.code(quantizer.cell(profile.task, site, changed or state))
