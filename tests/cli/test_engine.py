"""The verbs that carry the engine out, on the smallest network of the zoo: documents, sentences and exit status."""

from __future__ import annotations

import json

import pytest

from qexplore.recipes import Recipe
from qexplore.recipes.carry_out import check

TASK = "mobilenet-digits"


@pytest.fixture
def scores(say, tmp_path):
    """A file with what `sensitivity --json` prints."""
    spoken = say("sensitivity", "--task", TASK, "--metric", "sqnr", "--bits", "2,4,8", "--json")
    assert spoken.status == 0, spoken.err
    path = tmp_path / "scores.json"
    path.write_text(spoken.out)
    return path


def test_run_tells_both_accuracies_and_every_step(say):
    spoken = say("run", "w8a8", "--task", TASK, "--seed", "3", "--json")
    assert spoken.status == 0, spoken.err
    document = spoken.document
    assert (document["task"], document["seed"]) == (TASK, 3)
    for name in ("fp32", "accuracy"):
        assert document[name]["low"] <= document[name]["value"] <= document[name]["high"]
        assert document[name]["images"] == 500
    assert all({"name", "accuracy", "seconds"} <= step.keys() for step in document["steps"])
    assert {site["bits"] for site in document["sites"]} == {8}


def test_run_takes_other_settings(say):
    spoken = say("run", "w8a8", "--task", TASK, "--set", "weights.bits=5", "--json")
    assert spoken.status == 0, spoken.err
    assert {site["bits"] for site in spoken.document["sites"] if site["kind"] == "weight"} == {5}


def test_run_reads_as_text(say):
    spoken = say("run", "w8a8", "--task", TASK)
    assert spoken.status == 0, spoken.err
    assert spoken.out.startswith("FP32 ")
    assert "500 images" in spoken.out


def test_sensitivity_is_a_list_of_rows(scores):
    rows = json.loads(scores.read_text())
    assert {row["bits"] for row in rows} == {2, 4, 8}
    assert {"site", "kind", "bits", "loss", "numel", "macs"} <= rows[0].keys()


@pytest.mark.parametrize("hull", [[], ["--hull"]])
def test_allocate_keeps_the_budget_and_the_locks(say, scores, hull):
    site = json.loads(scores.read_text())[0]["site"]
    words = ["--weight-bits", "5", "--activation-bits", "6", "--lock", f"{site}=8", *hull]
    spoken = say("allocate", "--table", str(scores), *words, "--json")
    assert spoken.status == 0, spoken.err
    document = spoken.document
    assert {"bits", "cost", "loss", "bound", "exact"} <= document.keys()
    assert document["bits"][site] == 8
    assert document["cost"]["weight_bits"] <= 5
    assert document["cost"]["activation_bits"] <= 6
    assert document["exact"] or hull
    assert document["bound"] <= document["loss"]


@pytest.mark.parametrize("verb", ["ablate", "debug"])
def test_what_works_in_the_foreground_alone_takes_no_word_for_the_background(say, verb):
    spoken = say(verb, "w8a8", "--task", TASK, "--background")
    assert spoken.status == 2
    assert "--background" in spoken.err


def test_sensitivity_as_text_tells_its_unit(say):
    spoken = say("sensitivity", "--task", TASK, "--metric", "sqnr", "--bits", "4")
    assert spoken.out.rstrip().endswith("sqnr: noise over signal")


def test_allocate_reads_as_text(say, scores):
    spoken = say("allocate", "--table", str(scores), "--kb", "20")
    assert spoken.status == 0, spoken.err
    assert " KB of weights, " in spoken.out
    assert "proven optimum: predicted noise over signal 0." in spoken.out


def test_an_allocation_is_written_as_a_recipe_that_runs(say, scores, tmp_path):
    file = tmp_path / "mine.yaml"
    spoken = say("allocate", "--table", str(scores), "--weight-bits", "3", "--out", str(file), "--json")
    assert spoken.status == 0, spoken.err
    ran = say("run", str(file), "--task", TASK, "--json")
    assert ran.status == 0, ran.err
    assert ran.document["recipe"]["name"] == "mine"
    assert {row["site"]: row["bits"] for row in ran.document["sites"]} == spoken.document["bits"]


@pytest.mark.parametrize("recipe", ["data-free-w8a8", "w8a8"])
def test_a_recipe_that_fits_its_weights_to_other_bits_is_told(say, scores, tmp_path, recipe):
    file = tmp_path / "mine.yaml"
    spoken = say(*f"allocate --table {scores} --weight-bits 3 --recipe {recipe} --out {file}".split())
    assert spoken.status == 0, spoken.err
    assert ("The recipe does correct-bias anew at these bits" in spoken.out) == (recipe != "w8a8")
    check(Recipe.load(file))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "w8a9", "--task", TASK], "did you mean 'w8a8'"),
        (["run", "missing.yaml", "--task", TASK], "missing.yaml"),
        (["run", "w8a8", "--task", "mobilenet-digit"], "did you mean 'mobilenet-digits'"),
        (["run", "w8a8", "--task", TASK, "--set", "weights.bit=4"], "bits"),
        (["run", "w8a8", "--task", TASK, "--set", "weights.bits=99"], "99"),
        (["run", "w8a8", "--task", TASK, "--set", "weights.bits"], "--set takes key=value"),
        (["run", "w8a8"], "--task"),
        (["ablate", "w8a9", "--task", TASK], "did you mean 'w8a8'"),
        (["ablate", "w8a8", "--task", "mobilenet-digit"], "did you mean 'mobilenet-digits'"),
        (["ablate", "w8a8", "--task", TASK, "--set", "equalize.sweeps=3"], "equalize"),
        (["sensitivity", "--task", TASK, "--metric", "fitt"], "did you mean 'fit'"),
        (["sensitivity", "--task", TASK, "--bits", "4,x"], "--bits"),
        (["allocate", "--task", TASK], "--weight-bits"),
        (["allocate", "--task", TASK, "--weight-bits", "-1"], "-1"),
        (["allocate", "--task", TASK, "--weight-bits", "4", "--lock", "input=x"], "--lock"),
        (["allocate", "--task", TASK, "--weight-bits", "4", "--out", "no/where.yaml"], "recipe cannot be written to"),
        (["allocate", "--table", "missing.json", "--weight-bits", "4"], "missing.json"),
        (["bench", "evaluatoin"], "There is no bench"),
    ],
)
def test_wrong_words_get_one_sentence(say, words, told):
    spoken = say(*words, "--json")
    assert spoken.status == 2, spoken.err
    assert told in spoken.last_words
    assert "Traceback" not in spoken.err
    assert spoken.out == ""


def test_a_budget_that_cannot_be_met_names_the_least_that_can(say, scores):
    spoken = say("allocate", "--table", str(scores), "--weight-bits", "1.5", "--json")
    assert spoken.status == 2
    assert "the least that is possible" in spoken.last_words
    assert spoken.out == ""


def test_an_unknown_site_in_a_lock_is_named(say, scores):
    spoken = say("allocate", "--table", str(scores), "--weight-bits", "4", "--lock", "stem.conv.wait=8")
    assert spoken.status == 2
    assert "stem.conv.wait" in spoken.last_words


@pytest.mark.parametrize("empty", ["{}", "[]"])
def test_a_table_without_rows_is_refused_with_what_to_give(say, tmp_path, empty):
    (tmp_path / "table.json").write_text(empty)
    spoken = say("allocate", "--table", str(tmp_path / "table.json"), "--weight-bits", "4")
    assert spoken.status == 2
    assert "holds no rows: give what `sensitivity --json` printed." in spoken.err


def test_a_table_that_is_none_is_refused(say, tmp_path):
    (tmp_path / "table.json").write_text('{"a": 1}')
    spoken = say("allocate", "--table", str(tmp_path / "table.json"), "--weight-bits", "4")
    assert spoken.status == 2
    assert "table.json" in spoken.last_words or "column" in spoken.last_words


def test_ablate_is_a_table_of_rows_with_and_without_each_step(say):
    spoken = say("ablate", "w8a8-per-tensor-equalized", "--task", TASK, "--set", "weights.bits=6", "--json")
    assert spoken.status == 0, spoken.err
    document = spoken.document
    assert set(document) == {"task", "recipe", "seed", "fp32", "accuracy", "rows"}
    assert document["recipe"]["weights"]["bits"] == 6
    (complete,) = (row for row in document["rows"] if row["complete"])
    assert complete["name"] == "+ equalize"
    assert complete["accuracy"] == document["accuracy"]["value"]
    assert {"without equalize", "weights only", "fp32"} <= {row["name"] for row in document["rows"]}


def test_ablate_reads_as_text(say):
    spoken = say("ablate", "w8a8", "--task", TASK)
    assert spoken.status == 0, spoken.err
    assert spoken.out.startswith("FP32 ")
    assert "none (complete)" in spoken.out
    assert "activations only" in spoken.out


def test_run_tells_how_much_is_pruned_where_something_is(say):
    quick = ("--set", "prune.epochs=1", "--set", "qat.epochs=1")
    told = say("run", "prune30-w8a8", "--task", "resnet-digits", *quick)
    assert told.status == 0
    assert "pruned: 30.0 % of the weights" in told.out
    assert "pruned" not in say("run", "w8a8", "--task", "resnet-digits").out


def test_what_gbops_leave_out_is_told(say, scores):
    rows = json.loads(scores.read_text())
    words = ["allocate", "--table", str(scores), "--weight-bits", "4"]
    assert "leave out" not in say(*words).out
    for row in rows:
        row["macs"] += 2000 * (row["site"] == "input")
    scores.write_text(json.dumps(rows))
    assert say(*words).out.endswith("(attention): at least 1,000 MACs an image.\n")
    assert "at least 1,000 MACs" in say(*words, "--json").document["uncounted"]
