"""The study of sensitivity metrics: equal budgets, and claims that can turn out false."""

from __future__ import annotations

import pytest
import torch

from qexplore.network import Judged
from qexplore.recipes.carry_out import prepare
from qexplore.studies import STUDIES
from qexplore.studies.sensitivity import (
    AGAINST,
    ALL_SAME,
    AVERAGES,
    BEST,
    BITS,
    OTHERS,
    OVERALL,
    RANDOM,
    budget,
    correlation,
    ratio,
)
from qexplore.studies.trials import Reading, Trial, Trials
from qexplore.zoo import Task

TASK = "resnet-digits"


def trials(right: dict[str, int], ranks: dict[str, float]) -> Trials:
    """Rows with so many of 500 images right under every budget, and readings of so much at every number of bits."""
    done = [
        Trial(budget(*pair), name, TASK, 0, Judged(torch.arange(500) < count, 0.1), 1.0)
        for name, count in right.items()
        for pair in AVERAGES
    ]
    readings = [
        Reading(AGAINST, correlation(name, bits), TASK, 0, value) for name, value in ranks.items() for bits in BITS
    ]
    return Trials({TASK: Judged(torch.arange(500) < 495, 0.05)}, tuple(done), tuple(readings))


def verdicts(found: Trials) -> dict[str, bool | None]:
    return {c.text: v.holds for c in STUDIES.get("sensitivity")().claims for v in c.verdicts(found, [TASK])}


def test_claims_hold_where_fisher_is_ahead_and_not_where_it_is_behind() -> None:
    rows = (BEST, *OTHERS, RANDOM, ALL_SAME)
    ahead = verdicts(trials({name: 480 if name == BEST else 400 for name in rows}, {BEST: 0.8, "loss": 0.1}))
    behind = verdicts(trials({name: 400 if name == BEST else 480 for name in rows}, {BEST: 0.6, "loss": 0.6}))
    assert ahead.keys() == behind.keys()
    assert set(ahead.values()) == {True}
    assert set(behind.values()) == {False}


def test_a_lead_within_the_noise_of_the_images_is_none() -> None:
    found = verdicts(trials({BEST: 481, "fit": 480}, {}))
    assert list(found.values()) == [False]


def test_the_mean_over_the_budgets_is_that_of_all_their_trials() -> None:
    done = [
        Trial(budget(*pair), BEST, TASK, seed, Judged(torch.arange(500) < 400 + 10 * at + seed, 0.1 * at), 1.0)
        for at, pair in enumerate(AVERAGES)
        for seed in range(3)
    ]
    found = Trials({TASK: Judged(torch.arange(500) < 495, 0.05)}, tuple(done))
    assert OVERALL.rows(found, [TASK, "mobilenet-digits"]) == [[BEST, "84.20 / 0.200", ""]]


@pytest.mark.parametrize("pair", AVERAGES)
def test_the_row_of_the_same_bits_has_them(pair: tuple[float, float]) -> None:
    variants = STUDIES.get("sensitivity")().variants
    (same,) = [v for v in variants if (v.table, v.name) == (budget(*pair), ALL_SAME)]
    network = prepare(Task(TASK), same.recipe)
    for kind, bits in zip(("weight", "activation"), pair, strict=True):
        assert {network.bits[site.name] for site in network.sites if site.kind == kind} == {int(bits)}


def test_the_gauge_reads_every_metric_at_every_number_of_bits() -> None:
    (gauge,) = STUDIES.get("sensitivity")().gauges
    found = gauge.read(Task(TASK))
    assert {ratio(BEST, bits) for bits in BITS} <= found.keys()
    assert {correlation(name, bits) for name in (BEST, "fit", "loss", "sqnr") for bits in BITS} <= found.keys()
    assert all(-1 <= value <= 1 for name, value in found.items() if name.startswith("rank"))
