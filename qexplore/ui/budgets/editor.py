"""Bits of single sites by hand: what is typed is locked."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from qexplore.ui.locks import write_locks


def editor(sites: pd.DataFrame, table: pd.DataFrame, bits: Mapping[str, int], locked: Mapping[str, int]) -> None:
    """A table of the sites whose bits and locks can be edited."""
    rows = sites[sites["site"].isin(list(bits))][["index", "site", "kind", "op", "numel"]].reset_index(drop=True)
    rows.insert(2, "bits", rows["site"].map(dict(bits)))
    rows.insert(3, "locked", rows["site"].isin(list(locked)))
    key = f"editor {write_locks(locked, sites)} {sum(bits.values())}"

    def change() -> None:
        edits = st.session_state[key]["edited_rows"]
        st.session_state["lock"] = write_locks(edited(edits, rows, locked), sites)

    st.data_editor(
        rows,
        key=key,
        on_change=change,
        hide_index=True,
        height=340,
        disabled=["index", "site", "kind", "op", "numel"],
        column_config={
            "bits": st.column_config.SelectboxColumn(
                "bits", options=sorted(table["bits"].unique().tolist()), required=True
            ),
            "locked": st.column_config.CheckboxColumn("locked", help="The search may not change these bits."),
            "numel": st.column_config.NumberColumn("elements"),
        },
        alt="Sites with their bits; choose bits to lock a site at them, clear the tick to free it.",
    )


def edited(edits: Mapping[int, Mapping[str, object]], rows: pd.DataFrame, locked: Mapping[str, int]) -> dict[str, int]:
    """Locks after edits {row: {column: value}}: new bits lock a site, a tick keeps its bits, no tick frees it."""
    kept = dict(locked)
    for number, change in edits.items():
        row = rows.iloc[int(number)]
        site = str(row["site"])
        if change.get("locked") is False:
            kept.pop(site, None)
        elif change.get("bits") is not None or change.get("locked"):
            kept[site] = int(str(change.get("bits", row["bits"])))
    return kept
