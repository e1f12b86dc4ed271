"""Network: what am I quantizing?"""

from qexplore import ui
from qexplore.ui import network
from qexplore.ui.own.panel import panel

profile = ui.header("Network", "What am I quantizing?", below=panel)
network.totals(profile)
site = ui.site_picker(profile.sites)
network.graph_and_channels(profile, site)
network.layers(profile)
network.provenance(profile)
panel()
