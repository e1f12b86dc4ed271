"""`qexplore allocate`: the best bits for every site within a budget."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from qexplore.allocate import Budget, allocate
from qexplore.cli import scores
from qexplore.cli.lines import number, table
from qexplore.cli.numbers import real
from qexplore.cli.places import require_place
from qexplore.cli.subject import add_subject, require_subject
from qexplore.cli.verbs import VERBS, Document, Verb, Watcher
from qexplore.errors import QexploreError
from qexplore.recipes import Recipe
from qexplore.recipes.pairs import pairs

_COST = {
    "weight_bits": "weight bits on average",
    "activation_bits": "activation bits on average",
    "kb": "KB of weights",
    "gbops": "GBOPs an image",
}


def arguments(parser: ArgumentParser) -> None:
    add_subject(parser, "--table")
    parser.add_argument("--table", type=Path, metavar="FILE", help="what `sensitivity --json` printed, or Parquet")
    scores.arguments(parser)
    parser.add_argument(
        "--weight-bits",
        type=real("average bits are a number, such as 3.5"),
        metavar="B",
        help="average bits of the weights, at most",
    )
    parser.add_argument(
        "--activation-bits",
        type=real("average bits are a number, such as 3.5"),
        metavar="B",
        help="average bits of the activations, at most",
    )
    parser.add_argument(
        "--kb",
        type=real("KB of weights are a number, such as 20"),
        metavar="KB",
        help="thousands of bytes of weights, at most",
    )
    parser.add_argument(
        "--gbops",
        type=real("GBOPs are a number, such as 0.5"),
        metavar="G",
        help="thousands of millions of bit operations, at most",
    )
    parser.add_argument("--lock", action="append", default=[], metavar="SITE=BITS", help="bits that must stay")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the recipe with these bits, for `run`")
    parser.add_argument("--hull", action="store_true", help="the fast answer of the convex hull, not the exact optimum")


def work(words: Namespace, watcher: Watcher) -> Document:
    budget = Budget(words.weight_bits, words.activation_bits, words.kb, words.gbops)
    if not budget.limits():
        raise QexploreError("No budget was given; name one or more of --weight-bits, --activation-bits, --kb, --gbops.")
    require_subject(words)
    if words.out is not None:
        require_place(words.out, "The recipe")
    locked = {site: _width(bits) for site, bits in pairs(words.lock, "--lock").items()}
    scored = scores.read(words.table) if words.table else scores.compute(words, watcher)
    answer = allocate(scored, budget, exact=not words.hull, locked=locked)
    refits = ""
    if words.out is not None:
        recipe = Recipe.load(words.recipe)
        made, refits = recipe.with_bits(answer.bits).called(words.out.stem), recipe.refits
        words.out.write_text(made.to_yaml(), encoding="utf-8")
    return {
        "bits": answer.bits,
        "cost": answer.cost,
        "metric": str(scored["metric"].iloc[0]) if "metric" in scored else None,
        "loss": answer.loss,
        "bound": answer.bound,
        "exact": answer.exact,
        "hull_loss": answer.hull_loss,
        "clamped": answer.clamped,
        "prices": answer.prices,
        "seconds": answer.seconds,
        "note": answer.note,
        "uncounted": answer.uncounted,
        "refits": refits,
    }


def text(document: Document) -> str:
    found = "proven optimum" if document["exact"] else "not proven to be the optimum"
    lines = [
        table(("site", "bits"), document["bits"].items()),
        "",
        ", ".join(f"{number(value)} {_COST[limit]}" for limit, value in document["cost"].items()),
        f"{found}: {_predicted(document)}, none can go below {number(document['bound'])}",
        document["note"],
        document["uncounted"],
        document["refits"],
    ]
    return "\n".join(line for at, line in enumerate(lines) if line or at == 1)


def _predicted(document: Document) -> str:
    """What the allocation makes least, with its unit: a table of one's own may not say what it holds."""
    if document["metric"] is None:
        return f"sum of the losses {number(document['loss'])}"
    from qexplore.figures.metrics import scale_of  # here, because it loads what draws

    scale = scale_of(document["metric"])
    return f"predicted {scale.name} {number(document['loss'])}{scale.unit}"


def _width(text: str) -> int:
    if not text.isdecimal():
        raise QexploreError(f"--lock takes SITE=BITS with a whole number of bits, not {text!r}.")
    return int(text)


VERBS.register("allocate")(Verb("Choose bits for every site within a budget.", arguments, work, text))
