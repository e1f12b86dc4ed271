"""What the visitor asks: a site, its bits, those of the rest, and a range for it; all of it lives in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from qexplore import figures
from qexplore.recipes.schema import HUGE
from qexplore.runs.profiles import Profile
from qexplore.ui.budgets.why import grid_of
from qexplore.ui.stored import row_of

HAND = "by hand"
STORED = "stored"
Ends = tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """One site with a range of its own in a network.

    bits: of this site; rest: of all others, None as the profile's recipe has them. by: a range estimator or HAND;
    ends: the range by hand, unit of the site.
    """

    profile: Profile
    site: str
    bits: int
    rest: int | None
    by: str
    ends: Ends | None = None

    @property
    def row(self) -> dict[str, Any]:
        """The site in the table of sites."""
        return row_of(self.profile.sites, self.site)

    @property
    def table(self) -> pd.DataFrame:
        """What every estimator makes of this site at these bits."""
        rows = self.profile.ranges
        return rows[(rows["site"] == self.site) & (rows["bits"] == self.bits)]

    @property
    def stored(self) -> str:
        """The estimator of the profile's recipe for sites of this kind."""
        return stored_method(self.profile, str(self.row["kind"]))

    @property
    def per_channel(self) -> bool:
        return bool(self.row["granularity"] == "channel")

    @property
    def shown(self) -> pd.DataFrame:
        """The table, with a row for the range by hand where there is one."""
        if self.by != HAND or self.ends is None:
            return self.table
        return pd.concat([self.table, pd.DataFrame([self._by_hand(self.ends)])], ignore_index=True)

    def _by_hand(self, ends: Ends) -> dict[str, Any]:
        drawn = self.grid(ends)
        values = self.profile.tensor(self.site)
        rounding, clipping = drawn.split(values)
        return {
            "site": self.site,
            "kind": self.row["kind"],
            "method": HAND,
            "bits": self.bits,
            "lo": ends[0],
            "hi": ends[1],
            "scale": drawn.scale,
            "sqnr_db": drawn.sqnr_db(values),
            "rounding": rounding,
            "clipping": clipping,
        }

    @property
    def sampled(self) -> int:
        """How many values of the site the errors of a range by hand are of; 0 where these are all of them."""
        kept = len(self.profile.tensor(self.site))
        images = 1 if self.row["kind"] == "weight" else int(self.profile.header["fp32_calibration"]["images"])
        return kept if kept < int(self.row["numel"]) * images else 0

    def grid(self, ends: Ends) -> figures.Grid:
        """The grid that a range spans at these bits."""
        return grid_of(self.profile, {**self.row, "lo": ends[0], "hi": ends[1]}, self.bits)

    def ends_of(self, method: str) -> Ends:
        """The range by an estimator, that of the widest channel."""
        rows = self.table[self.table["method"] == method]
        return float(rows["lo"].iloc[0]), float(rows["hi"].iloc[0])

    def settings(self, by: str) -> dict[str, Any]:
        """The range `by` as a recipe's key `sites` holds it."""
        if by != HAND:
            return {"method": by}
        assert self.ends is not None
        return {"range": list(self.ends)}

    def allocation(self) -> dict[str, int]:
        """Bits on top of those of the recipe."""
        sites = self.profile.sites.loc[self.profile.sites["kind"] != "opaque", "site"]
        return ({} if self.rest is None else dict.fromkeys(sites, self.rest)) | {self.site: self.bits}


def stored_method(profile: Profile, kind: str) -> str:
    """The estimator of the profile's recipe for all sites of a kind."""
    for step in profile.recipe["steps"]:
        if isinstance(step, dict) and f"{kind}-ranges" in step:
            return str(step[f"{kind}-ranges"].get("method", "mse"))
    return "mse"


def read_hand(text: str | None, index: int) -> Ends | None:
    """The range in an address, '9:-1.2,3.4' for site 9; None where there is none for this site, or none at all, or one
    that no recipe holds.
    """
    where, _, ends = (text or "").partition(":")
    if where != str(index):
        return None
    try:
        lo, hi = (float(end) for end in ends.split(","))
    except ValueError:
        return None
    return (lo, hi) if -HUGE < lo <= 0 <= hi < HUGE and lo < hi else None


def write_hand(index: int, ends: Ends) -> str:
    """A range as the address holds it."""
    return f"{index}:{ends[0]:.5g},{ends[1]:.5g}"


def rounded(ends: Ends) -> Ends:
    """The range as the address would give it back, so that a link measures the very same."""
    return float(f"{ends[0]:.5g}"), float(f"{ends[1]:.5g}")
