"""Training: what does QAT or QBitOpt recover?"""

from qexplore import ui
from qexplore.ui.training import page

profile = ui.header("Training", "What does QAT or QBitOpt recover?")
page.bench(profile)
