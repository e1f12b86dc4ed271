"""One side of an allocation, the weights or the activations: groups of tied sites, their losses and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from qexplore.allocate.arrays import Bools, Floats, Ints
from qexplore.errors import QexploreError


@dataclass(frozen=True)
class Side:
    """Groups that each choose one entry of the menu; the allocation of a side is an array of menu positions [G].

    sites: names; group [S]: the group of each site; menu [B]: bits, ascending; loss [G, B]: non-negative and
    non-increasing along the menu; elements [G]; allowed [G, B]: false where a lock forbids the entry.
    """

    sites: tuple[str, ...]
    group: Ints
    menu: Ints
    loss: Floats
    elements: Ints
    allowed: Bools

    @property
    def size(self) -> int:
        return len(self.elements)

    @property
    def total_elements(self) -> int:
        return int(self.elements.sum())

    @property
    def costs(self) -> Ints:
        """Bits times elements [G, B]."""
        return self.elements[:, None] * self.menu

    @property
    def open_loss(self) -> Floats:
        """The loss [G, B], infinite where a lock forbids the entry."""
        return np.where(self.allowed, self.loss, np.inf)

    def lowest(self) -> Ints:
        """The fewest bits that are allowed, as menu positions [G]."""
        return np.asarray(np.argmax(self.allowed, axis=1))

    def highest(self) -> Ints:
        """The most bits that are allowed, as menu positions [G]."""
        return np.asarray(len(self.menu) - 1 - np.argmax(self.allowed[:, ::-1], axis=1))

    def uniform(self) -> Ints:
        """Every entry of the menu for all groups at once [B, G]; locked groups keep their lock."""
        level = np.broadcast_to(np.arange(len(self.menu))[:, None], (len(self.menu), self.size))
        return np.clip(level, self.lowest(), self.highest())

    def loss_of(self, chosen: Ints) -> Floats:
        """Loss of allocations [..., G] → [...]."""
        return np.asarray(self.loss[np.arange(self.size), chosen].sum(axis=-1))

    def cost_of(self, chosen: Ints) -> Ints:
        """Bits times elements of allocations [..., G] → [...]."""
        return np.asarray((self.elements * self.menu[chosen]).sum(axis=-1))

    def bits_of(self, chosen: Ints) -> dict[str, int]:
        """Bits of each site."""
        bits = self.menu[chosen][self.group].tolist()
        return dict(zip(self.sites, bits, strict=True))

    def lock(self, locked: Mapping[str, int]) -> Side:
        """The side with some of its sites fixed; a lock holds for all sites that are tied to the locked one."""
        allowed = self.allowed.copy()
        holder: dict[int, str] = {}
        for site, bits in locked.items():
            level = np.flatnonzero(self.menu == bits)
            if not len(level):
                menu = ", ".join(map(str, self.menu.tolist()))
                raise QexploreError(f"Site {site!r} cannot be locked at {bits!r} bits; the menu has {menu}.")
            group = int(self.group[self.sites.index(site)])
            other = holder.setdefault(group, site)
            if locked[other] != bits:
                raise QexploreError(
                    f"Sites {other!r} and {site!r} are tied and share their bits, but are locked at "
                    f"{locked[other]} and {bits}; lock one of them."
                )
            allowed[group] = False
            allowed[group, level[0]] = True
        return replace(self, allowed=allowed)
