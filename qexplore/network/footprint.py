"""How much memory the results of a network take: forward alone, and with what a backward pass needs."""

from __future__ import annotations

import math

from qexplore.network.graph import Graph, Op

BYTES = 4  # float32
UNNOTICED = 64 << 20  # bytes that no one misses
VIEWS = ("clamp", "reshape", "value", "no-grid")  # written in place, a view, or small


def micro_batch(graph: Graph, batch: int, besides: int = 0) -> int:
    """Images at a time whose results, all kept for a backward pass, take with `besides` bytes of other things no more
    memory than the forward pass alone has of `batch` images at once (project's own choice); `batch` itself where that
    is little.
    """
    return _fitting(graph, batch, BYTES * sum(map(_made, graph.ops)), besides)


def resumed_batch(graph: Graph, batch: int, besides: int = 0) -> int:
    """The same for a pass that goes on from known results, which stay: it has twice what a whole pass has."""
    return _fitting(graph, batch, 2 * BYTES * live(graph), besides)


def _fitting(graph: Graph, batch: int, image: int, besides: int) -> int:
    """image: bytes that one takes."""
    allowed = max(UNNOTICED, BYTES * batch * live(graph) - besides)
    return max(1, min(batch, allowed // max(image, 1)))


def live(graph: Graph) -> int:
    """Elements an image of the results that are there at once, at most, in a pass that frees what nobody reads."""
    owner: dict[str, str] = {}
    last: dict[str, str] = {}
    for op in graph.ops:
        owner[op.name] = owner[op.inputs[0]] if op.kind in VIEWS and op.inputs else op.name
        last.update(dict.fromkeys((owner[name] for name in op.inputs), op.name))
        last[owner[op.name]] = op.name
    frees: dict[str, list[Op]] = {}
    for name, reader in last.items():
        frees.setdefault(reader, []).append(graph.by_name[name])
    now = most = 0
    for op in graph.ops:
        now += _made(op)
        most = max(most, now)
        now -= sum(map(_made, frees.get(op.name, ())))
    return most


def _made(op: Op) -> int:
    """Elements an image of the new tensor that the operation makes."""
    return 0 if op.kind in VIEWS else math.prod(op.shape)
