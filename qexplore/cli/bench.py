"""`qexplore bench`: measures speed, as ratios that hold on any machine."""

from __future__ import annotations

import inspect
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import qexplore
from qexplore.cli.lines import table
from qexplore.cli.numbers import whole
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.report import Report


def arguments(parser: ArgumentParser) -> None:
    said = "one bench, such as fit (default: all; a wrong name lists them)"
    parser.add_argument("name", nargs="?", metavar="NAME", help=said)
    parser.add_argument(
        "--images",
        type=whole("a number of images is a whole number, such as 64"),
        metavar="N",
        help="how many images, for a bench that can take more",
    )


def work(words: Namespace, watcher: Watcher) -> Document:
    import torch

    from qexplore.bench import BENCHES

    report = Report(watcher)
    chosen = BENCHES.names() if words.name is None else (BENCHES.canonical(words.name),)
    ratios: dict[str, float] = {}
    for name in report.track(chosen, "benches"):
        ratios |= BENCHES.get(name)(report, **_settings(BENCHES.get(name), words, name))
    return {
        "benches": chosen,
        "ratios": ratios,
        "qexplore": qexplore.__version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def _settings(bench: Callable[..., object], words: Namespace, name: str) -> dict[str, int]:
    if words.images is None:
        return {}
    if words.images < 1:
        raise QexploreError(f"A bench takes at least one image, not {words.images}.")
    if "images" in inspect.signature(bench).parameters:
        return {"images": words.images}
    if words.name is None:
        return {}
    raise QexploreError(f"The bench {name!r} has its own images: leave --images out.")


def text(document: Document) -> str:
    return table(("ratio", "value"), document["ratios"].items())


VERBS.register("bench")(Verb("Measure speed.", arguments, work, text))
