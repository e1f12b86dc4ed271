"""What a link or somebody's file says is shown as text: it puts no picture and no link onto a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from qexplore.escaping import escaped
from qexplore.figures import Still
from qexplore.recipes import Recipe
from qexplore.runs import Store
from qexplore.runs.records import Records
from qexplore.ui import draw
from qexplore.ui.foreign import whole
from qexplore.ui.post_training.address import pack
from tests.executors import Idle
from tests.pages.owned import own_task
from tests.pages.test_unmeasured import measured

Open = Callable[..., AppTest]
TASK = "resnet-digits"
STRANGE = "![i](https://nowhere.example/x.png)`www.nowhere.example"
KINDS = ("markdown", "caption", "error", "warning", "info", "success", "toast", "progress", "page_link", "toggle")
RECIPE = {"name": STRANGE, "steps": ["fold-bn", "weight-ranges", STRANGE], "sites": {STRANGE: {"bits": 3}}}


@pytest.fixture
def shelf(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store whose runs nobody carries out, for the pages too."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())
    return Store(home)


def told(at: AppTest) -> list[str]:
    """All that is read as Markdown: bodies, labels and the help beside them."""
    protos = [element.proto for kind in KINDS for element in at.get(kind)]
    fields = ("body", "label", "text", "help")
    return [str(getattr(proto, field)) for proto in protos for field in fields if getattr(proto, field, "")]


def meant(text: str) -> bool:
    """Whether Markdown would read anything into STRANGE; what stands in code is text."""
    plain = re.sub(r"`[^`]*`", "", text.replace("\\`", ""))
    return any(mark in plain for mark in ("![i]", "://nowhere", "www.nowhere"))


def shown(at: AppTest) -> bool:
    """Whether STRANGE stands on the page, and as text everywhere."""
    texts = told(at)
    assert [text for text in texts if meant(text)] == []
    return any("nowhere" in text for text in texts)


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("network", {"task": STRANGE}),
        ("budgets", {"lock": STRANGE}),
        ("training", {"run": STRANGE}),
        ("training", {"runs": STRANGE, "view": "compare"}),
        ("ranges", {"site": STRANGE}),
        ("runs", {"run": STRANGE}),
        ("post_training", {"recipe": pack({"recipe": RECIPE})}),
        ("post_training", {"recipe": pack({"recipe": RECIPE}), "debug": "as above"}),
        ("post_training", {"recipe": pack({"recipe": RECIPE}), "off": STRANGE}),
        ("post_training", {"recipe": pack({"recipe": RECIPE, "before": RECIPE, "label": STRANGE})}),
        ("post_training", {"recipe": pack({"recipe": {**RECIPE, STRANGE: 1}})}),
    ],
)
def test_what_a_link_says_is_shown_as_text(opened: Open, shelf: Store, page: str, query: dict[str, str]) -> None:
    Records(shelf.root).finish(shelf.submit({"kind": "recipe", "task": TASK, "recipe": "w8a8", "seed": 0}), "done")
    assert shown(opened(page, **({"task": TASK} | query)))


def run_of(shelf: Store, state: str, **changes: Any) -> str:
    """A run of a recipe with a strange name, working or ended by an error that is no less strange."""
    recipe = {"name": STRANGE, "steps": ["fold-bn", "weight-ranges", "activation-ranges", "qat"]}
    run = shelf.submit({"kind": "recipe", "task": TASK, "recipe": recipe, "seed": 0, **changes})
    records = Records(shelf.root)
    records.claim(run, 1, "then")
    if state:
        records.finish(run, state, error=f"The file {STRANGE} is gone.")
    return run


@pytest.mark.parametrize("state", ["", "failed", "lost"])
@pytest.mark.parametrize("page", ["home", "runs", "training"])
def test_what_a_run_is_called_and_died_of_is_shown_as_text(opened: Open, shelf: Store, page: str, state: str) -> None:
    run = run_of(shelf, state)
    query = {} if page == "home" else {"run": run}
    assert shown(opened(page, **({"task": TASK} if page == "training" else {}), **query))


def test_why_the_last_attempt_failed_is_shown_as_text(opened: Open, shelf: Store, home: Path) -> None:
    own_task(home, "mine")
    run_of(shelf, "failed", kind="profile", task="mine")
    assert shown(opened("budgets", task="mine"))
    recipe = Recipe.from_document({"name": "other", "steps": ["fold-bn", "weight-ranges"]}).to_document()
    run_of(shelf, "failed", kind="ablation", recipe=recipe)
    assert shown(opened("post_training", task=TASK, recipe=pack({"recipe": recipe})))


def test_what_a_task_of_ones_own_says_of_itself_is_shown_as_text(opened: Open, shelf: Store, home: Path) -> None:
    own_task(home, "mine", title=STRANGE, data=f"folder:/nowhere/{STRANGE}", model=STRANGE)
    measured(home, "mine")
    folder = shelf.folder(shelf.runs(limit=1)[0].id)
    header = json.loads((folder / "profile.json").read_text())
    data = {"notices": [STRANGE], "skipped": 1, "skipped_files": [[STRANGE, STRANGE]], "preprocessing": STRANGE}
    (folder / "profile.json").write_text(json.dumps({**header, "data": data}))
    at = opened("network", task="mine")
    assert shown(at)
    (lines,) = (text for text in told(at) if text.startswith("- Network: "))
    assert lines.count("nowhere.example/x.png") == 6  # network, images, preprocessing, notice, file and reason


def test_the_words_of_a_figure_are_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("qexplore.ui.draw.st.markdown", said.append)
    draw.table(Still("name", STRANGE, "", pd.DataFrame({"x": [1]})), "key")
    assert said == [escaped(STRANGE)]


@pytest.mark.parametrize(
    ("text", "shows"),
    [
        ("see https://a.b or HTTP://c", "see https:&#8288;//a.b or HTTP:&#8288;//c"),
        ("www.a.b, WWW.a.b", "www&#8288;.a.b, WWW&#8288;.a.b"),
        ("me@a.b", "me@&#8288;a.b"),
        ("https&#58;//a.b &lt;", r"https\&\#58;//a.b \&lt;"),
        ("a\n\n# b\n---\n- c", r"a \# b --- - c"),
        ("Run 12 at 3:4, w3a3-per-tensor.", "Run 12 at 3:4, w3a3-per-tensor."),
    ],
)
def test_what_would_be_a_link_or_a_block_is_a_line_of_text(text: str, shows: str) -> None:
    assert escaped(text) == shows


def test_a_path_is_told_to_its_end_and_ends_no_code() -> None:
    assert whole(f"/a`b/{'x' * 300}/c\n") == f"`/a b/{'x' * 300}/c�`"
