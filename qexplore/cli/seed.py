"""The word --seed, the same for every verb that draws something at random."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError

LARGEST = 2**63 - 1  # what torch's generators take


def add_seed(parser: ArgumentParser) -> None:
    parser.add_argument("--seed", type=_seed, default=0, metavar="N", help="seed of everything random (default 0)")


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > 19 or int(text) > LARGEST:
        raise ArgumentTypeError(f"a seed is a whole number from 0 to 2^63 - 1; not {text[:40]!r}")
    return int(text)
