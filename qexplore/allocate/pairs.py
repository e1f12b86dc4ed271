"""The exact optimum under a budget of GBOPs: a product of bits is linear once pairs of bits are the candidates.

One binary z for each layer and pair (weight bits, activation bits), one binary y for each group of activations and
bits; the pairs of a layer sum to its activation's y. A group of weights on several layers has binaries x that its pairs
sum to.
"""

from __future__ import annotations

import numpy as np

from qexplore.allocate.arrays import Bools, Floats, Ints
from qexplore.allocate.caps import Caps
from qexplore.allocate.exact import PROVEN, Improved
from qexplore.allocate.milp import Effort, Program, minimise
from qexplore.allocate.prices import Priced
from qexplore.allocate.problem import Choice, Problem
from qexplore.allocate.relaxation import Relaxation


def solve_pairs(
    problem: Problem, relaxation: Relaxation, priced: Priced, caps: Caps, known: float, effort: Effort
) -> tuple[Choice | None, Improved]:
    """Best allocation under all caps; `known` is the loss of an answer that is at hand."""
    gap = known - priced.bound
    if gap <= PROVEN * known:
        return None, Improved(None, priced.bound, gap)
    pair, own = _candidates(relaxation, priced.prices, gap * (1 + 1e-9))
    base = relaxation.at(priced.prices[None])
    edge, weight_level, level = np.nonzero(pair)
    group, group_level = np.nonzero(own)
    pairs, owns = len(edge), len(group)
    base_edge, base_own = base.edge[0], base.activation[0]
    edge_loss, loss = relaxation.edge_loss, problem.activations.loss
    objective = np.concatenate(
        [
            edge_loss[edge, weight_level] - edge_loss[edge, base_edge[edge]],
            loss[group, group_level] - loss[group, base_own[group]],
        ]
    )
    program = Program(objective)
    columns = np.full(own.shape, -1)
    columns[group, group_level] = pairs + np.arange(owns)
    program.rows.append((group, columns[group, group_level], np.ones(owns), np.ones(problem.activations.size)))
    program.rows.append(_link_activations(relaxation, edge, level, columns, own))
    if not relaxation.bitops.first.all():
        _link_weights(program, relaxation, edge, weight_level, len(problem.weights.menu))
    size = len(program.objective)
    program.limits += _limits(problem, relaxation, caps, (edge, weight_level, level), (group, group_level), size)
    found = minimise(program, gap=gap, effort=effort)
    improved = Improved(None, max(priced.bound, found.bound + float(base.loss[0])), found.tolerance)
    if found.x is None:
        return None, improved
    picked, chosen = found.x[:pairs] > 0, found.x[pairs : pairs + owns] > 0
    weights = np.full(problem.weights.size, -1, dtype=np.int64)
    weights[relaxation.bitops.weight[edge[picked]]] = weight_level[picked]
    activations = np.full(problem.activations.size, -1, dtype=np.int64)
    activations[group[chosen]] = group_level[chosen]
    complete = (weights >= 0).all() and (activations >= 0).all()
    return ((weights, activations) if complete else None), improved


def _candidates(relaxation: Relaxation, prices: Floats, gap: float) -> tuple[Bools, Bools]:
    """Pairs [E, Bw, Ba] and activation bits [A, Ba] that an answer better than the known one may hold."""
    _, pair, own = relaxation.excess(prices)
    return pair + own[relaxation.bitops.activation][:, None, :] <= gap, own <= gap


def _link_activations(
    relaxation: Relaxation, edge: Ints, level: Ints, columns: Ints, own: Bools
) -> tuple[Ints, Ints, Floats, Floats]:
    """Σ over weight bits of z[edge, ·, level] = y[activation, level], for each edge and each level that is left."""
    activation = relaxation.bitops.activation
    number = np.full((len(activation), own.shape[1]), -1)
    at, levels = np.nonzero(own[activation])
    number[at, levels] = np.arange(len(at))
    row = np.concatenate([number[edge, level], np.arange(len(at))])
    column = np.concatenate([np.arange(len(edge)), columns[activation[at], levels]])
    sign = np.concatenate([np.ones(len(edge)), -np.ones(len(at))])
    return row, column, sign, np.zeros(len(at))


def _link_weights(program: Program, relaxation: Relaxation, edge: Ints, weight_level: Ints, menu: int) -> None:
    """Σ over activation bits of z[edge, level, ·] = x[weight, level]: all edges of a group choose the same bits."""
    bitops = relaxation.bitops
    shared = np.bincount(bitops.weight)[bitops.weight] > 1
    mine = np.flatnonzero(shared[edge])
    edges = np.flatnonzero(shared)
    groups, code = np.unique(bitops.weight[edges], return_inverse=True)
    start = len(program.objective)
    program.objective = np.concatenate([program.objective, np.zeros(len(groups) * menu)])
    position = np.full(len(shared), -1)
    position[edges] = np.arange(len(edges))
    row = np.concatenate([position[edge[mine]] * menu + weight_level[mine], np.arange(len(edges) * menu)])
    column = np.concatenate([mine, (start + code[:, None] * menu + np.arange(menu)).ravel()])
    sign = np.concatenate([np.ones(len(mine)), -np.ones(len(edges) * menu)])
    program.rows.append((row, column, sign, np.zeros(len(edges) * menu)))


def _limits(
    problem: Problem,
    relaxation: Relaxation,
    caps: Caps,
    pairs: tuple[Ints, Ints, Ints],
    owns: tuple[Ints, Ints],
    size: int,
) -> list[tuple[Ints, int]]:
    edge, weight_level, level = pairs
    bitops, weights, activations = relaxation.bitops, problem.weights, problem.activations
    found: list[tuple[Ints, int]] = []
    if caps.weights is not None:
        cost = weights.costs[bitops.weight[edge], weight_level] * bitops.first[edge]
        found.append((_padded(cost, 0, size), caps.weights))
    if caps.activations is not None:
        found.append((_padded(activations.costs[owns], len(edge), size), caps.activations))
    if caps.bitops is not None:
        product = bitops.macs[edge] * weights.menu[weight_level] * activations.menu[level]
        found.append((_padded(product, 0, size), caps.bitops))
    return found


def _padded(values: Ints, start: int, size: int) -> Ints:
    whole = np.zeros(size, dtype=np.int64)
    whole[start : start + len(values)] = values
    return whole
