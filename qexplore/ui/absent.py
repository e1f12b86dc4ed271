"""Whether the images of a task are on this machine, and how to get them where they are not; looks at names only."""

from __future__ import annotations

from pathlib import Path

from qexplore import zoo
from qexplore.errors import QexploreError
from qexplore.places import roots
from qexplore.ui.foreign import whole
from qexplore.zoo.image_files import is_file, is_folder, leads_out

_CIFAR = ("", "cifar10", "cifar-10", "cifar", "CIFAR10")
_GET_CIFAR = (
    "The images of CIFAR-10 are not here: put them into a folder as `train/<class>/` and `test/<class>/`, and name it "
    "with `python -m qexplore data add DIR`, in `QEXPLORE_DATA`, or with `--data`."
)


def how_to_get(task: str) -> str:
    """One sentence on how to get the images of a task; nothing where they are here."""
    try:
        entry = zoo.entry(task)
    except QexploreError:
        return ""
    source = str((entry.source or {}).get("data", ""))
    if entry.data.endswith(":cifar10") or source == "cifar10":
        return "" if _cifar_is_here() else _GET_CIFAR
    kind, _, path = source.partition(":")
    looks = {"folder": is_folder, "npz": is_file}
    if kind in looks and not looks[kind](Path(path)):
        told = f"they were read from {whole(path)}, which is gone, or cannot be looked at from here."
        return f"The images of this task are not here: {told}"
    return ""


def _cifar_is_here() -> bool:
    places = [root / name for root in roots() for name in _CIFAR if not leads_out(root / name, root)]
    return any(
        is_folder(place / "cifar-10-batches-py")
        or all(is_folder(place / part / "airplane") for part in ("train", "test"))
        for place in places
    )
