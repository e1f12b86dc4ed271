"""Network: what am I quantizing?"""

from qexplore import ui
from qexplore.ui import network

profile = ui.header("Network", "What am I quantizing?")
network.totals(profile)
site = ui.site_picker(profile.sites)
network.graph_and_channels(profile, site)
network.layers(profile)
network.provenance(profile)
network.bring_your_own()
