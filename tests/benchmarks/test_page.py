"""The page of the peers tells what was measured, what is not offered and what failed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from benchmarks.document import markdown
from benchmarks.run import PAGE, RESULTS, machine


def printed(wrong: int, *, images: int = 1000, first: int = 0) -> dict[str, Any]:
    right = np.ones(images, bool)
    right[first : first + wrong] = False
    return {
        "versions": {"tool": "1.2.3", "torch": "2.0", "python": "3.11"},
        "seed": 0,
        "correct": images - wrong,
        "images": images,
        "right": np.packbits(right).tobytes().hex(),
        "calibration": 64,
        "seconds": 12.3,
        "wall_seconds": 20.0,
        "loaded_mb": 300.0,
        "peak_mb": 512.4,
    }


def page(**row: dict[str, Any]) -> str:
    fp32 = printed(50)
    found = {"command": "the command", "machine": {"processor": "one"}, "fp32": fp32}
    return markdown(found | {"results": {"w4a4": row}})


def line_of(text: str, start: str, heading: str = "## 4-bit weights") -> str:
    return next(line for line in text[text.index(heading) :].splitlines() if line.startswith(f"| {start} "))


def test_a_row_tells_accuracy_with_its_interval_the_paired_difference_seconds_and_memory() -> None:
    text = page(qexplore=printed(100), brevitas=printed(130))
    ours, theirs = line_of(text, "qexplore"), line_of(text, "Brevitas")
    assert "90.00 (87.98 to 91.71)" in ours, "Wilson's interval of 900 of 1000"
    assert "-3.00 (< 0.001)" in theirs, "30 images lost, none gained"
    assert "12 | 512 (300)" in theirs


def test_networks_that_err_on_other_images_are_compared_image_by_image() -> None:
    text = page(qexplore=printed(10), brevitas=printed(12, first=500))
    assert "-0.20 (0.832)" in line_of(text, "Brevitas"), "10 gained, 12 lost: McNemar's exact p"


def test_what_a_tool_does_not_offer_or_could_not_do_is_said_with_its_reason() -> None:
    text = page(qexplore=printed(10), brevitas={"not_offered": "it has no search"}, mct={"failed": "Error: no"})
    assert "Brevitas: not offered, it has no search." in text
    assert "MCT failed: `Error: no`" in text
    assert line_of(text, "Brevitas").split("|")[2].strip() == "not offered"
    assert line_of(text, "MCT").split("|")[2].strip() == "failed"


def test_a_machine_is_described_by_its_processor_and_memory() -> None:
    assert set(machine()) == {"processor", "memory", "system"}
    assert all(machine().values())


@pytest.mark.skipif(not RESULTS.exists(), reason="nothing has been measured yet")
def test_the_page_in_the_repository_is_what_the_stored_results_give() -> None:
    assert PAGE.read_text() == markdown(json.loads(RESULTS.read_text()))
