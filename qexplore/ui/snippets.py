"""The same view as a notebook cell or a command line: plain text, ready to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

OWN_MODEL = """import qexplore as qx

task = qx.Task(
    model=model,                      # any torch.nn.Module that classifies; it stays as it is
    data=qx.Data(
        train=train_set,              # Dataset, DataLoader or (X, y) tensors; only training steps see it
        calibration=calibration_set,  # ranges and sensitivities come from these images
        evaluation=evaluation_set,    # accuracy is measured on these alone
    ),
    example=x[:1],                    # one input, a batch of 1
    name="my-network",
)
result = qx.run(task, recipe="w8a8", on_event=print)
print(result.fp32_accuracy, result.accuracy)
result.sites"""


def allocate_cell(
    task: str, metric: str, limits: Mapping[str, float], locked: Mapping[str, int], recipe: Any, seed: int
) -> str:
    """A notebook cell that makes the allocation of the page and measures it.

    recipe: what prepares the network, a preset or a document.
    """
    budget = ", ".join(f"{name}={value:g}" for name, value in limits.items())
    locks = f", locked={json.dumps(dict(locked))}" if locked else ""
    return "\n".join(
        [
            "import qexplore as qx",
            "",
            f"task, recipe = qx.Task({json.dumps(task)}), qx.Recipe.load({recipe!r})",
            f"table = qx.sensitivity(task, metric={json.dumps(metric)}, recipe=recipe, seed={seed})",
            f"answer = qx.allocate(table, qx.Budget({budget}), exact=True{locks})",
            f"result = qx.run(task, recipe.with_bits(answer.bits), seed={seed})",
            "answer.cost, result.accuracy",
        ]
    )


def allocate_command(
    task: str, metric: str, limits: Mapping[str, float], locked: Mapping[str, int], file: str, recipe: Any, seed: int
) -> str:
    """Two command lines: the allocation of the page into a recipe file, and its measurement.

    recipe: what prepares the network, a preset or a document, which stands in RECIPE.yaml then.
    """
    words = [f"--metric {metric}", f"--recipe {shlex.quote(recipe) if isinstance(recipe, str) else 'RECIPE.yaml'}"]
    words += [f"--{name.replace('_', '-')} {value:g}" for name, value in limits.items()]
    words += [f"--lock {shlex.quote(site)}={bits}" for site, bits in locked.items()]
    words += [f"--seed {seed}", f"--out {shlex.quote(file)}"]
    made = f"python -m qexplore allocate --task {task} {' '.join(words)}"
    return f"{made}\n{run_command(task, file, seed)}"


def run_cell(task: str, recipe: Any, seed: int) -> str:
    """A notebook cell that repeats a recipe run."""
    return f"{_call('result', 'run', task, recipe, seed)}\nresult.steps"


def ablate_cell(task: str, recipe: Any, seed: int) -> str:
    """A notebook cell that measures what each step of a recipe buys."""
    return f"{_call('table', 'ablate', task, recipe, seed)}\ntable"


def debug_cell(task: str, recipe: Any, seed: int) -> str:
    """A notebook cell that finds the culprit."""
    return f"{_call('diagnosis', 'debug', task, recipe, seed)}\nprint(diagnosis.to_markdown())"


def score_cell(task: str, metric: str, recipe: Any, seed: int) -> str:
    """A notebook cell that scores every site by a metric."""
    words = f"qx.Task({json.dumps(task)}), {json.dumps(metric)}, recipe={recipe_code(recipe)}, seed={seed}"
    return f"import qexplore as qx\n\ntable = qx.sensitivity({words})\ntable"


def _call(result: str, verb: str, task: str, recipe: Any, seed: int) -> str:
    call = f"{result} = qx.{verb}(qx.Task({json.dumps(task)}), {recipe_code(recipe)}, seed={seed})"
    return f"import qexplore as qx\n\n{call}"


def recipe_code(recipe: Any, without: Sequence[str] = ()) -> str:
    """A recipe in Python: the name of a preset or a document, less the steps `without`."""
    name = json.dumps(recipe) if isinstance(recipe, str) else f"qx.Recipe.from_document({recipe!r})"
    if not without:
        return name
    loaded = f"qx.Recipe.load({name})" if isinstance(recipe, str) else name
    return f"{loaded}.without({json.dumps(list(without))})"


def steps_cell(task: str, code: str, seed: int) -> str:
    """A notebook cell that carries a recipe out, measures what each step buys, and finds the culprit.

    code: the recipe in Python, as `recipe_code` writes it.
    """
    return "\n".join(
        [
            "import qexplore as qx",
            "",
            f"task = qx.Task({json.dumps(task)})",
            f"recipe = {code}",
            f"qx.run(task, recipe, seed={seed}).steps                  # the accuracy after each step",
            f"qx.ablate(task, recipe, seed={seed})                     # what each step buys",
            f"print(qx.debug(task, recipe, seed={seed}).to_markdown()) # the culprit, and what repairs it",
        ]
    )


def run_command(task: str, recipe: str, seed: int) -> str:
    """A command line that repeats a recipe run; recipe: a preset or a file."""
    return _line("run", task, recipe, seed)


def ablate_command(task: str, recipe: str, seed: int) -> str:
    """A command line that measures what each step of a recipe buys; recipe: a preset or a file."""
    return _line("ablate", task, recipe, seed)


def debug_command(task: str, recipe: str, seed: int) -> str:
    """A command line that finds the culprit; recipe: a preset or a file."""
    return f"{_line('debug', task, recipe, seed)} --report report.md"


def score_command(task: str, metric: str, recipe: str, seed: int) -> str:
    """A command line that scores every site by a metric; recipe: a preset or a file."""
    words = f"--task {task} --metric {metric} --recipe {shlex.quote(recipe)} --seed {seed}"
    return f"python -m qexplore sensitivity {words} --json"


def train_command(task: str, preset: str, changes: Mapping[str, Any], seed: int) -> str:
    """A command line that trains by a preset with some settings changed."""
    words = [f"--set {shlex.quote(f'{key}={_said(value)}')}" for key, value in changes.items()]
    return " ".join([f"python -m qexplore run {shlex.quote(preset)} --task {task} --seed {seed}", *words])


def _said(value: Any) -> str:
    """A value as `--set` reads it; a word needs no quotes unless YAML takes it for something else."""
    return value if isinstance(value, str) and value.isalpha() and yaml.safe_load(value) == value else json.dumps(value)


def train_cell(task: str, preset: str, changes: Mapping[str, Any], seed: int) -> str:
    """A notebook cell that trains by a preset with some settings changed."""
    recipe = json.dumps(preset)
    if changes:
        recipe = f"qx.Recipe.load({recipe}).with_settings({dict(changes)!r})"
    call = f"result = qx.run(qx.Task({json.dumps(task)}), {recipe}, seed={seed}, on_event=print)"
    return f"import qexplore as qx\n\n{call}\nresult.steps"


def _line(verb: str, task: str, recipe: str, seed: int) -> str:
    return f"python -m qexplore {verb} {shlex.quote(recipe)} --task {task} --seed {seed} --json"


SNIPPETS = {
    "recipe": (run_cell, run_command),
    "ablation": (ablate_cell, ablate_command),
    "debug": (debug_cell, debug_command),
}
"""Notebook cell and command line by the kind of run."""
