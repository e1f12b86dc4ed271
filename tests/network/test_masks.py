"""Maps of classes are judged by their mean intersection over union, whose interval and whose changes can be trusted."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

import qexplore as qx
from qexplore.debugging import debug
from qexplore.errors import QexploreError
from qexplore.network import Judged, compare, cross_entropy, evaluate, judge
from qexplore.network.masks import interval, mean_iou, overlaps, pixel_losses
from qexplore.recipes import Recipe
from qexplore.recipes.ablation import ablate, to_document

CLASSES = 4


def itself(x: Tensor) -> Tensor:
    return x


def maps(images: int, seed: int = 0, noise: float = 1.0, size: int = 6) -> tuple[Tensor, Tensor]:
    """Logits that are right as often as the noise lets them be, and masks with pixels that do not count."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, CLASSES, (images, size, size), generator=generator)
    logits = 3 * F.one_hot(masks, CLASSES).permute(0, 3, 1, 2).float()
    logits += noise * torch.randn(logits.shape, generator=generator)
    return logits, masks.masked_fill(torch.rand(masks.shape, generator=generator) < 0.2, 255)


def by_hand(logits: Tensor, masks: Tensor) -> float:
    told, scores = logits.argmax(1), []
    for c in range(logits.shape[1]):
        inside, of_it = (told == c) & (masks != 255), masks == c
        if bool((inside | of_it).any()):
            scores.append(float((inside & of_it).sum() / (inside | of_it).sum()))
    return sum(scores) / len(scores)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(0, 100), st.floats(0.1, 9))
def test_the_mean_over_classes_of_intersection_over_union(images: int, seed: int, noise: float) -> None:
    logits, masks = maps(images, seed, noise)
    found = evaluate(itself, [(logits[:2], masks[:2]), (logits[2:], masks[2:])])
    assert found.value == pytest.approx(by_hand(logits, masks), abs=1e-6)
    assert (found.images, found.metric) == (images, "miou")
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_pixels_that_the_mask_ignores_count_nowhere() -> None:
    logits, masks = maps(3)
    other = torch.where((masks == 255)[:, None], -logits, logits)
    assert torch.equal(overlaps(logits, masks), overlaps(other, masks))
    assert torch.equal(pixel_losses(logits, masks), pixel_losses(other, masks))


def test_a_class_that_is_nowhere_is_left_out_and_one_that_is_told_in_error_counts_as_zero() -> None:
    masks = torch.zeros(1, 2, 2, dtype=torch.long)
    logits = torch.zeros(1, 5, 2, 2)
    logits[:, 0] = 1
    assert evaluate(itself, [(logits, masks)]).value == 1
    logits[:, 3, 0, 0] = 2
    assert evaluate(itself, [(logits, masks)]).value == pytest.approx((0.75 + 0) / 2)


def test_the_interval_covers_the_true_value_about_as_often_as_it_says() -> None:
    true = evaluate(itself, [maps(4000, 1, 2.0)]).value
    found = [evaluate(itself, [maps(60, seed, 2.0)]) for seed in range(100, 160)]
    covered = sum(each.low <= true <= each.high for each in found)
    assert covered >= 50


def test_the_interval_narrows_with_more_images_and_is_the_same_each_time() -> None:
    few, many = (overlaps(*maps(images, noise=2.0)) for images in (20, 320))
    assert interval(few) == interval(few)
    widths = [high - low for low, high in (interval(few), interval(many))]
    assert widths[0] > 2.5 * widths[1]


def test_many_images_are_resampled_in_pieces_of_the_same_law(monkeypatch: pytest.MonkeyPatch) -> None:
    overlap = overlaps(*maps(50, noise=2.0))
    whole = interval(overlap)
    monkeypatch.setattr("qexplore.network.masks.AT_ONCE", 5000)
    assert interval(overlap) == pytest.approx(whole, abs=1e-12)


def test_the_loss_is_the_mean_over_images_of_the_mean_over_counted_pixels() -> None:
    logits, masks = maps(5)
    each = [F.cross_entropy(logits[i : i + 1], masks[i : i + 1], ignore_index=255) for i in range(5)]
    assert cross_entropy(itself, [(logits[:3], masks[:3]), (logits[3:], masks[3:])]) == pytest.approx(
        float(torch.stack(each).mean()), rel=1e-5
    )
    masks[2] = 255
    assert float(pixel_losses(logits, masks)[2]) == 0


def test_two_networks_are_compared_by_the_signed_ranks_of_right_pixels() -> None:
    logits, masks = maps(40, noise=2.0)
    worse = logits + torch.randn(logits.shape, generator=torch.Generator().manual_seed(5))
    before, after = judge(itself, [(logits, masks)]), judge(itself, [(worse, masks)])
    found = compare(before, after)
    counted = (masks != 255).sum((1, 2)).double()
    right = [((x.argmax(1) == masks).sum((1, 2)) / counted) for x in (logits, worse)]
    change = right[1] - right[0]
    assert (found.gained, found.lost) == (int((change > 0).sum()), int((change < 0).sum()))
    assert found.change == pytest.approx(by_hand(worse, masks) - by_hand(logits, masks), abs=1e-6)
    assert found.p == pytest.approx(stats.wilcoxon(change.numpy()).pvalue)
    assert found.p < 0.01
    same = compare(before, before)
    assert (same.gained, same.lost, same.change, same.p) == (0, 0, 0, 1)


def test_a_mean_iou_says_what_it_is() -> None:
    found = evaluate(itself, [maps(30, noise=2.0)])
    assert found.to_document()["metric"] == "miou"
    assert " mean IoU (" in str(found)
    assert mean_iou(overlaps(*maps(30, noise=2.0))) == found.value


REFUSED = {
    "size": (torch.zeros(2, 3, 4, 4), torch.zeros(2, 8, 8, dtype=torch.long), "same height and width"),
    "logits of images": (torch.zeros(2, 3), torch.zeros(2, 8, 8, dtype=torch.long), r"\[images, classes, H, W\]"),
    "classes of images": (torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.long), "one class for each image"),
    "mask": (torch.zeros(1, 3, 1, 1), torch.full((1, 1, 1), 3), "masks hold class 3, but the network tells 3 classes"),
    "class": (torch.zeros(2, 3), torch.tensor([0, 3]), "labels hold class 3, but the network tells 3 classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_are_not_the_networks_are_refused_in_one_sentence(name: str) -> None:
    logits, labels, sentence = REFUSED[name]
    with pytest.raises(QexploreError, match=sentence) as caught:
        judge(itself, [(logits, labels)])
    assert "\n" not in str(caught.value)


def test_judgements_of_masks_have_a_share_of_right_pixels_an_image() -> None:
    found = judge(itself, [maps(6)])
    assert isinstance(found, Judged)
    assert found.correct.dtype == torch.float64
    assert bool(((found.correct > 0.5) & (found.correct <= 1)).all())


def segmenting() -> qx.Task:
    """A network of two convolutions that tells whether a pixel is bright, dim or dark."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 3, 1))
    x = torch.randn(40, 1, 8, 8)
    y = (x[:, 0] > -0.5).long() + (x[:, 0] > 0.5).long()
    optimizer = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    y[:, 0] = 255
    return qx.Task(model=model, data=qx.Data(calibration=(x[:20], y[:20]), evaluation=(x[20:], y[20:])))


def test_runs_and_sensitivities_work_on_masks() -> None:
    task = segmenting()
    result = qx.run(task, "w8a8")
    assert result.fp32_accuracy.metric == result.accuracy.metric == "miou"
    assert result.fp32_accuracy.value > 0.8
    assert abs(result.accuracy.value - result.fp32_accuracy.value) < 0.05
    assert set(result.steps["metric"]) == {"miou"}
    for metric in ("fisher", "fit", "divergence", "loss", "sqnr"):
        losses = qx.sensitivity(task, metric, bits=(2, 8)).groupby("bits")["loss"].sum()
        assert losses[2] > losses[8]


@pytest.mark.slow
def test_ablation_and_debugging_work_on_masks() -> None:
    task = segmenting()
    table = ablate(task, "w8a8")
    assert set(table["metric"]) == {"miou"}
    assert to_document("mine", Recipe.load("w8a8"), 0, table)["accuracy"]["metric"] == "miou"
    assert debug(task, "w8a8").to_document()["task"] == task.name
