"""The Quantizer page: its grid belongs to the site that it was set on."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from qexplore.runs import profiles
from qexplore.ui.stored import row_of

Open = Callable[..., AppTest]
TASK, NARROW, OTHER = "resnet-digits", "stem.conv.weight", "stem.conv.out"
INDEX = int(row_of(profiles.load(TASK).sites, NARROW)["index"])
ENDS = "interval = Range(torch.tensor([-0.05]), torch.tensor([0.05]))"


def cell(at: AppTest) -> str:
    """The cell that computes what is shown."""
    return next(code.value for code in at.code if "interval = Range" in code.value)


def grid(at: AppTest) -> str:
    told = at.query_params["grid"]
    return told if isinstance(told, str) else told[0]


def test_another_site_keeps_the_bits_and_not_the_range(opened: Open) -> None:
    at = opened("quantizer", task=TASK, site=NARROW, grid=f"{INDEX}:symmetric,6,-0.05,0.05")
    assert ENDS in cell(at)
    at.selectbox(key="site").set_value(OTHER).run()
    row = row_of(profiles.load(TASK).sites, OTHER)
    own = f"Range(torch.tensor([{min(row['lo'], 0):.6g}]), torch.tensor([{max(row['hi'], 0):.6g}]))"
    assert own in cell(at)
    assert "bits=6, symmetric=False" in cell(at)
    at.selectbox(key="site").set_value(NARROW).run()
    assert ENDS in cell(at)


def test_an_older_link_opens_as_it_did_and_names_its_site_from_then_on(opened: Open) -> None:
    at = opened("quantizer", task=TASK, site=NARROW, grid="symmetric,6,-0.05,0.05")
    assert ENDS in cell(at)
    assert grid(at) == f"{INDEX}:symmetric,6,-0.05,0.05"
    at.selectbox(key="site").set_value(OTHER).run()
    assert ENDS not in cell(at)


def test_a_grid_does_not_follow_to_another_task(opened: Open) -> None:
    at = opened("quantizer", task=TASK, site=NARROW, grid=f"{INDEX}:symmetric,6,-0.05,0.05")
    at.selectbox(key="task").set_value("mobilenet-digits").run()
    assert not at.exception
    assert "grid" not in at.query_params
    assert ENDS not in cell(at)
