"""A study as Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import torch

import qexplore
from qexplore.network import Accuracy
from qexplore.studies.statistics import Mean, mean_over_seeds, rounding
from qexplore.studies.study import Study, Verdict
from qexplore.studies.trials import Gauge, Trials

SIGNS = {True: "holds", False: "does not hold", None: "not asked"}


def document(study: Study, trials: Trials, command: str, seeds: int) -> dict[str, Any]:
    """Every figure of the study, as JSON holds it."""
    return {
        "study": study.title,
        "command": command,
        "seeds": seeds,
        "qexplore": qexplore.__version__,
        "torch": str(torch.__version__),
        "fp32": {task: _judged(judged.accuracy, judged.loss) for task, judged in trials.fp32.items()},
        "trials": [
            {"table": t.table, "name": t.name, "task": t.task, "seed": t.seed, "seconds": t.seconds}
            | _judged(t.judged.accuracy, t.judged.loss)
            for t in trials.done
        ],
        "readings": [asdict(reading) for reading in trials.readings],
        "claims": [
            {"claim": claim.text, "task": v.task, "holds": v.holds, "figures": v.figures}
            for claim in study.claims
            for v in claim.verdicts(trials, study.tasks)
        ],
    }


def _judged(accuracy: Accuracy, loss: float) -> dict[str, Any]:
    return {"accuracy": accuracy.to_document(), "loss": loss}


def markdown(study: Study, trials: Trials, command: str, seeds: int) -> str:
    """The study as a page: how it was made, every table, every claim with its verdict."""
    images = {judged.accuracy.images for judged in trials.fp32.values()}
    lines = [
        f"# {study.title}",
        "",
        f"Made by `{command}` (qexplore {qexplore.__version__}, torch {torch.__version__}); nobody edits this page.",
        "",
        f"{study.how} {_seeds(seeds)} "
        f"Accuracy is measured on the same {' or '.join(map(str, sorted(images)))} evaluation images, which nothing "
        "else has seen.",
        "Cells: mean accuracy over the seeds ± half of Student's 95 % interval over the seeds (what no seed changes "
        "has none; accuracies come in steps of one image, so that their spread counts as no less than that of rounding "
        "to one) / the same of the cross-entropy (mean seconds of carrying the recipe out, "
        "beside whatever else the machine did). "
        f"How far other images could differ is another matter: Wilson's 95 % interval of {max(images)} images is "
        f"{', '.join(_wilson(share, max(images)) for share in (0.995, 0.95, 0.8))}.",
        "",
    ]
    for table in dict.fromkeys(variant.table for variant in study.variants):
        lines += [f"## {table}", "", *_table(study, trials, table), ""]
    for gauge in study.gauges:
        lines += [f"## {gauge.table}", "", *_readings(gauge, study, trials), ""]
    for extra in study.extras:
        if rows := extra.rows(trials, study.tasks):
            lines += [f"## {extra.table}", "", *_rows([extra.head, *study.tasks], rows), ""]
    if verdicts := list(_verdicts(study, trials)):
        lines += ["## Claims", "", *verdicts]
    return "\n".join(lines) + "\n"


def _wilson(share: float, images: int) -> str:
    found = Accuracy.of(round(share * images), images)
    return f"{100 * found.low:.1f} to {100 * found.high:.1f} at {100 * found.value:.1f} %"


def _seeds(seeds: int) -> str:
    return f"Seeds 0 to {seeds - 1}." if seeds > 1 else "Seed 0 alone."


def _table(study: Study, trials: Trials, table: str) -> Iterable[str]:
    names = [variant.name for variant in study.variants if variant.table == table]
    yield from _rows(
        ["accuracy, % / cross-entropy, nats", *study.tasks], [["FP32", *(_fp32(trials, task) for task in study.tasks)]]
    )
    for name in names:
        yield _row([name, *(_cell(trials, table, name, task) for task in study.tasks)])


def _fp32(trials: Trials, task: str) -> str:
    return f"{100 * trials.fp32[task].accuracy.value:.2f} / {trials.fp32[task].loss:.3f}"


def _cell(trials: Trials, table: str, name: str, task: str) -> str:
    found = trials.of(table, name, task)
    mean = mean_over_seeds([100 * t.judged.accuracy.value for t in found], 100 * rounding(found[0].images))
    seconds = sum(t.seconds for t in found) / len(found)
    loss = mean_over_seeds([t.judged.loss for t in found])
    return f"{mean.value:.2f}{_spread(mean, 2)} / {loss.value:.3f}{_spread(loss, 3)} ({seconds:.1f} s)"


def _readings(gauge: Gauge, study: Study, trials: Trials) -> Iterable[str]:
    yield from _rows([gauge.unit, *study.tasks], [])
    for name in dict.fromkeys(r.name for r in trials.readings if r.table == gauge.table):
        means = [mean_over_seeds(trials.read(gauge.table, name, task)) for task in study.tasks]
        yield _row([name, *(f"{mean.value:.3f}{_spread(mean, 3)}" for mean in means)])


def _spread(mean: Mean, digits: int) -> str:
    return "" if math.isnan(mean.half) else f" ± {mean.half:.{digits}f}"


def _verdicts(study: Study, trials: Trials) -> Iterable[str]:
    for claim in study.claims:
        if verdicts := claim.verdicts(trials, study.tasks):
            yield f"- **{claim.text}**"
            yield from (f"  - {_said(verdict)}" for verdict in verdicts)


def _said(verdict: Verdict) -> str:
    return f"{verdict.task}: {SIGNS[verdict.holds]}; {verdict.figures}"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    yield _row(heads)
    yield _row(["---"] * len(heads))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
