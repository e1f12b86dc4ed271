"""Budgets: how few bits are enough?"""

from qexplore import ui
from qexplore.ui.budgets import page

profile = ui.header("Budgets", "How few bits are enough?", judges=True)
page.bench(profile)
