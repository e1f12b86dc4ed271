"""Whether the images of a task are on this machine, and how to get them where they are not; looks at names only."""

from __future__ import annotations

from pathlib import Path

from qexplore import zoo
from qexplore.errors import QexploreError
from qexplore.places import roots
from qexplore.zoo.image_files import leads_out

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
    path = source.partition(":")[2]
    if source.startswith(("folder:", "npz:")) and not Path(path).exists():
        return f"The images of this task are not here: they were read from `{path}`, which is gone."
    return ""


def _cifar_is_here() -> bool:
    places = [root / name for root in roots() for name in _CIFAR if not leads_out(root / name, root)]
    return any(
        (place / "cifar-10-batches-py").is_dir()
        or all((place / part / "airplane").is_dir() for part in ("train", "test"))
        for place in places
    )
