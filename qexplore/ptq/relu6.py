"""ReLU6 and other bounded ReLUs turned into plain ones."""

from __future__ import annotations

from dataclasses import replace

from qexplore.network import Network
from qexplore.network.graph import Graph, Op
from qexplore.ptq.steps import STEPS, Calibration
from qexplore.report import Report

# What hands values on as they are, or averages of them; and what makes something else of them than a layer would.
PASSES = ("max-pool", "avg-pool", "reshape", "clamp", "concat")
ACTS = ("function", "product", "no-grid")


@STEPS.register("replace-relu6")
def replace_relu6(network: Network, calibration: Calibration, report: Report) -> Network:
    """Replace ReLU6 by ReLU, so that channels can be scaled freely; what passed the bound changes.

    Bounds that are more than an activation stay: those of gates and of a hard sigmoid or swish written out, whose
    result a product or another function reads, at once or after pools, reshapes and concatenations, and that of the
    output (project's own choice).
    The practical route to equalization (AIMET goes it; the white paper's §3.2 scales the bound instead, which
    `equalize` does where bounds are left). What that costs is the change of accuracy and loss in this step's row of the
    result; no image is read for it here, so that recipes without data can take the step.
    """
    graph = network.graph
    bounded = [op for op in graph.ops if op.kind == "clamp" and op.lower == 0 and op.upper is not None]
    graph.replace([replace(op, upper=None) for op in bounded if _is_activation(graph, op)])
    network.set_graph(graph)
    return network


def _is_activation(graph: Graph, clamp: Op) -> bool:
    """Whether layers and sums alone read what comes out of the clamp, whatever it passes on its way to them."""
    seen, ways = {clamp.name}, [clamp.name]
    while ways:
        name = ways.pop()
        readers = set(graph.readers[name])
        if name == graph.output or any(graph.by_name[reader].kind in ACTS for reader in readers):
            return False
        onward = {reader for reader in readers if graph.by_name[reader].kind in PASSES} - seen
        seen |= onward
        ways += onward
    return True
