"""The digits' parts are fixed, disjoint and stratified, and hold scikit-learn's images."""

import hashlib

import numpy as np
import pytest
import torch

from qexplore.zoo import digits as module
from qexplore.zoo.data import PARTS
from qexplore.zoo.digits import digits, part_indices


def test_the_parts_have_the_promised_sizes_and_form() -> None:
    data = digits()
    assert {part: data.count(part) for part in PARTS} == {"train": 1041, "calibration": 256, "evaluation": 500}
    assert data.classes == tuple("0123456789")
    for part in PARTS:
        x, y = data.tensors(part)
        assert x.shape[1:] == (1, 8, 8)
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert (float(x.min()), float(x.max())) == (0.0, 1.0)


def test_no_image_is_in_two_parts_by_index_nor_by_content() -> None:
    assert np.array_equal(np.sort(np.concatenate(part_indices())), np.arange(1797))
    hashes = [{hashlib.sha256(x.numpy().tobytes()).digest() for x in digits().tensors(part)[0]} for part in PARTS]
    assert sum(map(len, hashes)) == 1797
    assert len(set.union(*hashes)) == 1797


def test_every_part_has_the_classes_in_proportion() -> None:
    labels = {part: digits().tensors(part)[1] for part in PARTS}
    whole = torch.bincount(torch.cat(list(labels.values())), minlength=10)
    for y in labels.values():
        expected = whole * len(y) / 1797
        assert float((torch.bincount(y, minlength=10) - expected).abs().max()) <= 1.0


def test_the_parts_are_the_ones_that_the_checkpoints_were_made_with() -> None:
    digest = hashlib.sha256(np.concatenate(part_indices()).astype("<i8").tobytes()).hexdigest()
    assert digest == "d01fee8f132eada938c524f011d5860703424c8e46b21767ba1be517af099da4"


def test_the_quick_reader_gives_what_scikit_learn_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = module._arrays()
    monkeypatch.setattr(module, "_bundled", lambda: None)
    slow = module._arrays.__wrapped__()
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(quick, slow))


def test_changing_what_one_caller_got_changes_nothing_for_the_next() -> None:
    data = digits()
    first, _ = next(data.batches("evaluation", size=500))
    kept = first.clone()
    first.zero_()
    assert torch.equal(data.tensors("evaluation")[0], kept)
