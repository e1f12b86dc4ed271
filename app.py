"""The app: pages, in the order of the navigation, drawn by qexplore.ui."""

from qexplore import ui

ui.app()
