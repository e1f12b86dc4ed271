"""Home: what this is, and four ways on."""

from qexplore import ui
from qexplore.ui import home

ui.title("qexplore", "a quantization laboratory")
home.promise()
home.live()
home.ways()
home.last_runs()
