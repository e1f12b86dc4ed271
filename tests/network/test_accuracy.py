"""An accuracy comes with the interval that Wilson's formula gives, never from nothing; a change with McNemar's p."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from qexplore.errors import QexploreError
from qexplore.network import Accuracy, Judged, compare, cross_entropy, evaluate, judge

CASES = [(0, 1), (1, 1), (0, 500), (500, 500), (250, 500), (493, 500), (1, 10_000), (7, 9), (49_999, 50_000)]


@pytest.mark.parametrize(("correct", "images"), CASES)
def test_the_interval_is_wilsons(correct: int, images: int) -> None:
    expected = stats.binomtest(correct, images).proportion_ci(0.95, method="wilson")
    found = Accuracy.of(correct, images)
    assert (found.value, found.images) == (correct / images, images)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("correct", "images"), CASES)
def test_the_ends_are_the_shares_from_which_the_score_test_would_just_see_the_result(correct: int, images: int) -> None:
    """Wilson's interval inverts |p̂ - p| = z √(p (1 - p) / n)."""
    found = Accuracy.of(correct, images)
    for end in (found.low, found.high):
        deviation = 1.959963984540054 * (end * (1 - end) / images) ** 0.5
        assert abs(found.value - end) == pytest.approx(deviation, abs=1e-9)


def test_more_images_narrow_the_interval() -> None:
    widths = [(a := Accuracy.of(98 * k, 100 * k)).high - a.low for k in (1, 5, 50)]
    assert all(wide > 1.5 * narrow for wide, narrow in pairwise(widths))


def logits(x: Tensor) -> Tensor:
    return x


def batches(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(n, 3, generator=generator), torch.randint(0, 3, (n,), generator=generator)) for n in sizes]


def test_batches_of_unequal_and_of_no_size_count_image_by_image() -> None:
    parts = batches(5, 0, 1, 17)
    x, y = (torch.cat(side) for side in zip(*parts))
    assert evaluate(logits, parts) == Accuracy.of(int((x.argmax(1) == y).sum()), 23)
    assert cross_entropy(logits, parts) == pytest.approx(float(torch.nn.functional.cross_entropy(x, y)), rel=1e-6)


@pytest.mark.parametrize("parts", [[], batches(0)])
@pytest.mark.parametrize("figure", [evaluate, judge, cross_entropy])
def test_no_images_give_no_figure(figure, parts) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(QexploreError, match=r"no images .* at least one"):
        figure(logits, parts)


def test_labels_in_a_column_are_not_compared_each_with_all() -> None:
    x, y = batches(8)[0]
    assert evaluate(logits, [(x, y[:, None])]) == evaluate(logits, [(x, y)])


def test_an_accuracy_reads_as_a_sentence_and_as_a_document() -> None:
    found = Accuracy.of(493, 500)
    assert str(found) == "98.6% (97.1% to 99.3%, 500 images)"
    assert found.to_document() == {"value": 0.986, "low": found.low, "high": found.high, "images": 500}


def judged(right: list[bool]) -> Judged:
    return Judged(torch.tensor(right, dtype=torch.bool), 0.0)


def test_a_judgement_says_what_evaluation_and_loss_say() -> None:
    parts = batches(5, 0, 1, 17)
    found = judge(logits, parts)
    assert found.accuracy == evaluate(logits, parts)
    assert found.loss == pytest.approx(cross_entropy(logits, parts), rel=1e-6)
    x, y = (torch.cat(side) for side in zip(*parts))
    assert torch.equal(found.correct, x.argmax(1) == y)


def test_labels_in_a_column_are_judged_as_labels_in_a_row() -> None:
    x, y = batches(8)[0]
    assert torch.equal(judge(logits, [(x, y[:, None])]).correct, judge(logits, [(x, y)]).correct)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_two_judgements_are_compared_by_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (judged(list(side)) for side in zip(*pairs))
    found = compare(before, after)
    assert found.gained == sum(now and not then for then, now in pairs)
    assert found.lost == sum(then and not now for then, now in pairs)
    assert found.change == pytest.approx(after.accuracy.value - before.accuracy.value, abs=1e-12)
    differing = found.gained + found.lost
    expected = stats.binomtest(found.gained, differing, 0.5).pvalue if differing else 1.0
    assert found.p == pytest.approx(expected, rel=1e-9)
    back = compare(after, before)
    assert (back.gained, back.lost, back.p) == (found.lost, found.gained, found.p)


def test_ten_images_lost_and_none_gained_are_no_chance() -> None:
    found = compare(judged([True] * 20), judged([True] * 10 + [False] * 10))
    assert (found.gained, found.lost, found.change) == (0, 10, -0.5)
    assert found.p == pytest.approx(2 / 2**10)


def test_judgements_of_unequal_numbers_of_images_are_not_compared() -> None:
    with pytest.raises(QexploreError, match=r"same images.*2 and 3"):
        compare(judged([True] * 2), judged([True] * 3))
