"""The profiles that come with qexplore bring diagnoses of which a report can be written without torch."""

import pytest
from scipy.stats import binomtest

from qexplore import zoo
from qexplore.debugging import markdown
from qexplore.recipes import Recipe, presets
from qexplore.runs import profiles

DIGITS = [name for name in zoo.names() if "digits" in name]  # small enough that everything is measured


@pytest.mark.parametrize("task", DIGITS)
def test_every_plain_preset_has_a_diagnosis_with_a_report(task: str) -> None:
    found = profiles.load(task).diagnoses
    assert set(found) >= {name for name in presets("post-training") if not Recipe.load(name).optional}
    for name, document in found.items():
        assert document["task"] == task
        assert markdown(document).startswith(f"# Debugging {name} on {task}\n")
        strange = {**document, "recipe": {**document["recipe"], "name": "![i](u)"}}
        assert markdown(strange).startswith(rf"# Debugging \!\[i\](u) on {task}")


@pytest.mark.parametrize("task", DIGITS)
def test_every_preset_has_its_steps_judged(task: str) -> None:
    table = profiles.load(task).ablation
    assert set(table["recipe"]) == set(presets("post-training"))
    assert table.groupby("recipe")["complete"].sum().eq(1).all()


@pytest.mark.parametrize("task", DIGITS)
def test_a_diagnosis_and_the_ablation_of_its_recipe_say_the_same_of_each_side(task: str) -> None:
    profile = profiles.load(task)
    sides = profile.ablation[profile.ablation["group"] == "side"].set_index(["recipe", "name"])["accuracy"]
    for name, document in profile.diagnoses.items():
        checks = {row["name"]: row["accuracy"] for row in document["checks"]}
        for side in ("weights only", "activations only"):
            assert checks[side] == sides[name, side]


@pytest.mark.parametrize("task", [name for name in zoo.names() if profiles.load(name).diagnoses])
def test_the_pairs_of_a_repair_add_up_to_its_change_of_accuracy(task: str) -> None:
    paired = 0
    for document in profiles.load(task).diagnoses.values():
        before = document["accuracy"]
        for fix in [*document["fixes"], *(one for finding in document["findings"] for one in finding["fixes"])]:
            if fix.get("p") is None:
                continue  # not measured, or it came out otherwise when it was carried out again
            change = fix["accuracy"]["value"] - before["value"]
            assert (fix["gained"] - fix["lost"]) / before["images"] == pytest.approx(change)
            assert fix["p"] == pytest.approx(_mcnemar(fix["gained"], fix["lost"]))
            paired += 1
    assert paired


def _mcnemar(gained: int, lost: int) -> float:
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
