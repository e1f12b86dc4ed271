"""Files of weights: safetensors, checked against the network that they are meant for."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from qexplore.errors import foreign
from qexplore.zoo.errors import CheckpointError

FOLDER = Path(__file__).parent / "checkpoints"
LARGEST = 200_000_000
_SHOWN = 3


def save_weights(model: nn.Module, path: Path, *, lightest: bool = False) -> None:
    """Writes the model's parameters and buffers; a reader never sees half a file.

    lightest: in float16 or bfloat16 where that holds every number as it is, in float32 otherwise.
    """
    state = model.state_dict()
    if lightest:
        state = _lightest(state)
    # Copies, because two names of one tensor cannot share a file.
    state = {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".part")
    half.write_bytes(save(state))
    half.replace(path)


def _lightest(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for kind in (torch.float16, torch.bfloat16):
        halves = {name: value.to(kind) if value.dtype == torch.float32 else value for name, value in state.items()}
        if all(torch.equal(half.to(state[name].dtype), state[name]) for name, half in halves.items()):
            return halves
    return state


def load_weights(model: nn.Module, path: Path, name: str, *, largest: int = LARGEST) -> None:
    """Puts the weights of `path` into `model`, which is the network of the task `name`.

    Raises CheckpointError unless the file is safetensors of at most `largest` bytes and holds exactly the model's
    entries, all finite.
    """
    way_out = f"make it anew with: python -m qexplore train {name} --out {path.parent}"
    state = _read(path, name, largest, way_out)
    expected = model.state_dict()
    missing, unexpected = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or unexpected:
        wrong = [f"lacks {_few(missing)}"] * bool(missing) + [f"has the unknown {_few(unexpected)}"] * bool(unexpected)
        raise CheckpointError(f"The checkpoint {path} does not fit {name}: it {' and '.join(wrong)}; {way_out}")
    for key, value in state.items():
        wanted = expected[key]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise CheckpointError(
                f"The checkpoint {path} does not fit {name}: {key} is {_form(value)}, not {_form(wanted)}; {way_out}"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"The checkpoint {path} of {name} holds NaN or infinite values in {key}; {way_out}")
    model.load_state_dict(state)


def _read(path: Path, name: str, largest: int, way_out: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path} for {name}; {way_out}")
    size = path.stat().st_size
    if size > largest:
        raise CheckpointError(f"The checkpoint {path} has {size:,} bytes, more than the {largest:,} allowed; {way_out}")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as problem:
        message = f"The checkpoint {path} of {name} is no safetensors file ({problem}); {way_out}"
        raise CheckpointError(message) from None


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(foreign, names[:_SHOWN])) + more


def _form(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
