"""Every page opens on every task, says what it shows, and gives its data away."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from qexplore import zoo
from qexplore.ui.foreign import escaped
from tests.pages.conftest import APP
from tests.pages.words import words

PAGES = sorted(path.stem for path in (Path(__file__).parents[2] / "pages").glob("*.py"))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens(opened: Callable[..., AppTest], page: str) -> None:
    assert words(opened(page))


@pytest.mark.parametrize("page", sorted({*PAGES} - {"home", "runs"}))
@pytest.mark.parametrize("task", zoo.names())
def test_a_page_opens_on_the_task_of_its_address(opened: Callable[..., AppTest], page: str, task: str) -> None:
    at = opened(page, task=task)
    assert at.selectbox(key="task").value == task
    assert zoo.entry(task).title in words(at)


@pytest.mark.parametrize("page", ["network", "ranges", "sensitivity", "budgets", "training"])
def test_each_figure_has_an_alternative_text(opened: Callable[..., AppTest], page: str) -> None:
    at = opened(page)
    charts = [c for kind in ("vega_lite_chart", "plotly_chart", "graphviz_chart") for c in at.get(kind)]
    assert charts
    assert all(len(chart.proto.alt) > 20 for chart in charts)
    live = at.get("vega_lite_chart")
    assert words(at).count('<p class="qx-said">') == len(live)


def test_a_site_that_is_picked_stays_picked_on_the_next_page(opened: Callable[..., AppTest]) -> None:
    at = opened("network", site="classifier.weight")
    assert at.selectbox(key="site").value == "classifier.weight"
    at.switch_page("pages/sensitivity.py").run()
    assert at.selectbox(key="site").value == "classifier.weight"


@pytest.mark.usefixtures("bench")
def test_a_home_that_cannot_be_used_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("QEXPLORE_HOME", str(file))
    at = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not at.exception
    assert "cannot be used" in at.error[0].value
    assert escaped("QEXPLORE_HOME") in at.error[0].value


def test_a_task_made_on_purpose_says_so(opened: Callable[..., AppTest]) -> None:
    assert "on purpose" in opened("network", task="mobilenet-digits-unbalanced").info[0].value


@pytest.mark.parametrize(
    ("task", "network", "split"),
    [
        ("mobilenet-digits", "Trained for the zoo.", "1,041 for training, 256 for calibration, 500 for evaluation"),
        (
            "mobilenet-digits-unbalanced",
            "Made from `mobilenet-digits`, with no training of its own.",
            "1,041 for training, 256 for calibration, 500 for evaluation",
        ),
        (
            "resnet20-cifar10",
            "Trained for the zoo.",
            "48,976 for training, 1,024 for calibration, 10,000 for evaluation",
        ),
    ],
)
def test_the_network_page_tells_where_network_and_images_come_from(
    opened: Callable[..., AppTest], task: str, network: str, split: str
) -> None:
    said = words(opened("network", task=task))
    assert f"Split: {split}" in said
    assert [end in said for end in ("Trained for the zoo.", network)] == [network == "Trained for the zoo.", True]


def test_the_runs_page_says_what_to_do_while_nothing_has_run(opened: Callable[..., AppTest]) -> None:
    assert "start one on Post-training" in opened("runs").info[0].value


@pytest.mark.parametrize("name", ["nope", "", "<b>"])
def test_a_task_like_no_other_is_told_by_its_own_name(opened: Callable[..., AppTest], name: str) -> None:
    at = opened("network", task=name)
    assert at.selectbox(key="task").value == "mobilenet-digits"
    assert f"There is no task {escaped(repr(name))}; known: mobilenet-digits" in at.warning[0].value


def test_the_network_page_tells_its_accuracy_once_and_names_no_module_of_the_engine(
    opened: Callable[..., AppTest],
) -> None:
    told = words(opened("network"))
    assert told.count("99.6 %") == 1
    assert "qexplore.runs" not in told
    assert "qexplore.runs" not in words(opened("post_training"))
