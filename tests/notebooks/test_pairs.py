"""Each notebook and its percent-format twin say the same."""

from pathlib import Path

import jupytext
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def cells(path: Path) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source.strip()) for cell in jupytext.read(path).cells]


def test_there_is_a_notebook_for_every_script_and_the_other_way_round() -> None:
    assert NOTEBOOKS
    assert [n.stem for n in NOTEBOOKS] == [s.stem for s in sorted(FOLDER.glob("*.py"))]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_notebook_and_script_hold_the_same_cells(notebook: Path) -> None:
    assert cells(notebook) == cells(notebook.with_suffix(".py"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_notebook_was_executed_from_top_to_bottom(notebook: Path) -> None:
    counts = [cell.execution_count for cell in jupytext.read(notebook).cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
