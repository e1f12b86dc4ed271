"""The verb debug: a cause, a place and a repair, as text, as JSON and as a report; wrong words are one sentence."""

from __future__ import annotations

import pytest

from qexplore.report import Report
from qexplore.runs import jobs

TASK, SITE = "resnet-digits", "blocks.1.first.conv.weight"
FAULT = ["debug", "w8a8", "--task", TASK, "--set", f"sites.{SITE}.bits=2"]


def test_debug_names_the_site_and_repairs_it(say, tmp_path):
    path = tmp_path / "report.md"
    spoken = say(*FAULT, "--seed", "3", "--report", str(path), "--json")
    assert spoken.status == 0, spoken.err
    document = spoken.document
    assert (document["task"], document["seed"], document["healthy"]) == (TASK, 3, False)
    (finding,) = document["findings"]
    assert (finding["cause"], finding["site"]) == ("too-few-bits", SITE)
    assert finding["fixes"][0]["accuracy"]["images"] == 500
    assert "sites" not in finding["fixes"][0]["recipe"]
    assert SITE in path.read_text(encoding="utf-8")


def test_debug_reads_as_text(say):
    spoken = say(*FAULT)
    assert spoken.status == 0, spoken.err
    assert spoken.out.startswith("FP32 ")
    assert "too-few-bits" in spoken.out
    assert max(map(len, spoken.out.splitlines())) <= 120


def test_debug_says_that_a_network_is_healthy(say):
    spoken = say("debug", "w8a8", "--task", TASK)
    assert spoken.status == 0, spoken.err
    assert "Healthy" in spoken.out


@pytest.mark.parametrize(
    "words",
    [
        ["debug"],
        ["debug", "w8a8"],
        ["debug", "w8a9", "--task", TASK],
        ["debug", "w8a8", "--task", "resnet-digit"],
        ["debug", "w8a8", "--task", TASK, "--set", "weights.bits=0"],
        ["debug", "w8a8", "--task", TASK, "--set", "sites.nowhere.bits=2"],
        ["debug", "w8a8", "--task", TASK, "--report", "no/such/folder/report.md"],
        ["debug", "w8a8", "--task", TASK, "--report", "."],
    ],
)
def test_wrong_words_are_one_sentence(say, words):
    spoken = say(*words)
    assert spoken.status == 2
    assert len(spoken.err.splitlines()) == 1


def test_a_run_in_the_background_files_the_same(say, tmp_path):
    jobs.load(jobs.MODULES)
    spec = {"kind": "debug", "task": TASK, "recipe": "w8a8", "seed": 0}
    (folder := tmp_path / "run").mkdir()
    result = jobs.JOBS.get("debug")(spec, Report(), folder)
    assert {path.name for path in folder.iterdir()} == {"report.md", "debug.json", "sites.parquet"}
    document = say("debug", "w8a8", "--task", TASK, "--json").document
    assert result == {key: value for key, value in document.items() if key != "sites"}
