"""Files of weights that a user brings: safetensors or torch.save, read without running anything that is in them."""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from qexplore.errors import foreign
from qexplore.zoo.checkpoint import LARGEST
from qexplore.zoo.errors import CheckpointError
from qexplore.zoo.pickles import Broken, Excess, ForeignCall, require_modest

# Where training scripts put the state within what they save; of several the first is taken.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "model_ema",
    "state_dict_ema",
    "ema_state_dict",
    "ema",
)
_DEEPEST = 3


@dataclass(frozen=True)
class Weights:
    """What a file holds: state {name: tensor}, and notes, sentences on what was chosen when it was read."""

    path: Path
    state: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_weights(path: str | Path, largest: int = LARGEST) -> Weights:
    """The tensors of a safetensors file or of a checkpoint that torch.load opens with weights_only=True.

    largest: bytes, of the file and of what it unpacks to; both are checked before anything is unpacked.
    Raises CheckpointError for what is too large, damaged, no file of weights, or runs code when it is opened.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file of weights {str(path)!r}; give a .safetensors, .pt or .pth file.")
    _require_size(path, path.stat().st_size, largest, "")
    try:
        document, notes = _opened(path, largest)
    except OSError as problem:
        reason = (problem.strerror or str(problem)).lower()
        raise CheckpointError(f"The file of weights {str(path)!r} cannot be read ({reason}).") from None
    state, inside = _state(path, document)
    if inside:
        notes = [*notes, f"The weights were taken from {inside!r} of {foreign(path.name)}."]
    # A tensor in a pickle can repeat one number a billion times (stride 0): counted before anything is computed.
    unpacked = sum(value.numel() * value.element_size() for value in state.values())
    _require_size(path, unpacked, largest, " when unpacked")
    return Weights(path, state, tuple(notes))


def _opened(path: Path, largest: int) -> tuple[Any, list[str]]:
    with path.open("rb") as file:
        head = file.read(9)
    if head[:4] == b"PK\x03\x04":
        unpacked = _unpacked(path)
        _require_size(path, unpacked, largest, " when unpacked")
        return _of_torch(path, unpacked), []
    if len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] <= path.stat().st_size - 8:
        return _of_safetensors(path), []
    return _of_torch(path), []


def _unpacked(path: Path) -> int:
    """Bytes that the zip archive says it unpacks to; torch.load takes this number for true and reads no further."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(one.file_size for one in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise _damaged(path) from None


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_file(path)
    except Exception:  # sizes beyond 64 bits reach torch, which tells them in its own ways
        raise _damaged(path) from None
    return state


def _of_torch(path: Path, unpacked: int | None = None) -> Any:
    """What torch.load makes of the file; unpacked: bytes of a zip archive, None for a file of the older format."""
    try:
        # An open file, because of a path torch.load believes the ending.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if unpacked is None:
                _follow_older(file, path.stat().st_size)
            else:
                # The very bytes that torch.load takes: a zip archive can show another reader others.
                pickled = torch._C.PyTorchFileReader(file).get_record("data.pkl")
                require_modest(io.BytesIO(pickled), unpacked)
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
    except (ForeignCall, pickle.UnpicklingError) as problem:
        told = str(problem)
        if isinstance(problem, ForeignCall) or any(word in told for word in ("global", "GLOBAL", "class")):
            raise CheckpointError(
                f"The file of weights {str(path)!r} holds more than tensors and could run code when it is opened: "
                "save only the state, with torch.save(model.state_dict(), …) or as safetensors."
            ) from None
        raise _damaged(path) from None
    except Excess as problem:
        raise CheckpointError(
            f"The file of weights {str(path)!r} holds {problem}, which no network here takes: "
            "save only the state, with torch.save(model.state_dict(), …) or as safetensors."
        ) from None
    except Exception:  # torch.load tells damaged files in a dozen ways, from EOFError to UnicodeDecodeError
        raise _damaged(path) from None


def _follow_older(file: IO[bytes], size: int) -> None:
    """The older format: three pickles that say what the file is, its content, and the order of its storages."""
    *_, order = require_modest(file, size, pickles=5)
    if not isinstance(order, list) or not all(isinstance(key, str) for key in order):
        raise Broken


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"The file of weights {str(path)!r} is damaged or none at all: give a whole .safetensors file, "
        "or one of torch.save(model.state_dict(), …)."
    )


def _require_size(path: Path, size: int, largest: int, when: str) -> None:
    if size > largest:
        raise CheckpointError(
            f"The file of weights {str(path)!r} has {size:,} bytes{when}, more than the {largest:,} allowed: "
            "save only the model's state, without optimizer and history."
        )


def _state(path: Path, document: Any) -> tuple[dict[str, Tensor], str]:
    """The tensors by name, and under which key of the file they lay, "" for none."""
    inside: list[str] = []
    while isinstance(document, Mapping) and len(inside) < _DEEPEST:
        key = next((key for key in WRAPPERS if isinstance(document.get(key), Mapping)), None)
        if key is None:
            break
        document, inside = document[key], [*inside, key]
    if not isinstance(document, Mapping):
        raise CheckpointError(
            f"The file of weights {str(path)!r} holds a {type(document).__name__}, not named tensors: "
            "save model.state_dict()."
        )
    state = {str(name): value.detach() for name, value in document.items() if isinstance(value, Tensor)}
    if not state:
        keys = ", ".join(foreign(key) for key in list(document)[:4]) or "nothing"
        raise CheckpointError(
            f"The file of weights {str(path)!r} holds no named tensors (found: {keys}): save model.state_dict()."
        )
    odd = [
        name for name, value in state.items() if value.layout != torch.strided or value.is_quantized or value.is_meta
    ]
    if odd:
        raise CheckpointError(
            f"The file of weights {str(path)!r} holds sparse, quantized or empty-handed tensors ({foreign(odd[0])}): "
            "give the floating-point weights."
        )
    return state, ".".join(inside)
