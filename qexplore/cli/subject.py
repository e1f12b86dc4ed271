"""The words that say what is quantized: a task by its name, or a network and images by their sources."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from qexplore.cli.verbs import Watcher
from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo.image_files import is_folder

if TYPE_CHECKING:
    from qexplore.zoo import Task


_MODEL = "a network: of the zoo, torchvision:NAME[@WEIGHTS|@random], timm:NAME, module.py:factory"


def add_subject(parser: ArgumentParser, *others: str) -> None:
    """--task, or --model with --data. others: options of the verb itself that can stand in their place."""
    parser.set_defaults(instead=others)
    parser.add_argument("--task", metavar="NAME", help="a task by its name, which `zoo` lists; or:")
    add_sources(parser, "; with --task, where its images lie, or others for its network")


def add_sources(parser: ArgumentParser, besides: str = "") -> None:
    """--model, --data and --weights. besides: what else --data means for the verb."""
    parser.add_argument("--model", metavar="M", help=_MODEL)
    parser.add_argument("--data", metavar="D", help=f"images: a folder, npz:FILE, torchvision:NAME[@ROOT]{besides}")
    parser.add_argument("--weights", metavar="FILE", help="weights of your own (.safetensors, .pt, .pth)")


def subject(words: Namespace, watcher: Watcher) -> Task:
    """The task that the words mean, opened."""
    from qexplore.zoo import Task  # here, because it loads torch

    require_subject(words)
    if words.task is not None:
        return _by_name(words.task, words.data, Report(watcher))
    return Task.of(words.model, words.data, weights=words.weights, local=True, report=Report(watcher))


def _by_name(name: str, data: str | None, report: Report) -> Task:
    """The task `name`: with its own images, which may lie in the folder `data`, or its network on those of `data`."""
    from qexplore.zoo import Task, entry
    from qexplore.zoo.entries import resolve

    chosen = entry(name)
    if data is None:
        return Task(name)
    if chosen.own:
        raise QexploreError(
            f"The task {chosen.name!r} has images of its own: leave --data out, or give its network with --model, and "
            "--weights where they are yours, in place of --task."
        )
    if chosen.lies_in and resolve(chosen.lies_in)(Path(data)):
        look_in(data)
        return Task(name)
    return Task.of(chosen.name, data, report=report)


def look_in(folder: str | None) -> None:
    """Adds a folder, for this process, to those where the zoo's tasks look for their images."""
    if folder is not None:
        if not is_folder(Path(folder)):
            raise QexploreError(f"There is no folder {folder!r}; give --data the one that holds the task's images.")
        named = [str(Path(folder).resolve()), *filter(None, [os.environ.get("QEXPLORE_DATA")])]
        os.environ["QEXPLORE_DATA"] = os.pathsep.join(named)


def require_subject(words: Namespace) -> None:
    """QexploreError unless the words name exactly one thing to work on."""
    given = [name for name in words.instead if getattr(words, name.removeprefix("--")) is not None]
    parts = [f"--{name}" for name in ("model", "weights", "data") if getattr(words, name) is not None]
    named = [*given, *(["--task"] if words.task is not None else []), *parts[:1]]
    if words.task is not None and parts == ["--data"]:
        named.remove("--data")  # where a task of the zoo finds its images
        parts = []
    if not named:
        raise QexploreError(
            f"Nothing to work on: give {', '.join(['--task NAME', *words.instead])} or --model with --data."
        )
    if len(named) > 1:
        raise QexploreError(f"{named[0]} and {named[1]} say two things: give one of them.")
    if parts and (words.model is None or words.data is None):
        missing = "--model" if words.model is None else "--data"
        raise QexploreError(f"{parts[0]} needs {missing} beside it: --model M --data D [--weights FILE].")
