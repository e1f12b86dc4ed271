"""`qexplore bench`: measures speed, as ratios that hold on any machine."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import qexplore
from qexplore.cli.lines import table
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.report import Report


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="one bench (default: all of them)")


def work(words: Namespace, watcher: Watcher) -> Document:
    import torch

    from qexplore.bench import BENCHES

    report = Report(watcher)
    chosen = BENCHES.names() if words.name is None else (BENCHES.canonical(words.name),)
    ratios: dict[str, float] = {}
    for name in report.track(chosen, "benches"):
        ratios |= BENCHES.get(name)(report)
    return {
        "benches": chosen,
        "ratios": ratios,
        "qexplore": qexplore.__version__,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
    }


def text(document: Document) -> str:
    return table(("ratio", "value"), document["ratios"].items())


VERBS.register("bench")(Verb("Measure speed.", arguments, work, text))
