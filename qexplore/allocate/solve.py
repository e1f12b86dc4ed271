"""Budget in, answer out: the quick answer, then, on request, the proven optimum."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd

from qexplore.allocate.answer import Answer
from qexplore.allocate.arrays import Ints
from qexplore.allocate.bitops import BitOps
from qexplore.allocate.budget import Budget
from qexplore.allocate.caps import RESOURCE, Caps, meets, read_caps
from qexplore.allocate.costs import cost_of, scales, spent_exactly
from qexplore.allocate.curve import to_frame, trace
from qexplore.allocate.exact import PROVEN, Improved, solve_side
from qexplore.allocate.fill import fill, give_back
from qexplore.allocate.milp import Effort
from qexplore.allocate.pairs import solve_pairs
from qexplore.allocate.prices import find_prices
from qexplore.allocate.problem import Choice, Problem, read_problem
from qexplore.allocate.quick import Quick, quick_answer
from qexplore.allocate.relaxation import RESOURCES, relax
from qexplore.errors import QexploreError

TIME_LIMIT = 10.0  # seconds


def allocate(
    table: pd.DataFrame,
    budget: Budget,
    *,
    exact: bool = True,
    locked: Mapping[str, int] | None = None,
    time_limit: float = TIME_LIMIT,
    nodes: int | None = None,
) -> Answer:
    """The bits of every site with the lowest loss that meet a budget.

    table: a row a site and bits, with site, kind, numel, bits, loss (nats), and tied, input, macs where known.
    exact: integer programme after the quick answer of the hull; the better of the two is returned. A side without a
    limit gets its highest bits. locked: {site: bits} to keep. time_limit: seconds for the integer programme; nodes: of
    its search tree, which lead to the same answer on any machine. Where either runs out, the answer has exact=False, a
    bound, and a note that says so. Convex hulls (Lagrangian relaxation), then a one-hot integer programme: this
    project's own choice. Raises InfeasibleBudget with the least that is possible, QexploreError for a table or a lock
    that makes no sense.
    """
    began = time.perf_counter()
    if not isinstance(budget, Budget):
        raise QexploreError(f"The budget must be a Budget, such as Budget(weight_bits=4), not {budget!r}.")
    problem = read_problem(table).lock(locked)
    caps = read_caps(problem, budget)
    quick = quick_answer(problem, caps)
    choice, bound = quick.choice, quick.bound
    if exact:
        choice, bound = _improve(problem, caps, quick, began + time_limit, nodes)
    loss = float(problem.loss_of(choice))
    proven = loss - bound <= PROVEN * loss
    _verify(problem, choice, caps)
    bits = problem.bits_of(choice)
    return Answer(
        bits=bits,
        loss=loss,
        cost=cost_of(problem, choice),
        frontier=_frontiers(problem, budget, choice, quick),
        bound=min(bound, loss),
        exact=proven,
        hull_loss=float(problem.loss_of(quick.choice)),
        clamped=list(problem.clamped),
        prices=_prices(problem, budget, caps, quick),
        uncounted_macs=problem.bitops.uncounted if isinstance(problem.bitops, BitOps) else 0,
        seconds=time.perf_counter() - began,
        note=_note(exact, proven, loss, bound, time_limit, nodes),
    )


def _improve(problem: Problem, caps: Caps, quick: Quick, until: float, nodes: int | None) -> tuple[Choice, float]:
    """The better of the quick answer and the integer programme's, and the best bound."""
    if quick.relaxation is None:
        choice, bound = _improve_apart(problem, caps, quick, until, nodes)
        if meets(problem, choice, caps):
            return choice, bound
    relaxation = quick.relaxation or relax(problem)
    priced = quick.priced or find_prices(relaxation, caps)
    known = float(problem.loss_of(quick.choice))
    effort = Effort(until - time.perf_counter(), nodes)
    found, improved = solve_pairs(problem, relaxation, priced, caps, known, effort)
    candidates = [quick.choice] if found is None else [quick.choice, _repaired(problem, found, caps)]
    return _settle(problem, candidates, max(quick.bound, improved.bound), improved)


def _improve_apart(problem: Problem, caps: Caps, quick: Quick, until: float, nodes: int | None) -> tuple[Choice, float]:
    """Each side by itself; a side without a limit is at its optimum already."""
    parts: list[Ints] = []
    bound = 0.0
    limits = (caps.weights, caps.activations)
    for at, side in enumerate((problem.weights, problem.activations)):
        hull, cap, chosen = quick.hulls[at], limits[at], quick.choice[at]
        known = float(side.loss_of(chosen))
        if hull is None or cap is None:
            parts.append(chosen)
            bound += known
            continue
        improved = solve_side(side, hull, cap, known, Effort((until - time.perf_counter()) / (2 - at), nodes))
        best, least = chosen, improved.bound
        if improved.chosen is not None:
            trial = [problem.weights.lowest(), problem.activations.lowest()]
            trial[at] = improved.chosen
            only = Caps(cap, None) if at == 0 else Caps(None, cap)
            repaired = _repaired(problem, (trial[0], trial[1]), only)[at]
            best = min(chosen, repaired, key=lambda levels: float(side.loss_of(levels)))
        loss = float(side.loss_of(best))
        parts.append(best)
        bound += loss if loss - least <= improved.tolerance + PROVEN * loss else least
    return (parts[0], parts[1]), bound


def _repaired(problem: Problem, choice: Choice, caps: Caps) -> Choice:
    """The programme's answer, made to meet the caps where the solver's tolerance let it break one."""
    return choice if meets(problem, choice, caps) else fill(problem, give_back(problem, choice, caps), caps)


def _settle(problem: Problem, choices: list[Choice], bound: float, improved: Improved) -> tuple[Choice, float]:
    """The best of some choices; the bound is closed where it is within the solver's own tolerance."""
    best = min(choices, key=lambda choice: float(problem.loss_of(choice)))
    loss = float(problem.loss_of(best))
    return best, loss if loss - bound <= improved.tolerance + PROVEN * loss else bound


def _verify(problem: Problem, choice: Choice, caps: Caps) -> None:
    spent = spent_exactly(problem, choice)
    if any(cap is not None and spent[name] > cap for name, cap in vars(caps).items()):
        raise AssertionError("an allocation broke its budget; this is a defect of qexplore, not of the table")
    for side, chosen in zip((problem.weights, problem.activations), choice, strict=True):
        if not side.allowed[np.arange(side.size), chosen].all():
            raise AssertionError("an allocation broke a lock; this is a defect of qexplore, not of the table")


def _prices(problem: Problem, budget: Budget, caps: Caps, quick: Quick) -> dict[str, float]:
    """Loss that one more unit of each limit saves; 0 for the looser one of weight_bits and kb."""
    scale = scales(problem)
    each = dict(zip(RESOURCES, quick.prices.tolist(), strict=True))
    found = {limit: each[RESOURCE[limit]] * scale[limit] for limit in budget.limits()}
    if {"weight_bits", "kb"} <= found.keys():
        alone = Budget(weight_bits=budget.weight_bits)
        looser = "kb" if read_caps(problem, alone).weights == caps.weights else "weight_bits"
        found[looser] = 0.0
    return found


def _frontiers(problem: Problem, budget: Budget, choice: Choice, quick: Quick) -> pd.DataFrame:
    return to_frame([trace(problem, limit, choice, quick.prices) for limit in budget.limits()])


def _note(exact: bool, proven: bool, loss: float, bound: float, time_limit: float, nodes: int | None) -> str:
    if proven or not exact:
        return ""
    within = f"{time_limit:g} s" + ("" if nodes is None else f" or {nodes} nodes")
    return (
        f"The optimum was not proven within {within}: this answer is at most "
        f"{100 * (loss - bound) / loss:.2g} % above it."
    )
