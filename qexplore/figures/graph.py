"""The network's graph with its sites, as a DOT document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qexplore.figures.palette import BLUE, GREEN, GREY, OCHRE, PURPLE, VERMILLION
from qexplore.figures.words import shorten

_FILL = {
    "conv": BLUE,
    "depthwise": GREEN,
    "linear": BLUE,
    "add": OCHRE,
    "concat": OCHRE,
    "opaque": VERMILLION,
}


def graph(
    nodes: Sequence[Mapping[str, Any]],
    edges: Iterable[Sequence[str]],
    index: Mapping[str, int],
    *,
    picked: str = "",
    across: bool = True,
) -> str:
    """DOT of the captured network; a node that has a site carries its index.

    nodes: name, op, site or None, layer. edges: pairs of names. index: site → its number. picked: site to outline.
    across: left to right, else top to bottom.
    """
    lines = [
        "digraph network {",
        f'  rankdir={"LR" if across else "TB"}; bgcolor="transparent"; nodesep=0.18; ranksep=0.28;',
        '  node [shape=box style="filled,rounded" fontname="Source Sans Pro, sans-serif" fontsize=11 fontcolor="white"'
        f' color="transparent" fillcolor="{GREY}" margin="0.10,0.05" height=0.3 penwidth=2.5];',
        f'  edge [color="{GREY}" arrowsize=0.6];',
    ]
    lines += [f"  {_node(node, index, picked)}" for node in nodes]
    lines += [f"  {_quoted(a)} -> {_quoted(b)};" for a, b in edges]
    return "\n".join([*lines, "}"])


Nodes = list[dict[str, Any]]
Edges = list[tuple[str, str]]


def near(nodes: Sequence[Mapping[str, Any]], edges: Iterable[Sequence[str]], at: str, most: int) -> tuple[Nodes, Edges]:
    """The `most` operations around the one that has the site `at`, in network order; all where there are no more.

    What was cut off becomes one node at each end that says how many they are; edges across the cut lead to it.
    """
    rows: Nodes = [dict(node) for node in nodes]
    place = next((i for i, node in enumerate(rows) if at in (node.get("site"), node.get("weight"))), 0)
    start = min(max(place - most // 2, 0), max(len(rows) - most, 0))
    kept, before, after = rows[start : start + most], rows[:start], rows[start + most :]
    first, last = f"{len(before)} operations before", f"{len(after)} operations after"
    called = {node["name"]: node["name"] for node in kept}
    called |= {node["name"]: first for node in before} | {node["name"]: last for node in after}
    joined = dict.fromkeys((called[a], called[b]) for a, b in edges)
    inside = {node["name"] for node in kept}
    shown = [*([_cut(first)] if before else []), *kept, *([_cut(last)] if after else [])]
    return shown, [edge for edge in joined if inside & set(edge)]


def _cut(name: str) -> dict[str, Any]:
    return {"name": name, "op": "", "site": None}


def _node(node: Mapping[str, Any], index: Mapping[str, int], picked: str) -> str:
    site = node.get("site")
    number = f"\\n{index[site]}" if site is not None and site in index else ""
    text = f"{shorten(str(node['name']), 22)}{number}".replace('"', "'")
    look = f'label="{text}" fillcolor="{_FILL.get(str(node["op"]), GREY)}" tooltip={_quoted(str(site or node["name"]))}'
    ring = f' color="{PURPLE}"' if picked and picked in (site, node.get("weight")) else ""
    return f"{_quoted(str(node['name']))} [{look}{ring}];"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
