"""Class folders and the outputs of a network: which folder means which output."""

from __future__ import annotations

from collections.abc import Sequence

from qexplore.zoo.errors import BadData

_SHOWN = 3


def numbers_of(
    folders: Sequence[str], outputs: int, categories: Sequence[str] | None, source: str, *, fresh: bool = False
) -> tuple[int, ...] | None:
    """The output of the network `source` that each class folder means; None where folder i means output i.

    By the names of the network's categories where all folders are called so; else in sorted order where there are as
    many folders as outputs; else by folders called 0 to outputs - 1.
    fresh: random weights, which know no classes: any order will do.
    Raises BadData where none of these tells.
    """
    if len(folders) > outputs:
        raise BadData(
            f"The images are of {len(folders)} classes and {source} tells only {outputs} apart: "
            "give a network with as many outputs, or fewer class folders."
        )
    named = _by_name(folders, categories or ())
    if named is not None:
        return named
    if len(folders) == outputs or fresh:
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


def _by_name(folders: Sequence[str], categories: Sequence[str]) -> tuple[int, ...] | None:
    keys = [_key(name) for name in categories]
    place = {key: number for number, key in enumerate(keys) if keys.count(key) == 1}
    found = [place.get(_key(name)) for name in folders]
    numbers = tuple(number for number in found if number is not None)
    return numbers if len(numbers) == len(folders) == len(set(numbers)) else None


def _key(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def _untold(folders: Sequence[str], outputs: int, categories: Sequence[str] | None, source: str) -> str:
    known = {_key(name) for name in categories or ()}
    odd = [name for name in folders if _key(name) not in known][:_SHOWN]
    if categories:
        way = f"{', '.join(map(repr, odd))} cannot be found among its categories, such as {categories[0]!r}; call"
    else:
        way = "its outputs have no names; call"
    return (
        f"The images are of {len(folders)} classes, {source} tells {outputs} apart, and {way} each folder "
        f"{'as its category or ' if categories else ''}by the number of its output, "
        f"{'0'.zfill(len(str(outputs - 1)))} to {outputs - 1}."
    )
