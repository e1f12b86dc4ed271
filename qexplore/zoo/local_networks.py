"""Networks that a function in the user's own code makes. Opening one runs that code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import sysconfig
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

LOCAL = "qexplore_local_"  # before the name of a file that is a module
_STANDARD = sysconfig.get_path("stdlib")  # where Python's own modules lie
_PACKAGES = {"site-packages", "dist-packages"}  # where installed ones do


def open_local(source: str, file: Path | None) -> Opened:
    """What the factory of "module.py:factory" or "package.module:factory" gives when called without arguments.

    A package is looked for in the working folder, or in the one that is named: "folder/package.module:factory".
    It returns an nn.Module, or (nn.Module, preprocessing): a Preprocessing or a preset of torchvision.
    """
    place, _, name = source.rpartition(":")
    with _importing_from(_folder(place)):
        made = _called(_factory(place, name, source), source)
    model, preprocessing = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise QexploreError(f"{source!r} gives a '{type(model).__name__}'; it must give a torch.nn.Module.")
    if preprocessing is not None and not isinstance(preprocessing, Preprocessing):
        preprocessing = Preprocessing.of_torchvision(preprocessing)
    notes = () if file is None else put_weights(model, read_weights(file), source)
    return Opened(model, preprocessing, None, source, "its own" if file is None else file.name, notes=notes)


def absolute(source: str) -> str:
    """The source with the full path of its file or package, so that it means the same from any folder.

    A module that the working folder does not hold is one that is installed, and stays as it is.
    """
    place, _, name = source.rpartition(":")
    if place in ("", "torchvision", "timm"):
        return source  # a name, no code of the user's
    if place.endswith(".py"):
        return f"{Path(place).absolute()}:{name}"
    folder, module = _folder(place).absolute(), place.rpartition("/")[2]
    top = folder / module.partition(".")[0]
    return f"{folder.as_posix()}/{module}:{name}" if top.is_dir() or top.with_suffix(".py").is_file() else source


def _folder(place: str) -> Path:
    """The folder in which the factory's file or package lies, and what it imports is looked for first."""
    return Path(place).absolute().parent if "/" in place or place.endswith(".py") else Path.cwd()


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
        return _of_file(path.absolute()) if place.endswith(".py") else importlib.import_module(path.name)
    except (Exception, SystemExit) as problem:  # a script without a main guard ends itself when it is imported
        raise QexploreError(f"{place!r} cannot be imported: {_told(problem)}.") from problem


def _of_file(path: Path) -> ModuleType:
    name = f"{LOCAL}{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and torch.fx look a class's module up
    spec.loader.exec_module(module)
    return module


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """The folder's modules can be imported, as they can for a script that lies there.

    Those that are imported so are forgotten afterwards: they may change, and another folder may have some of the same
    names.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if _lies_in(sys.modules[name], folder):
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Whether the module is one of the user's code in `folder`, and not of a Python or packages that lie there too."""
    file = getattr(module, "__file__", None)
    if file is None or module.__name__.partition(".")[0] == "qexplore" or module.__name__.startswith(LOCAL):
        return False
    path = Path(file)
    return path.is_relative_to(folder) and _PACKAGES.isdisjoint(path.parts) and not path.is_relative_to(_STANDARD)


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
