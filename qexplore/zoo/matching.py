"""Weights put into the network that they are meant for, or a report of why they do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from qexplore.errors import foreign
from qexplore.zoo.errors import CheckpointError
from qexplore.zoo.weights import Weights

# What DataParallel, torch.compile, EMA wrappers and training classes put in front of every name.
PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
_COUNTER = "num_batches_tracked"  # no figure depends on it in eval mode
_STATISTICS = ("running_mean", "running_var")  # of batch norms; other buffers may hold infinity, as masks do
_SHOWN = 3
_MOST_STACKS = 4  # of prefixes, the commonest; a file has one or two

State = dict[str, Tensor]


def put_weights(model: nn.Module, weights: Weights, what: str, *, ignored: Sequence[str] = ()) -> tuple[str, ...]:
    """Loads the weights into `model`, called `what`; returns notes, sentences on what was changed on the way.

    Prefixes of wrappers are taken off; entries that start with one of `ignored` are passed over; counters of batches
    may be absent; float16, bfloat16 and float64 become float32. All else must fit: CheckpointError otherwise, and the
    model is as it was.
    """
    if any(is_lazy(value) for value in (*model.parameters(), *model.buffers())):
        raise CheckpointError(
            f"The network {what} has lazy layers, whose shapes nobody knows before they have seen an image: run it "
            "once where it is made, as in model(torch.zeros(1, 3, 224, 224))."
        )
    expected = model.state_dict()
    state = fitted_names(weights.state, expected, ignored)
    state, notes = _converted(state, expected)
    missing = sorted(name for name in expected.keys() - state.keys() if not name.endswith(_COUNTER))
    unexpected = sorted(state.keys() - expected.keys())
    misshapen = [name for name in expected if name in state and _form(state[name]) != _form(expected[name])]
    if missing or unexpected or misshapen:
        message = _report(weights, what, state, expected, (missing, unexpected, misshapen))
        head = other_head(weights.state, model, ignored) if not missing and not unexpected else None
        if head is not None:
            message += f" Their last layer tells {head[0]} classes where the network has {head[1]}."
        raise CheckpointError(message, missing=missing, unexpected=unexpected, misshapen=misshapen)
    masks = {name for name, _ in model.named_buffers() if not name.endswith(_STATISTICS)}
    for name, value in state.items():
        if not bool(torch.isfinite(value).all()) and (name not in masks or bool(torch.isnan(value).any())):
            raise CheckpointError(
                f"The weights {foreign(weights.path.name)} of {what} hold NaN or infinite values in {name}: "
                "take a checkpoint from before the training diverged."
            )
    model.load_state_dict(expected | state)
    return (*weights.notes, *notes)


def fitted_names(given: State, expected: State, ignored: Sequence[str] = ()) -> State:
    """The entries under the network's own names: prefixes are taken off, alone or stacked, where more names fit so."""
    state = {name.replace("_orig_mod.", ""): value for name, value in given.items()}
    for _ in PREFIXES:
        better = max((_without(state, stack) for stack in _stacks(state)), key=lambda one: _common(one, expected))
        if _common(better, expected) <= _common(state, expected):
            break
        state = better
    left = {name: value for name, value in state.items() if name in expected or not name.endswith(_COUNTER)}
    left.pop("n_averaged", None)  # of torch.optim.swa_utils.AveragedModel
    return {name: value for name, value in left.items() if not name.startswith(tuple(ignored))}


def other_head(given: State, model: nn.Module, ignored: Sequence[str] = ()) -> tuple[int, int] | None:
    """(classes of the weights, classes of the network) where these two numbers are all that differs; else None."""
    expected = model.state_dict()
    state = fitted_names(given, expected, ignored)
    if any(name not in state and not name.endswith(_COUNTER) for name in expected):
        return None
    apart = [
        (state[name].shape, wanted.shape) for name, wanted in expected.items() if _shape_differs(name, state, wanted)
    ]
    heads = {(has[0], wants[0]) for has, wants in apart if has and wants and has[1:] == wants[1:]}
    return (
        heads.pop() if len(heads) == 1 and all(has[1:] == wants[1:] and has and wants for has, wants in apart) else None
    )


def _shape_differs(name: str, state: State, wanted: Tensor) -> bool:
    return name in state and state[name].shape != wanted.shape


def _common(state: State, expected: State) -> int:
    return len(state.keys() & expected.keys())


def _stacks(state: State) -> list[tuple[str, ...]]:
    """Prefixes that stand before one another in the names, short stacks first: module.model.a has two of them."""
    whole = Counter(map(_stack, state)).most_common(_MOST_STACKS)
    found = {stack[:length] for stack, _ in whole for length in range(len(stack) + 1)}
    found.add(_common_prefix(state))
    return sorted(found, key=lambda stack: (len(stack), stack))


def _common_prefix(state: State) -> tuple[str, ...]:
    """What a wrapper of the user's own puts before all names, such as "backbone."."""
    least, greatest = (each(state, default="").split(".")[:-1] for each in (min, max))
    alike = takewhile(lambda parts: parts[0] == parts[1], zip(least, greatest, strict=False))
    shared = "".join(f"{part}." for part, _ in alike)
    return (shared,) if shared else ()


def _stack(name: str) -> tuple[str, ...]:
    stack: list[str] = []
    while len(stack) < len(PREFIXES) and (found := next((one for one in PREFIXES if name.startswith(one)), "")):
        stack.append(found)
        name = name.removeprefix(found)
    return tuple(stack)


def _without(state: State, stack: Sequence[str]) -> State:
    for prefix in stack:
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _converted(state: State, expected: State) -> tuple[State, list[str]]:
    """Entries in the network's kind of number where that loses nothing that matters, and a note on it."""
    converted, kinds = {}, set()
    for name, value in state.items():
        wanted = expected.get(name)
        if wanted is not None and wanted.is_floating_point() and value.is_floating_point():
            kinds |= {_kind(value)} - {_kind(wanted)}
            value = value.to(wanted.dtype)
        elif wanted is not None and name.endswith(_COUNTER):
            value = value.to(wanted.dtype)
        converted[name] = value
    return converted, [f"The weights are {' and '.join(sorted(kinds))}; they were taken as float32."] if kinds else []


def _report(
    weights: Weights, what: str, state: State, expected: State, wrong: tuple[list[str], list[str], list[str]]
) -> str:
    missing, unexpected, misshapen = wrong
    file = foreign(weights.path.name)
    if len(unexpected) > len(state) / 2 and len(missing) > len(expected) / 2:
        return (
            f"The weights {file} belong to another architecture than {what}: of its {len(expected)} entries they lack "
            f"{len(missing)} ({_few(missing)}) and have {len(unexpected)} others ({_few(unexpected)}); "
            "name the network that they were trained for."
        )
    shapes = [f"{name} is {_form(state[name])}, not {_form(expected[name])}" for name in misshapen[:_SHOWN]]
    told = [f"{len(missing)} of {len(expected)} entries {_are(missing)} missing ({_few(missing)})"] * bool(missing)
    told += [f"{len(unexpected)} {_are(unexpected)} unexpected ({_few(unexpected)})"] * bool(unexpected)
    more = f" and {len(misshapen) - _SHOWN} more" if len(misshapen) > _SHOWN else ""
    told += [f"{len(misshapen)} {_are(misshapen)} misshapen ({'; '.join(shapes)}{more})"] * bool(misshapen)
    return f"The weights {file} do not fit {what}: {', '.join(told)}; give weights of this very network."


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(foreign, names[:_SHOWN])) + more


def _form(tensor: Tensor) -> str:
    return f"{_kind(tensor)} {list(tensor.shape)}"


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
