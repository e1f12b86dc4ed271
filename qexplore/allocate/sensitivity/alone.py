"""One site changed and every other one real: the steps that have to be carried out anew because of it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from qexplore.network import Network, Site
from qexplore.network.execute import Plan, Values


class Alone:
    """The real network with one site other than it was, carried out on from where the site acts.

    plan: the network with the change. enter: what the site makes of its real values, in the plan's units; None where
    the change lies in the plan's weights.
    """

    def __init__(
        self, network: Network, site: Site, plan: Plan, enter: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.site, self.plan, self.enter = site, plan, enter
        anew = _descendants(network, site.at) | ({site.at} if enter is None else set())
        self.steps = [step for step in plan.steps if step.name in anew]

    @staticmethod
    def quantized(network: Network, site: Site, bits: int) -> Alone:
        """The site at `bits` on its own grid; that of the samples stands in where activations are dynamic."""
        with network.static(), network.using({**network.uniform(None, None), site.name: bits}):
            plan = network.plan()
        if site.kind == "weight":
            return Alone(network, site, plan)
        grid = network.fitted(site, bits).grid
        scale, zero = float(grid.scale), float(grid.zero)
        low, high = grid.qmin - zero, grid.qmax - zero
        return Alone(network, site, plan, lambda value: (value / scale).round_().clamp_(low, high))

    def logits(self, known: Values) -> Tensor:
        """Logits from what each operation gives on real numbers."""
        if self.enter is not None:
            known = {**known, self.site.at: self.enter(known[self.site.at])}
        return self.plan.resume(known, self.steps)


def _descendants(network: Network, name: str) -> frozenset[str]:
    """Operations whose result depends on that of `name`."""
    found = {name}
    for op in network.graph.ops:
        if found.intersection(op.inputs):
            found.add(op.name)
    return frozenset(found - {name})
