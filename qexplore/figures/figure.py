"""A figure: what is drawn, the data behind it, and the finding in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from qexplore.plain import plain

PADDING = {"left": 0, "top": 4, "right": 4, "bottom": 3}  # below, the tails of the letters of a title


@dataclass(frozen=True)
class Figure:
    """What every figure has.

    name: word for files and widget keys. alt: the finding, made from the data. look: what to look for.
    data: the table behind the figure, as it is shown and downloaded.
    """

    name: str
    alt: str
    look: str
    data: pd.DataFrame


@dataclass(frozen=True)
class Live(Figure):
    """A Vega-Lite figure that is patched in place: while `spec` stays equal only `tables` travel.

    picks: name of the selection parameter that reports clicks, "" for none. zooms: that of the part of the axes that is
    shown, so that it stays when data change. title: what the figure shows, the same for
    all data; a drawing whose description changed would be built anew instead of patched.
    """

    spec: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    picks: str = ""
    zooms: str = ""
    title: str = ""

    def grown(self) -> Live:
        """The figure whose height is that of its plot: a legend that a narrow page breaks into rows stands below it and
        takes nothing from it.
        """
        return replace(self, spec={**self.spec, "autosize": {"type": "fit-x", "contains": "padding"}})

    def document(self) -> dict[str, Any]:
        """The complete Vega-Lite document with its data inside."""
        tables = {"datasets": plain(self.tables)}
        return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", **self.spec, **tables}

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return {"application/vnd.vegalite.v6+json": self.document(), "text/plain": self.alt}


@dataclass(frozen=True)
class Still(Figure):
    """A plotly figure, for what does not change while one looks at it."""

    plot: Any = None

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.plot._repr_mimebundle_(**options)
