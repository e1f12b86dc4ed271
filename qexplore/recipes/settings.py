"""Whether steps take the settings that a recipe gives them, told before the first one starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import qexplore.qat  # noqa: F401  (files its steps)
from qexplore.errors import UnknownName
from qexplore.numerics import RANGES
from qexplore.ptq import STEPS
from qexplore.recipes.schema import BadRecipe, StepSetting

WORDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "a word"),
}


def check_step(step: StepSetting) -> None:
    """Raises UnknownName for a step, a setting or a range estimator that does not exist, BadRecipe for a setting that
    is not of the kind of its default, QexploreError for one that cannot be meant.
    """
    function: Any = STEPS.get(step.name)
    defaults = defaults_of(function)
    if getattr(function, "takes", defaults) is None:  # names that only the network knows
        defaults |= dict.fromkeys(step.settings)
    elif hasattr(function, "takes"):
        defaults |= function.takes
    elif any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()):
        # A step that sets ranges hands what it does not know itself to the estimator of this name.
        defaults |= defaults_of(RANGES.get(str(step.settings.get("method", defaults["method"]))))
    check_kinds(f"the step {step.name!r}", step.settings, defaults)
    if getattr(function, "check", None) is not None:
        function.check(step.settings)
    if step.settings.get("logits"):  # another estimator, for the logits alone
        RANGES.get(step.settings["logits"])


def check_kinds(where: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raises UnknownName for a setting without a default, BadRecipe for one that is not of the kind of its default."""
    for name, value in settings.items():
        if name not in defaults:
            raise UnknownName(f"setting of {where} called", name, defaults)
        default = defaults[name]
        kinds, words = WORDS.get(type(default), ((object,), "anything"))
        mistaken = default is not None and isinstance(value, bool) is not isinstance(default, bool)
        if mistaken or not isinstance(value, kinds):
            raise BadRecipe(f"The setting {name!r} of {where} is {words}, such as {default!r}; not {value!r}.")


def defaults_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Keyword arguments of a step or an estimator, and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
