"""A script of a tool prints one document: what it measured, or why the tool does not offer the setting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.harness import CALIBRATION, EVALUATION, main
from qexplore.zoo.checkpoint import save_weights
from qexplore.zoo.models.resnet import resnet20_cifar10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("given")
    generator = torch.Generator().manual_seed(0)
    save_weights(resnet20_cifar10(), place / "weights.safetensors")
    for file, images in ((CALIBRATION, 4), (EVALUATION, 130)):
        x = torch.randn((images, 3, 32, 32), generator=generator)
        save_file({"x": x, "y": torch.arange(images) % 10}, place / file)
    return place


def said(folder: Path, bits: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    words = ["--weights", str(folder / "weights.safetensors"), "--data", str(folder), "--bits", bits, "--json"]
    monkeypatch.setattr(sys, "argv", ["script", *words])
    main("qexplore", {"constant": _always_three, "solver": _with_a_solver, "w4a4": "no kernel has it"})
    return json.loads(capsys.readouterr().out)


def _always_three(model: nn.Module, images: Tensor, labels: Tensor) -> Any:
    print("a tool may print what it likes")
    assert not model.training
    assert images.shape == (4, 3, 32, 32)
    return lambda x: nn.functional.one_hot(torch.full((len(x),), 3), 10)


def _with_a_solver(model: nn.Module, images: Tensor, labels: Tensor) -> Any:
    subprocess.run(["echo", "Optimal solution found"], check=True)
    return _always_three(model, images, labels)


def test_accuracy_is_counted_over_all_batches(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(folder, "constant", monkeypatch, capsys)
    assert (document["correct"], document["images"], document["calibration"]) == (13, 130, 4)
    assert document["peak_mb"] is None or document["peak_mb"] >= document["loaded_mb"] > 0
    assert document["threads"] == 1


def test_the_document_stands_alone_even_where_a_tool_starts_a_program_that_prints(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(folder, "solver", monkeypatch, capfd)["correct"] == 13


def test_a_setting_that_is_not_offered_prints_its_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = said(folder, "w4a4", monkeypatch, capsys)
    assert document["not_offered"] == "no kernel has it"
    assert "correct" not in document
