"""Networks that a function in the user's own code makes. Opening one runs that code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from qexplore.errors import QexploreError
from qexplore.zoo.matching import put_weights
from qexplore.zoo.networks import Opened
from qexplore.zoo.preprocessing import Preprocessing
from qexplore.zoo.weights import read_weights


def open_local(source: str, file: Path | None) -> Opened:
    """What the factory of "module.py:factory" or "package.module:factory" gives when called without arguments.

    It returns an nn.Module, or (nn.Module, preprocessing): a Preprocessing or a preset of torchvision.
    """
    place, _, name = source.rpartition(":")
    made = _called(_factory(place, name, source), source)
    model, preprocessing = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise QexploreError(f"{source!r} gives a '{type(model).__name__}'; it must give a torch.nn.Module.")
    if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
        preprocessing = Preprocessing.of_torchvision(preprocessing)
    notes = () if file is None else put_weights(model, read_weights(file), source)
    return Opened(model, preprocessing, None, source, "its own" if file is None else file.name, notes=notes)


def absolute(source: str) -> str:
    """The source with the full path of its file, so that it means the same from any folder."""
    place, _, name = source.rpartition(":")
    return f"{Path(place).absolute()}:{name}" if place.endswith(".py") else source


def _factory(place: str, name: str, source: str) -> Callable[[], Any]:
    found = getattr(_module(place, source), name, None)
    if not callable(found):
        raise QexploreError(f"{place!r} has no function {name!r}; name one that gives the network: {place}:factory.")
    return found  # type: ignore[no-any-return]


def _module(place: str, source: str) -> ModuleType:
    path = Path(place)
    if place.endswith(".py") and not path.is_file():
        raise QexploreError(f"There is no file {place!r} for the network {source!r}.")
    try:
        if not place.endswith(".py"):
            with _importing_from(Path.cwd()):
                return importlib.import_module(place)
        return _of_file(path.absolute())
    except (Exception, SystemExit) as problem:  # a script without a main guard ends itself when it is imported
        raise QexploreError(f"{place!r} cannot be imported: {_told(problem)}.") from problem


def _of_file(path: Path) -> ModuleType:
    name = f"qexplore_local_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and torch.fx look a class's module up
    with _importing_from(path.parent):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """The folder's modules can be imported, as they can for a script that lies there."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _called(factory: Callable[[], Any], source: str) -> Any:
    try:
        return factory()
    except QexploreError:
        raise
    except (Exception, SystemExit) as problem:
        raise QexploreError(f"The factory {source!r} failed: {_told(problem)}.") from problem


def _told(problem: BaseException) -> str:
    reason = " ".join(str(problem).split()).rstrip(".")
    return f"{type(problem).__name__}: {reason}" if reason else type(problem).__name__
