"""Post-training: what does each step buy?"""

from qexplore import ui
from qexplore.ui import post_training

profile = ui.header("Post-training", "What does each step buy?")
presets = post_training.choose()
post_training.compare(profile, presets)
post_training.run(profile, presets)
