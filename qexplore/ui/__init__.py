"""The app's parts: pages are sentences made of these. No mathematics, no SQL, no torch."""

from qexplore.ui.chrome import header, pick_site, site_picker, title
from qexplore.ui.draw import figure, table
from qexplore.ui.navigation import app, write_address
from qexplore.ui.stored import profile_of, row_of, scores, store, tasks
from qexplore.ui.strip import Card, strip

__all__ = [
    "Card",
    "app",
    "figure",
    "header",
    "pick_site",
    "profile_of",
    "row_of",
    "scores",
    "site_picker",
    "store",
    "strip",
    "table",
    "tasks",
    "title",
    "write_address",
]
