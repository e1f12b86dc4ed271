"""`qexplore ablate`: carries a recipe out with its steps one after another, and without each of them."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from qexplore.cli import run as words_of_run
from qexplore.cli.lines import accuracy, table
from qexplore.cli.subject import subject
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.metric import MIOU, named, paired_test


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.recipes.ablation import ablate, to_document  # here, because it loads torch

    recipe = words_of_run.recipe(words)
    task = subject(words, watcher)
    return to_document(task.name, recipe, words.seed, ablate(task, recipe, words.seed, watcher))


def text(document: Document) -> str:
    metric = document["accuracy"].get("metric")
    heads = ("", "steps", named(metric), "points", "gained", "lost", "p", "seconds")
    moved = "images with more or fewer pixels right" if metric == MIOU else "images"
    lines = [
        f"FP32      {accuracy(document['fp32'])}",
        f"quantized {accuracy(document['accuracy'])}",
        "",
        table(heads, _rows(document["rows"])),
        "",
        f"points, gained, lost ({moved}) and p ({paired_test(metric)}): compared with the complete recipe.",
    ]
    return "\n".join(lines)


def _rows(rows: list[Mapping[str, Any]]) -> Iterator[tuple[object, ...]]:
    last = ""
    for row in rows:
        group, last = "" if row["group"] == last else row["group"], row["group"]
        name = f"{row['name']} (complete)" if row["complete"] else row["name"]
        shown, points = f"{100 * row['accuracy']:.1f} %", f"{100 * row['change']:+.1f}"
        seconds = round(row["seconds"], 2) or None  # nothing was carried out for the float network
        chance = f"{row['p']:.2g}" if row["p"] >= 0.001 else "< 0.001"
        yield group, name, shown, points, row["gained"], row["lost"], chance, seconds


VERBS.register("ablate")(
    Verb("Tell what each step of a recipe buys, and what leaving it out costs.", words_of_run.add_recipe, work, text)
)
