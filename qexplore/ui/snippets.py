"""The same view as a notebook cell or a command line: plain text, ready to paste."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

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


def allocate_cell(task: str, metric: str, limits: Mapping[str, float], locked: Mapping[str, int]) -> str:
    """A notebook cell that makes the allocation of the page."""
    budget = ", ".join(f"{name}={value:g}" for name, value in limits.items())
    locks = f", locked={json.dumps(dict(locked))}" if locked else ""
    return "\n".join(
        [
            "import qexplore as qx",
            "",
            f"task = qx.Task({json.dumps(task)})",
            f"table = qx.sensitivity(task, metric={json.dumps(metric)})",
            f"answer = qx.allocate(table, qx.Budget({budget}), exact=True{locks})",
            "answer.bits, answer.cost",
        ]
    )


def allocate_command(task: str, metric: str, limits: Mapping[str, float], locked: Mapping[str, int]) -> str:
    """A command line that makes the allocation of the page."""
    words = [f"--metric {metric}"]
    words += [f"--{name.replace('_', '-')} {value:g}" for name, value in limits.items()]
    words += [f"--lock {shlex.quote(site)}={bits}" for site, bits in locked.items()]
    return f"python -m qexplore allocate --task {task} {' '.join(words)} --json"


def run_cell(task: str, recipe: Any, seed: int) -> str:
    """A notebook cell that repeats a recipe run."""
    name = json.dumps(recipe) if isinstance(recipe, str) else f"qx.Recipe.from_document({json.dumps(recipe)})"
    call = f"result = qx.run(qx.Task({json.dumps(task)}), recipe={name}, seed={seed})"
    return f"import qexplore as qx\n\n{call}\nresult.steps"


def run_command(task: str, recipe: str, seed: int) -> str:
    """A command line that repeats a recipe run."""
    return f"python -m qexplore run {recipe} --task {task} --seed {seed} --json"
