"""From words to a verb, from what it gives or raises to output and exit status."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, Never

import qexplore
from qexplore.cli.progress import Progress
from qexplore.cli.verbs import VERBS
from qexplore.errors import QexploreError, WorkFailed
from qexplore.plain import plain

for _verb in (
    "zoo",
    "task",
    "data",
    "run",
    "ablate",
    "debug",
    "sensitivity",
    "allocate",
    "runs",
    "train",
    "bench",
    "study",
    "app",
):
    importlib.import_module(f"qexplore.cli.{_verb}")  # registers itself

DONE, FAILED, WRONG_WORDS, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """Tells wrong words as one sentence, like every other error of the command line; takes no shortened options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> Never:
        raise QexploreError(f"{message[:1].upper()}{message[1:]}; see {self.prog} --help.")


def entry() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without the sign "×" gets a question mark, not an error
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Carries out the words (without the programme's name; default: this process's) and returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words or bool(os.environ.get("QEXPLORE_DEBUG"))
    try:
        return _carry_out(words)
    except BrokenPipeError:
        # The reader has read enough. Nothing more can be written, not even by the interpreter when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        print(_sentence(error), file=sys.stderr)
        wrong = isinstance(error, QexploreError) and not isinstance(error, WorkFailed)
        return WRONG_WORDS if wrong else FAILED


def _carry_out(words: Sequence[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return WRONG_WORDS
    if not words[0].startswith("-"):
        words = [VERBS.canonical(words[0]), *words[1:]]
    parsed = parser.parse_args(words)
    verb = VERBS.get(parsed.verb)
    with Progress(sys.stderr) as progress, contextlib.redirect_stdout(sys.stderr):
        document = verb.work(parsed, progress.show)
    if document is not None:
        document = plain(document)
        print(json.dumps(document, indent=1, allow_nan=False) if parsed.json else verb.text(document))
        sys.stdout.flush()
    return DONE


def _parser() -> _Parser:
    parser = _Parser(prog="qexplore", description="Understand, measure and choose neural-network quantization.")
    parser.add_argument("--version", action="version", version=f"qexplore {qexplore.__version__}")
    parsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        verb = VERBS.get(name)
        one = parsers.add_parser(name, help=verb.summary, description=verb.summary)
        verb.arguments(one)
        one.add_argument("--json", action="store_true", help="print one JSON document and nothing else on stdout")
        one.add_argument("--debug", action="store_true", help="print the traceback of what fails")
    return parser


def _sentence(error: Exception) -> str:
    if isinstance(error, QexploreError):
        return str(error)
    told = " ".join(str(error).split()) or "no reason was given"
    return f"The work failed: {type(error).__name__}: {told} (--debug shows where.)"
