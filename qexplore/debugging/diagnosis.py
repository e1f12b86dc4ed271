"""The white paper's debugging flowchart (figure 9) carried out: from "it is worse" to a cause and a repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from qexplore.debugging.causes import Case, explain, median
from qexplore.debugging.checks import FP32, QUANTIZED, check_all
from qexplore.debugging.evidence import gather
from qexplore.debugging.finding import Finding, Fix
from qexplore.debugging.fixes import find_fixes
from qexplore.debugging.harm import SUSPECT
from qexplore.debugging.proposals import Trouble
from qexplore.debugging.remedies import try_all
from qexplore.debugging.sites import site_divergences
from qexplore.debugging.trail import Trail
from qexplore.debugging.whole import HALF, Whole, bits_everywhere, network_changed, unlike_images
from qexplore.network import Network
from qexplore.network.divergence import divergence
from qexplore.plain import plain
from qexplore.ptq import Calibration
from qexplore.ptq.steps import images_at_once
from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check, prepare
from qexplore.report import Event, Report
from qexplore.zoo import Task

# A suspect does more than is usual among the sites: three times the median, in a quantity that a bit changes by four.
TIMES_USUAL = 3.0


@dataclass(frozen=True)
class Diagnosis:
    """What debugging a recipe on a task has found.

    checks: "fp32", "all sites real", "weights only", "activations only" (with the ranges that real weights give),
    "quantized" on the evaluation images.
    sites: a row for each quantized site, alone at its bits with all others real, on the calibration images.
    findings: causes, those of the whole network first, then sites by the harm that they do.
    fixes: all fixes once each, the best first.
    unexplained: sites that do more harm than others of their kind and show no cause.
    """

    task: str
    recipe: Recipe
    seed: int
    checks: pd.DataFrame
    sites: pd.DataFrame
    findings: tuple[Finding, ...]
    fixes: tuple[Fix, ...]
    unexplained: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_document(self) -> dict[str, Any]:
        """The diagnosis as the command line prints it in JSON."""
        checks = plain(self.checks)
        return {
            "task": self.task,
            "recipe": self.recipe.to_document(),
            "seed": self.seed,
            "healthy": self.healthy,
            "fp32": _accuracy(checks, FP32),
            "accuracy": _accuracy(checks, QUANTIZED),
            "checks": checks,
            "findings": [finding.to_document() for finding in self.findings],
            "fixes": [fix.to_document() for fix in self.fixes],
            "unexplained": list(self.unexplained),
            "sites": plain(self.sites),
        }

    def to_markdown(self) -> str:
        """The diagnosis as a report that a person reads."""
        from qexplore.debugging.report import markdown

        return markdown(self.to_document())


def debug(
    task: Task | str,
    recipe: str | Path | Mapping[str, Any] | Recipe,
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
    measure_fixes: bool = True,
) -> Diagnosis:
    """Carries the debugging flowchart out (white paper, figure 9): FP32 sanity, weights or activations, site by site,
    and a cause for each culprit with fixes, which are measured where `measure_fixes`.

    Culprits are sought on the calibration images without labels; accuracies are measured on the evaluation images.
    How much divergence makes a suspect and what tells the causes apart is the project's own choice.
    """
    task, recipe, report = Task(task) if isinstance(task, str) else task, Recipe.load(recipe), Report(on_event)
    check(recipe)
    calibration = Calibration(task.data, seed, batch=images_at_once(task.example))
    trail = Trail(task, calibration)
    network = prepare(task, recipe, seed, report, trail.after)
    checks = check_all(task, network, calibration, report)
    sites = site_divergences(network, calibration, report)
    cases = _cases(network, calibration, sites, report)
    whole = Whole(task, recipe, checks, trail.changes, _strays(network, calibration, trail))
    troubles, unexplained = _troubles(recipe, network, whole, cases)
    findings, fixes = find_fixes(task, recipe, seed, troubles, checks[QUANTIZED].judged, report, measure=measure_fixes)
    table = pd.DataFrame([one.to_document(checks[FP32]) for one in checks.values()])
    return Diagnosis(task.name, recipe, seed, table, sites, findings, fixes, unexplained)


def _cases(network: Network, calibration: Calibration, sites: pd.DataFrame, report: Report) -> list[Case]:
    """Sites that do harm by themselves, the worst first, with all that is known of them."""
    if sites.empty:
        return []
    divergences = sites["divergence"]
    # One or two sites are their own median: what does half of all harm is a suspect however few there are.
    unusual = (divergences >= TIMES_USUAL * divergences.median()) | (sites["share"] >= HALF)
    found = sites[(divergences >= SUSPECT) & unusual]
    found = found.sort_values("divergence", ascending=False, kind="stable")
    columns = (found[name].tolist() for name in ("site", "divergence", "share"))
    rows = [(network.site(name), apart, share) for name, apart, share in zip(*columns, strict=True)]
    suspects = gather(network, calibration, rows, report) if rows else []
    tried = try_all(network, calibration, suspects, report) if suspects else []
    # A lone site of its kind is no measure of itself.
    medians = {kind: median(list(of["divergence"])) if len(of) > 1 else 0.0 for kind, of in sites.groupby("kind")}
    return [Case(one, left, medians[one.site.kind]) for one, left in zip(suspects, tried, strict=True)]


def _strays(network: Network, calibration: Calibration, trail: Trail) -> float:
    """Mean divergence of the quantized network from the model on the calibration images."""
    with torch.inference_mode():
        pairs = zip(calibration.batches(), trail.expected, strict=True)
        return sum(float(divergence(want, network(x)).sum()) for (x, _), want in pairs) / calibration.images


def _troubles(
    recipe: Recipe, network: Network, whole: Whole, cases: Sequence[Case]
) -> tuple[list[Trouble], tuple[str, ...]]:
    """What was found, those of the whole network first; and the suspects without a cause."""
    troubles = [
        Trouble(found, recipe, network) for found in (network_changed(whole), unlike_images(whole)) if found is not None
    ]
    unexplained, share = [], 0.0
    for case in cases:
        told, one = explain(case), case.suspect
        if case.follows:
            share += one.share
            continue
        if told is None:
            unexplained += [one.site.name] if one.divergence >= TIMES_USUAL * case.median else []
            continue
        cause, words = told
        share += one.share
        finding = Finding(cause, one.site.name, words.text, one.divergence, "", words.evidence)
        troubles.append(Trouble(finding, recipe, network, case))
    rest = bits_everywhere(whole, [trouble.finding for trouble in troubles], share)
    return [*troubles, *([Trouble(rest, recipe, network)] if rest else [])], tuple(unexplained)


def _accuracy(checks: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    row: Mapping[str, Any] = next(row for row in checks if row["name"] == name)
    return {"value": row["accuracy"], "low": row["low"], "high": row["high"], "images": row["images"]}
