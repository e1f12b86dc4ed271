"""Runs: what has been done?"""

from qexplore import ui
from qexplore.ui.work import ended, watch

ui.title("Runs", "What has been done?")
if not watch.watch(key="runs"):
    ended.nothing_active()
ended.ended()
