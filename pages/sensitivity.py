"""Sensitivity: which layers hurt?"""

from qexplore import ui
from qexplore.ui import sensitivity

profile = ui.header("Sensitivity", "Which layers hurt?")
metric, bits = sensitivity.choices(profile)
site = ui.site_picker(profile.sites)
sensitivity.known(profile, metric)
sensitivity.cells(profile, metric, site)
sensitivity.worst(profile, metric, bits, site)
sensitivity.next_steps(profile, metric, bits)
