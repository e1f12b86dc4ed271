"""The parts of the Network page: totals, graph, layers, ranges of channels, and where all of it comes from."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from qexplore import figures
from qexplore.figures.words import SQNR, seconds
from qexplore.runs.profiles import Profile
from qexplore.ui.draw import figure
from qexplore.ui.lacking import complete
from qexplore.ui.origin import origin
from qexplore.ui.stored import row_of
from qexplore.ui.strip import Card, strip
from qexplore.ui.unmeasured import anew
from qexplore.ui.work.watch import active, ask, watch

_MOST_NODES, _NEARBY = 80, 30  # operations that a graph is drawn whole with, and else around the picked site


def totals(profile: Profile) -> None:
    """Sizes of the FP32 network; its accuracy stands in the line above."""
    count = profile.sites["kind"].value_counts()
    opaque = len(profile.opaque)
    strip(
        [
            Card(
                "size in 32-bit floats",
                f"{profile.parameters * 4 / 1000:,.0f} KB",
                f"{profile.parameters:,} parameters, 4 bytes each",
            ),
            Card("MACs per image", f"{profile.macs:,}", "multiply-accumulates"),
            Card("weight sites", str(count.get("weight", 0)), "one grid, or one a channel, each"),
            Card("activation sites", str(count.get("activation", 0)), "after fused non-linearities"),
            Card("opaque parts", str(opaque), "stay unquantized inside" if opaque else "everything was captured"),
        ]
    )
    for part in profile.opaque:
        st.warning(f"**{part['layer']}** stays unquantized inside: {part['reason']}", icon=":material/visibility_off:")


def graph_and_channels(profile: Profile, site: str) -> None:
    """The graph, and beside it the ranges of the picked site's channels."""
    left, right = st.columns([1, 1.5], gap="large")
    with left:
        graph(profile, site)
    with right:
        channels(profile, site)


def graph(profile: Profile, site: str) -> None:
    """The captured graph; the node of the picked site is ringed."""
    index = dict(zip(profile.sites["site"], profile.sites["index"].astype(int), strict=True))
    row = row_of(profile.sites, site)
    drawn = profile.graph
    nodes = [{**node, "weight": f"{node['layer']}.weight"} for node in drawn["nodes"]]
    whole = len(nodes) <= _MOST_NODES or st.toggle(
        "whole graph", help=f"{len(nodes)} operations, not those nearby alone"
    )
    shown, edges = (nodes, drawn["edges"]) if whole else figures.near(nodes, drawn["edges"], site, _NEARBY)
    dot = figures.graph(shown, edges, index, picked=site, across=False)
    with st.container(border=True, height=460, key="graph"):
        st.graphviz_chart(
            dot, alt=f"Graph of {profile.task}: {len(nodes)} operations; site {row['index']}, {site}, is ringed."
        )
    st.caption(
        "The graph as it was captured, names as in the model's code. The number under a name is its output's site: "
        "what carries none passes its values on. Blue: convolutions and linear layers; green: depthwise; ochre: sums "
        "and joins; red: opaque; ringed: the picked site. A site is a place where numbers are rounded: the weights of "
        "a layer or a tensor of activations, each with bits of its own."
    )


def site_rows(sites: pd.DataFrame) -> pd.DataFrame:
    """The columns of the table of sites that are shown; how much is pruned only where something is."""
    pruned = ["sparsity"] if "sparsity" in sites and bool((sites["sparsity"] > 0).any()) else []
    columns = ["index", "site", "kind", "op", "shape", "numel", "macs", *pruned, "lo", "hi", "sqnr_db", "granularity"]
    return sites[columns]


def layers(profile: Profile) -> None:
    """The table of sites at the recipe's bits."""
    st.markdown("**Sites** :gray[:small[after the recipe " + str(profile.recipe["name"]) + "]]")
    rows = site_rows(profile.sites)
    number = st.column_config.NumberColumn
    st.dataframe(
        rows,
        hide_index=True,
        height=320,
        column_config={
            "numel": number("elements", format="localized"),
            "macs": number(
                "MACs", format="localized", help="MACs of the layer, or of the layers that read the activation"
            ),
            "sparsity": number("pruned", format="percent", help="Share of the elements that are pruned: always 0"),
            "lo": number("low", format="%.3g"),
            "hi": number("high", format="%.3g"),
            "sqnr_db": number("SQNR at 8 bits, dB", format="%.1f", help=SQNR),
        },
        alt=f"{len(rows)} sites of {profile.task} with their sizes, ranges and SQNR.",
    )
    st.caption("Wide ranges with a low SQNR are the first to look at; depthwise layers have few weights a channel.")
    text = rows.to_csv(index=False)
    st.download_button(
        "CSV", text, f"{profile.task}-sites.csv", "text/csv", icon=":material/download:", on_click="ignore"
    )


def channels(profile: Profile, site: str) -> None:
    """Ranges of the output channels of the picked weight, or of the weight next to the picked activation."""
    weights = profile.channels["site"].unique().tolist()
    layer = row_of(profile.sites, site)["layer"]
    shown = site if site in weights else next((name for name in weights if name.startswith(f"{layer}.")), None)
    if shown is None:
        st.caption("Pick a weight to see the ranges of its channels.")
        return
    st.markdown(f"**Channels of** `{shown}`")
    figure(figures.channels(profile.channels, shown), key="channels")


def provenance(profile: Profile) -> None:
    """Where the numbers of the pages come from, and a button to measure them anew on this machine."""
    header = profile.header
    st.markdown("**Images and weights**")
    st.markdown("\n".join(f"- {line}" for line in origin(profile)))
    spec = anew(profile)
    left, right = st.columns([4, 1.2], vertical_alignment="center")
    left.caption(
        f"Everything that the pages show of this task was measured on {header['created'][:10]} in "
        f"{seconds(float(header['seconds']))} with qexplore {header['qexplore']} and torch {header['torch']}."
    )
    with right:
        st.button("Measure anew", icon=":material/refresh:", on_click=ask, args=(spec,), disabled=bool(active([spec])))
    watch([spec], key="profile")
    complete(profile, spec)
