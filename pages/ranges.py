"""Ranges: which range for which site?"""

from qexplore import ui
from qexplore.ui.ranges import page

profile = ui.header("Ranges", "Which range for which site?", judges=True)
page.bench(profile)
