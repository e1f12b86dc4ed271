"""How long a training will take, judged by one of the same network that has come to its end."""

from __future__ import annotations

from qexplore.figures.words import epochs_of, roughly, seconds
from qexplore.recipes import Recipe
from qexplore.ui.training.known import Known, known, training_of, training_steps
from qexplore.ui.training.recipes import setting


def pace(task: str, recipe: Recipe) -> str:
    """A sentence with the epochs of a recipe and about what they take; nothing where no training of the task has ended.

    A training of the same preset is asked before others, and those of this machine before recordings of another.
    """
    ended = [one for one in known(task) if one.state in ("done", "recorded")]
    same, changed = recipe.name, f"{recipe.name} with"  # as one is called that has other settings
    ended.sort(key=lambda one: (one.recipe != same, not one.recipe.startswith(changed)))  # equals keep their order
    asked = [setting(recipe, step, "epochs") for step in training_steps(recipe)]
    epochs = sum(map(int, asked)) if all(asked) else 0
    for one in ended:
        each = training_of(one).epoch_seconds
        if each is not None and epochs:
            return f"{epochs_of(epochs)}, {roughly(epochs * each)}: an epoch of {_named(one)} took {seconds(each)}."
    return ""


def _named(one: Known) -> str:
    return f"{one.recipe}, recorded on another machine," if one.run is None else f"{one.recipe}, run {one.id},"
