"""Small parts of the pages: addresses, snippets, the desk."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from typing import Any

import pandas as pd
import pytest

import qexplore as qx
from qexplore.cli import allocate, debug, run
from qexplore.runs import prepared
from qexplore.ui import quantizer, snippets
from qexplore.ui.desk import Desk
from qexplore.ui.network import site_rows

START = {"kind": "asymmetric", "powerOfTwo": False, "bits": 4, "low": -1.0, "high": 2.0}


@pytest.mark.parametrize("state", [START, {**START, "kind": "symmetric", "powerOfTwo": True, "bits": 7, "low": 0.0}])
def test_a_state_of_the_quantizer_survives_its_address(state: dict) -> None:
    assert quantizer.read_state(quantizer.write_state(3, state), 3, START) == state


def test_of_a_grid_of_another_site_only_the_bits_are_taken() -> None:
    assert quantizer.read_state("3:symmetric,7,-0.05,0.05", 4, START) == {**START, "bits": 7}
    assert quantizer.named("symmetric,7,-0.05,0.05", 4) == "4:symmetric,7,-0.05,0.05"
    assert quantizer.named("3:symmetric,7,-0.05,0.05", 4) == "3:symmetric,7,-0.05,0.05"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "a,b",
        "asymmetric,4,0,1",
        "3:",
        "3:a,b",
        "3:asymmetric,99,0,1",
        "3:cubic,4,0,1",
        "3:asymmetric,4,nan,1",
        "3:asymmetric,4,x,1",
        "3:symmetric," + "9" * 5000 + ",0,1",
    ],
)
def test_an_address_that_cannot_be_read_changes_nothing(text: str | None) -> None:
    assert quantizer.read_state(text, 3, START) == START


@pytest.mark.parametrize(
    "cell",
    [
        snippets.OWN_MODEL,
        snippets.allocate_cell("resnet-digits", "fit", {"weight_bits": 3.0}, {"stem.conv.weight": 8}, "w8a8", 0),
        snippets.run_cell("resnet-digits", "w8a8", 0),
        snippets.run_cell("resnet-digits", {"name": "mine", "steps": ["fold-bn"]}, 1),
        snippets.ablate_cell("resnet-digits", {"steps": [{"weight-ranges": {"dynamic": True}}]}, 1),
        snippets.debug_cell("resnet-digits", "w8a8", 0),
        snippets.steps_cell("resnet-digits", snippets.recipe_code("standard-w4a8", ["adaround"]), 0),
        quantizer.cell("resnet-digits", "stem.conv.weight", START),
    ],
)
def test_a_snippet_is_python(cell: str) -> None:
    ast.parse(cell)


@pytest.mark.parametrize(("recipe", "named"), [("w4a4", "w4a4"), ({"name": "mine"}, "RECIPE.yaml")])
def test_the_command_line_of_an_allocation_keeps_metric_locks_and_recipe(recipe: Any, named: str) -> None:
    locked, file = {"stem.conv.weight": 8}, "an allocation.yaml"
    said = snippets.allocate_command("resnet-digits", "fit", {"weight_bits": 3.0}, locked, file, recipe, 2)
    first, second = said.splitlines()
    parser = ArgumentParser()
    allocate.arguments(parser)
    words = parser.parse_args(shlex.split(first)[4:])
    assert (words.metric, words.weight_bits, words.lock, words.seed) == ("fit", 3.0, ["stem.conv.weight=8"], 2)
    assert words.recipe == named
    assert str(words.out) == file
    assert shlex.split(second)[3:5] == ["run", "an allocation.yaml"]


@pytest.mark.parametrize("off", [[], ["equalize"], ["equalize", "adaround"]])
@pytest.mark.parametrize("document", [True, False])
def test_a_recipe_in_python_is_that_of_the_page(off: list[str], document: bool) -> None:
    recipe = qx.Recipe.load("standard-w4a8")
    code = snippets.recipe_code(recipe.to_document() if document else recipe.name, off)
    space: dict[str, Any] = {"qx": qx}
    exec(f"recipe = {code}", space)
    assert qx.Recipe.load(space["recipe"]) == (recipe.without(off) if off else recipe)


@pytest.mark.parametrize(
    ("verb", "command"),
    [(run, snippets.run_command), (run, snippets.ablate_command), (debug, snippets.debug_command)],
)
@pytest.mark.parametrize("recipe", ["w8a8", "with a space.yaml"])
def test_a_command_line_says_what_the_page_shows(verb: Any, command: Any, recipe: str) -> None:
    parser = ArgumentParser()
    verb.arguments(parser)
    words, rest = parser.parse_known_args(shlex.split(command("resnet-digits", recipe, 3))[4:])
    assert (words.recipe, words.task, words.seed) == (recipe, "resnet-digits", 3)
    assert rest == ["--json"]


def test_the_allocation_of_a_notebook_cell_is_that_of_the_page() -> None:
    space: dict = {}
    limits = {"weight_bits": 3.0, "activation_bits": 4.0}
    cell = snippets.allocate_cell("resnet-digits", "fit", limits, {"input": 8}, "w8a8", 0)
    exec(cell.replace("answer.cost, result.accuracy", ""), space)
    answer, result = space["answer"], space["result"]
    assert answer.bits["input"] == 8
    assert answer.cost["weight_bits"] <= 3.0
    assert dict(zip(result.sites["site"], result.sites["bits"], strict=True)) == answer.bits
    measured = prepared.answer({"task": "resnet-digits", "bits": answer.bits})
    assert measured["accuracy"] == result.accuracy.to_document()


def test_the_desk_works_on_a_question_once_and_drops_what_was_overtaken() -> None:
    desk, gate, done = Desk(1), threading.Event(), []

    def work(name: str) -> str:
        gate.wait(5)
        done.append(name)
        return name

    first = desk.ask("me", "first", lambda: work("first"))
    overtaken = desk.ask("me", "second", lambda: work("second"))
    again = desk.ask("you", "first", lambda: work("first"))
    last = desk.ask("me", "third", lambda: work("third"))
    gate.set()
    assert last.result(5) == "third"
    assert first is again
    assert overtaken.cancelled() or "second" not in done
    assert done.count("first") == 1


def test_a_desk_works_on_no_more_at_once_than_it_has_threads() -> None:
    desk, at_once, most = Desk(2), set(), []

    def work(number: int) -> int:
        at_once.add(number)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.remove(number)
        return number

    asked = [desk.ask(str(number), number, lambda number=number: work(number)) for number in range(8)]
    assert [future.result(timeout=10) for future in asked] == list(range(8))
    assert max(most) == 2
    assert desk.ask("late", "late", lambda: 9).result(timeout=10) == 9  # its threads have ended, or are about to


def test_what_a_desk_cannot_do_is_told_to_whoever_asks() -> None:
    desk = Desk(1)
    with pytest.raises(ZeroDivisionError):
        desk.ask("me", "nothing", lambda: 1 // 0).result(timeout=10)
    assert desk.ask("me", "more", lambda: 1).result(timeout=10) == 1


def test_an_app_that_is_stopped_waits_for_no_desk() -> None:
    script = (
        "import time; from qexplore.ui.desk import Desk; desk = Desk(1)\n"
        "desk.ask('me', 'slow', lambda: time.sleep(60), patience=0.1); desk.ask('you', 'next', lambda: 1)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_the_desk_waits_only_as_long_as_it_is_told() -> None:
    began = time.perf_counter()
    asked = Desk(1).ask("me", "slow", lambda: time.sleep(1), patience=0.05)
    assert not asked.done()
    assert time.perf_counter() - began < 0.5


def test_the_table_of_sites_tells_what_is_pruned_only_where_something_is() -> None:
    names = ["index", "site", "kind", "op", "shape", "numel", "macs", "lo", "hi", "sqnr_db", "granularity"]
    sites = pd.DataFrame([dict.fromkeys(names, 0)] * 2)
    assert list(site_rows(sites)) == list(site_rows(sites.assign(sparsity=0.0))) == names
    assert list(site_rows(sites.assign(sparsity=[0.0, 0.3]))["sparsity"]) == [0.0, 0.3]
