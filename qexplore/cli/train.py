"""`qexplore train`: makes a checkpoint of the zoo."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from qexplore.cli.seed import add_seed
from qexplore.cli.subject import look_in
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.report import Report


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("task", metavar="NAME", help="a task of the zoo")
    add_seed(parser)
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of torch (default 1)")
    parser.add_argument("--data", metavar="DIR", help="folder that holds the task's images, where they are not here")
    parser.add_argument("--out", type=Path, metavar="PATH", help="folder or .safetensors file to write (default: here)")


def work(words: Namespace, watcher: Watcher) -> Document:
    from qexplore.zoo.train import train

    look_in(words.data)
    return train(words.task, words.out, words.seed, Report(watcher), words.threads)


def text(document: Document) -> str:
    reached = document["accuracy"]
    return (
        f"{document['path']}: accuracy {100 * reached['value']:.1f} % on {reached['images']} images, "
        f"{document['parameters']:,} parameters, {document['seconds']:.0f} s"
    )


VERBS.register("train")(Verb("Make a checkpoint of the zoo.", arguments, work, text))
