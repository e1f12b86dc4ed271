"""`qexplore run`: carries a recipe out on a task and tells the accuracy after every step."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from qexplore.cli.lines import accuracy, table
from qexplore.cli.seed import add_seed
from qexplore.cli.subject import add_subject, require_subject, subject
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.metric import named
from qexplore.recipes import Recipe, presets
from qexplore.recipes.pairs import pairs
from qexplore.runs import Store
from qexplore.zoo import entry

SHOWN = 8  # opaque layers that the text names


def arguments(parser: ArgumentParser) -> None:
    add_recipe(parser)
    parser.add_argument(
        "--background",
        action="store_true",
        help="queue it as a run of this home, with checkpoints; `runs` shows, pauses and resumes it (with --task)",
    )


def add_recipe(parser: ArgumentParser) -> None:
    """The recipe, what it is carried out on, and its seed."""
    parser.add_argument("recipe", metavar="RECIPE", help="name of a preset, or path of a YAML file")
    add_subject(parser)
    said = "a setting of the recipe or of a step, such as weights.bits=4; repeatable"
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=said)
    add_seed(parser)


def recipe(words: Namespace) -> Recipe:
    """The recipe that the words name, with their settings."""
    return Recipe.load(words.recipe).with_settings(pairs(words.set, "--set"))


def work(words: Namespace, watcher: Watcher) -> Document:
    if words.background:
        return _queued(words)
    from qexplore.recipes import run  # here, because it loads torch

    return run(subject(words, watcher), recipe(words), seed=words.seed, on_event=watcher).to_document()


def _queued(words: Namespace) -> Document:
    """The run that a worker of this home carries out."""
    require_subject(words)
    if words.task is None or words.data is not None:
        left_out = "--data" if words.model is None else "--model"
        raise QexploreError(
            f"Only a task with a name can run in the background: leave {left_out} out. 'task add' gives a network and "
            "images of your own a name; 'data add' makes a folder of images known."
        )
    from qexplore.recipes.carry_out import check  # here, because it loads torch

    made = recipe(words)
    check(made)
    asked = words.recipe if words.recipe in presets() and not words.set else made.to_document()
    store = Store()
    spec = {"kind": "recipe", "task": entry(words.task).name, "recipe": asked, "seed": words.seed}
    return {"id": store.submit(spec), **spec, "home": store.root}


def text(document: Document) -> str:
    if "id" in document:
        return f"Run {document['id']} is queued: python -m qexplore runs show {document['id']} tells how far it is."
    lines = [
        f"FP32      {accuracy(document['fp32'])}",
        f"quantized {accuracy(document['accuracy'])}",
        "",
        table(("step", named(document["accuracy"].get("metric")), "seconds"), map(_row, document["steps"])),
    ]
    return "\n".join([*lines, *_pruned(document["sites"]), *_opaque(document["sites"])])


def _pruned(sites: Sequence[Mapping[str, Any]]) -> list[str]:
    """The share of all weights that is pruned, where something is."""
    weights = [site for site in sites if site["kind"] == "weight"]
    gone = sum(site["sparsity"] * site["numel"] for site in weights)
    return ["", f"pruned: {100 * gone / sum(site['numel'] for site in weights):.1f} % of the weights"] if gone else []


def _opaque(sites: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stayed in floating point inside, with the reason; the first few of many."""
    whole = [f"  {site['site']}: {site['op']}" for site in sites if site["kind"] == "opaque"]
    more = [f"  … {len(whole) - SHOWN} more, all with --json"] if len(whole) > SHOWN else []
    return ["", "not quantized inside:", *whole[:SHOWN], *more] if whole else []


def _row(step: Mapping[str, Any]) -> tuple[str, str, float]:
    return step["name"], f"{100 * step['accuracy']:.1f} %", round(step["seconds"], 2)


VERBS.register("run")(Verb("Carry out a recipe and measure the accuracy.", arguments, work, text))
