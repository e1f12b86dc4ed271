"""Post-training: what does each step buy?"""

from qexplore import ui
from qexplore.ui.post_training import page

profile = ui.header("Post-training", "What does each step buy?", judges=True)
page.bench(profile)
