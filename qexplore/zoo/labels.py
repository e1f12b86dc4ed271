"""Class folders and the outputs of a network: which folder means which output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qexplore.zoo.errors import BadData

_SHOWN = 3


def numbers_of(
    folders: Sequence[str], outputs: int, categories: Sequence[str] | None, source: str, *, fresh: bool = False
) -> tuple[int, ...] | None:
    """The output of the network `source` that each class folder means; None where folder i means output i.

    By the names of the network's categories where all folders are called so; else, where none is, in sorted order if
    there are as many folders as outputs, or by folders called 0 to outputs - 1.
    fresh: random weights, which know no classes: any order will do.
    Raises BadData where none of these tells, and where only some folders are called as categories.
    """
    if len(folders) > outputs:
        raise BadData(
            f"The images are of {len(folders)} classes and {source} tells only {outputs} apart: "
            "give a network with as many outputs, or fewer class folders."
        )
    places = _places(folders, categories or ())
    if None not in places and len(set(places)) == len(folders):
        return tuple(place for place in places if place is not None)
    if fresh:
        return None
    if any(place is not None for place in places):
        raise BadData(_untold(folders, outputs, categories, source))
    if len(folders) == outputs:
        return None
    numbered = tuple(int(name) for name in folders if name.isascii() and name.isdigit() and int(name) < outputs)
    if len(numbered) == len(folders) == len(set(numbered)):
        return numbered
    raise BadData(_untold(folders, outputs, categories, source))


def order_told(folders: Sequence[str]) -> str | None:
    """A sentence on the order of class folders that are called by numbers, where another order is as likely meant."""
    if not all(name.isascii() and name.isdigit() for name in folders):
        return None
    if [*folders] == sorted(folders, key=int):
        return None
    first = ", ".join(folders[:_SHOWN])
    return (
        f"The class folders are taken in alphabetical order, as torchvision's ImageFolder takes them ({first}, …): "
        f"where their numbers are outputs of the network, write them with zeros in front, such as "
        f"{'1'.zfill(max(map(len, folders)))}."
    )


def _places(folders: Sequence[str], categories: Sequence[str]) -> list[int | None]:
    """The output whose category each folder is called; None where none is, or where two are (ImageNet's cranes)."""
    counts = Counter(map(_key, categories))
    place = {_key(name): number for number, name in enumerate(categories) if counts[_key(name)] == 1}
    return [place.get(_key(name)) for name in folders]


def _key(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _untold(folders: Sequence[str], outputs: int, categories: Sequence[str] | None, source: str) -> str:
    keys = Counter(map(_key, categories or ()))
    odd = [name for name in folders if keys[_key(name)] != 1]
    if categories:
        shown = ", ".join(map(repr, (odd or _alike(folders))[:_SHOWN]))
        what = "cannot be found" if odd else "mean the same"
        way = f"{shown} {what} among its categories, such as {categories[0]!r}; call"
    else:
        way = "its outputs have no names; call"
    return (
        f"The images are of {len(folders)} classes, {source} tells {outputs} apart, and {way} each folder "
        f"{'as its category or ' if categories else ''}by the number of its output, "
        f"{'0'.zfill(len(str(outputs - 1)))} to {outputs - 1}."
    )


def _alike(folders: Sequence[str]) -> list[str]:
    """Folders that mean the same category as another."""
    counts = Counter(map(_key, folders))
    return [name for name in folders if counts[_key(name)] > 1]
