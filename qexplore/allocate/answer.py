"""The answer to a budget: bits of every site, what they cost, and how good they are proven to be."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Answer:
    """An allocation that meets its budget.

    bits: {site: bits} in network order. loss: sum of the sites' losses, after clamping, in the unit of the table
    (nats). cost: weight_bits, activation_bits, kb, gbops, those that the table can count. frontier: a row a corner of
    loss against each limit of the budget (column `limit`), the other side as it is here; columns as the function
    `frontier` has them. bound: no allocation within the budget has a lower loss. exact: the loss is proven to be that
    optimum. hull_loss: loss of the quick answer.
    clamped: (site, bits) whose loss was negative or rose with the bits, and was lowered to that of fewer bits.
    prices: for each limit of the budget, the loss that one more unit of it saves (one more average bit, KB, GBOP).
    uncounted_macs: multiply-accumulates an image, at least, of products of two activations, which gbops leave out.
    seconds: time taken. note: one sentence where something is left to say, else empty.
    """

    bits: dict[str, int]
    loss: float
    cost: dict[str, float]
    frontier: pd.DataFrame
    bound: float
    exact: bool
    hull_loss: float
    clamped: list[tuple[str, int]] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=dict)
    uncounted_macs: int = 0
    seconds: float = 0.0
    note: str = ""

    @property
    def price(self) -> float:
        """Loss that one more unit of the budget's first limit saves: one more average bit, where bits are limited."""
        return next(iter(self.prices.values()), 0.0)

    @property
    def uncounted(self) -> str:
        """The sentence on what the cost in GBOPs leaves out; empty where it leaves out nothing."""
        if not self.uncounted_macs:
            return ""
        return (
            f"GBOPs leave out the products of two activations (attention): at least {self.uncounted_macs:,} MACs an "
            "image."
        )

    @property
    def gap(self) -> float:
        """How much higher than the bound the loss is, as a fraction of the loss; 0 for a proven optimum."""
        return 0.0 if self.exact or self.loss == 0 else (self.loss - self.bound) / self.loss

    @property
    def hull_gap(self) -> float:
        """How much higher than this loss that of the quick answer was, as a fraction of this loss."""
        return 0.0 if self.hull_loss == self.loss else (self.hull_loss - self.loss) / (self.loss or 1.0)

    def to_frame(self) -> pd.DataFrame:
        """A row a site: site, bits."""
        return pd.DataFrame({"site": list(self.bits), "bits": list(self.bits.values())})
