"""Fixes as complete recipes, each carried out and measured like any other."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch

from qexplore.debugging import edits
from qexplore.debugging.edits import Edit
from qexplore.debugging.finding import Finding, Fix
from qexplore.debugging.proposals import Trouble, propose
from qexplore.errors import QexploreError
from qexplore.network import Judged, Network, Tally, compare
from qexplore.network.divergence import divergence
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check, prepare
from qexplore.recipes.images import images_of
from qexplore.registry import key_of
from qexplore.report import Report
from qexplore.zoo import Task

MEASURED, SLOW_MEASURED = 6, 3
SLOW = "adaround"  # a recipe with this step takes as long as all the others together


def find_fixes(
    task: Task,
    recipe: Recipe,
    seed: int,
    troubles: Sequence[Trouble],
    before: Judged,
    report: Report,
    *,
    measure: bool,
) -> tuple[tuple[Finding, ...], tuple[Fix, ...]]:
    """The findings with their fixes, and all fixes once each, the best first.

    before: what the network of the recipe says of the evaluation images.
    Where there are several findings, all their first fixes together are one more, which belongs to no single finding.
    measure: the first of each finding come before the second, what needs no learning before what does; at most
    MEASURED are carried out, of those with learning at most SLOW_MEASURED.
    """
    proposed = [propose(trouble) for trouble in troubles]
    together = _together(proposed)
    known = _distinct(recipe, [*_by_turns(proposed), *together])
    chosen = _chosen(known, _distinct(recipe, together).keys()) if measure else []
    for number, key in enumerate(chosen):
        known[key] = _measured(task, known[key], seed, before, _within(report, number, len(chosen), known[key].label))
    findings = []
    for trouble, own in zip(troubles, proposed, strict=True):
        keys = dict.fromkeys(_key(fixed) for edit in own if (fixed := _apply(recipe, edit)) is not None)
        findings.append(trouble.finding.with_fixes(tuple(known[key] for key in keys if key in known)))
    return tuple(findings), tuple(sorted(known.values(), key=lambda fix: fix.merit))


def _chosen(known: Mapping[str, Fix], together: Collection[str]) -> list[str]:
    """Those that are measured: quick ones before slow ones, of either kind those in `together` first."""
    order = sorted(known, key=lambda key: (_slow(known[key]), key not in together))
    left_out = [key for key in order if _slow(known[key])][SLOW_MEASURED:]
    return [key for key in order if key not in left_out][:MEASURED]


def _together(proposed: Sequence[Sequence[Edit]]) -> list[Edit]:
    first = {options[0].label: options[0] for options in proposed if options}
    return [edits.all_of(list(first.values()))] if len(first) > 1 else []


def _by_turns(proposed: Sequence[Sequence[Edit]]) -> list[Edit]:
    """The first of each, then the second of each, …"""
    longest = max(map(len, proposed), default=0)
    return [options[turn] for turn in range(longest) for options in proposed if turn < len(options)]


def _distinct(recipe: Recipe, wanted: Sequence[Edit]) -> dict[str, Fix]:
    """Fixes by what their recipes say, without those that change nothing or make no recipe."""
    known: dict[str, Fix] = {}
    for edit in wanted:
        fixed = _apply(recipe, edit)
        if fixed is not None:
            named = replace(fixed.called(f"{recipe.name}, repaired"), title=edit.label)
            known.setdefault(_key(fixed), Fix(edit.label, named.to_document()))
    return known


def _apply(recipe: Recipe, edit: Edit) -> Recipe | None:
    try:
        fixed = edit.apply(recipe)
        check(fixed)
    except QexploreError:
        return None
    return None if _key(fixed) == _key(recipe) else fixed


def _key(recipe: Recipe) -> str:
    return json.dumps({**recipe.to_document(), "name": "", "title": ""}, sort_keys=True)


def _slow(fix: Fix) -> bool:
    return any(key_of(step.name) == key_of(SLOW) for step in Recipe.from_document(fix.recipe).steps)


def _measured(task: Task, fix: Fix, seed: int, before: Judged, report: Report) -> Fix:
    """The fix with what was measured; as it was where the recipe cannot be carried out."""
    clock = time.perf_counter()
    try:
        network = prepare(task, Recipe.from_document(fix.recipe), seed, report)
    except QexploreError as error:
        report.event("log", text=f"The fix {fix.label!r} cannot be carried out: {error}")
        return fix
    seconds = time.perf_counter() - clock
    judged, apart = _evaluate(task, network)
    paired = compare(before, judged)
    return replace(
        fix,
        accuracy=judged.accuracy.to_document(),
        divergence=apart,
        seconds=seconds,
        gained=paired.gained,
        lost=paired.lost,
        p=paired.p,
    )


def _evaluate(task: Task, network: Network) -> tuple[Judged, float]:
    tally, images, apart = Tally(), 0, 0.0
    with torch.no_grad():  # not in inference mode: see `judge`
        for x, y in images_of(task):
            logits = network(x)
            tally.add(logits, y)
            apart += float(divergence(task.model(x), logits).sum())
            images += len(y)
    return tally.judged(), apart / images


def _within(report: Report, done: int, total: int, label: str) -> Report:
    """A report for the work on one fix: whatever it tells is told as the progress of all, so that it can be stopped."""
    report.progress(done, total, label)
    return Report(lambda event: report.progress(done, total, label))
