"""The Training page: empty, recorded, waiting, working, paused, done, failed, several; asked for and played."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from qexplore.qat.qbitopt import GRADIENTS
from qexplore.recipes import Recipe
from qexplore.runs import Run, Store, profiles
from qexplore.runs.records import Records
from qexplore.runs.trainings import Training
from qexplore.runs.warm import WarmDied
from qexplore.ui.foreign import escaped
from qexplore.ui.training import start
from qexplore.ui.training.answer import sentence
from qexplore.ui.training.known import Known, opened, training_of, training_presets
from qexplore.ui.training.recipes import Choice, budget_of, choice_of, remedy
from tests.executors import Idle
from tests.pages.conftest import Bench
from tests.pages.words import words
from tests.trainings import Event, recipe_events, row, training_events

Open = Callable[..., AppTest]
TASK = "resnet-digits"
BARE = "mobilenet-digits-unbalanced"  # no recording comes with it


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page queues stays in the queue."""
    monkeypatch.setattr("qexplore.runs.store.executor_for", lambda root: Idle())


def put(
    home: Path,
    events: list[Event] | None = None,
    state: str = "",
    *,
    recipe: Any = "qat-w3a3",
    task: str = TASK,
    error: str | None = None,
    parent: str | None = None,
) -> str:
    """A run that waits (no events), works (no state), or has ended."""
    shelf = Store(home, executor=Idle())
    records = Records(shelf.root)
    run = shelf.submit({"kind": "recipe", "task": task, "recipe": recipe, "seed": 0}, parent=parent)
    if events is not None:
        records.claim(run, 1, "then")
        tell(home, run, events)
    if state:
        records.finish(run, state, error=error, result={} if state == "done" else None)
    return run


def tell(home: Path, run: str, events: list[Event]) -> None:
    Records(home).tell(run, [(time.time(), event) for event in events], None)


def runs(home: Path, state: str) -> list[dict[str, Any]]:
    return [run.spec for run in Store(home, executor=Idle()).runs(state=state)]


def cards(at: AppTest) -> str:
    return next(html for html in map(str, (one.proto.body for one in at.get("html"))) if "qx-strip" in html)


def table_of(at: AppTest, title: str, name: str) -> Any:
    """The table `name` of the live figure whose title begins with `title`."""
    import pyarrow as pa

    chart = next(c for c in at.get("vega_lite_chart") if c.proto.alt.startswith(title))
    data = next(d for d in chart.proto.datasets if d.name == name).data.data
    return pa.ipc.open_stream(data).read_pandas()


def test_a_first_visit_opens_on_a_recorded_training(opened: Open) -> None:
    at = opened("training", task=TASK)
    assert at.selectbox(key="training-shown").value == "qat-w3a3"
    assert "recovers" in words(at)
    assert "Recorded on 20" in words(at)
    assert "after training" in cards(at)
    assert len(at.get("vega_lite_chart")) >= 4
    assert not at.error


def test_a_task_without_any_training_says_what_to_do(opened: Open) -> None:
    at = opened("training", task=BARE)
    assert "This network has not been trained here yet" in words(at)
    assert at.button(key="start-training")
    assert not at.get("vega_lite_chart")


def test_how_long_a_training_takes_is_told_before_it_begins(opened: Open, home: Path) -> None:
    at = opened("training", task=BARE)
    assert "epochs, about" not in words(at)  # nobody knows yet
    told = [{**event, "seconds": 70.0} if event["event"] == "epoch" else event for event in recipe_events()]
    put(home, told, "done", task=BARE, recipe="qat-w4a4")
    fresh = opened("training", task=BARE)
    assert "15 epochs, about 18 min: an epoch of qat-w4a4, run " in words(fresh)
    fresh.number_input(key="epochs-qat-w3a3").set_value(2).run()
    assert "2 epochs, about 2 min: an epoch of qat-w4a4, run " in words(fresh)


def test_one_epoch_is_told_as_one(opened: Open) -> None:
    assert "1 epoch, seed 0" in cards(opened("training", task="mobilenetv2-cifar10"))


def test_a_recording_tells_that_it_is_from_another_machine(opened: Open) -> None:
    assert "an epoch of qat-w3a3, recorded on another machine, took" in words(opened("training", task=TASK))


def test_each_figure_of_each_view_says_what_it_shows(opened: Open) -> None:
    for view in ("bits over time", "learned ranges", "oscillation", "learning rate", "compare"):
        at = opened("training", task=TASK, run="qbitopt-3", view=view)
        charts = at.get("vega_lite_chart")
        assert len(charts) >= 3, view
        assert all(len(chart.proto.alt) > 20 for chart in charts)
        assert words(at).count('<p class="qx-said">') == len(charts)


def test_a_training_that_waits_says_so_and_can_be_cancelled(opened: Open, home: Path) -> None:
    run = put(home)
    at = opened("training", task=TASK)
    assert at.selectbox(key="training-shown").value == run
    assert "waits for its turn" in words(at)
    at.button(key="cancel").click().run()
    assert Store(home, executor=Idle()).run(run).state == "cancelled"


def test_a_training_that_is_watched_from_its_start_shows_its_bits_as_soon_as_they_are_told(
    opened: Open, home: Path
) -> None:
    events = recipe_events("qbitopt", done=2, after=None)
    start = next(number for number, event in enumerate(events) if event["event"] == "training-started") + 1
    run = put(home, events[:start], recipe="qbitopt-3")
    at = opened("training", task=TASK, run=run)
    tell(home, run, events[start:])
    at.run()
    assert at.button_group(key="view").value == "bits over time"


def test_each_training_opens_on_its_own_view_until_one_is_chosen_by_hand(opened: Open) -> None:
    at = opened("training", task=TASK)
    assert at.button_group(key="view").value == "learned ranges"
    at.selectbox(key="training-shown").set_value("qbitopt-3").run()
    assert at.button_group(key="view").value == "bits over time"
    assert "view" not in at.query_params
    at.selectbox(key="training-shown").set_value("qat-w3a3").run()
    assert at.button_group(key="view").value == "learned ranges"
    at.button_group(key="view").set_value("compare").run()
    at.button_group(key="view").set_value("learned ranges").run()
    at.selectbox(key="training-shown").set_value("qbitopt-3").run()
    assert at.button_group(key="view").value == "learned ranges"


@pytest.mark.parametrize("view", ["oscillation", "learned ranges"])
def test_a_view_that_the_address_gives_stays_with_another_training(opened: Open, view: str) -> None:
    at = opened("training", task=TASK, view=view)
    at.selectbox(key="training-shown").set_value("qbitopt-3").run()
    assert at.button_group(key="view").value == view


def test_a_view_that_a_training_does_not_have_gives_way_to_its_own(opened: Open) -> None:
    at = opened("training", task=TASK, run="qbitopt-3")
    at.button_group(key="view").set_value("compare").run()
    at.button_group(key="view").set_value("bits over time").run()
    at.selectbox(key="training-shown").set_value("qat-w3a3").run()
    assert at.button_group(key="view").value == "learned ranges"
    at.selectbox(key="training-shown").set_value("qbitopt-3").run()
    assert at.button_group(key="view").value == "bits over time"


def test_a_training_that_is_started_opens_on_its_own_view(opened: Open, home: Path) -> None:
    at = opened("training", task=TASK, train="qbitopt-3")
    assert at.button_group(key="view").value == "learned ranges"
    at.button(key="start-training").click().run()
    (run,) = Store(home, executor=Idle()).runs(state="queued")
    Records(home).claim(run.id, 1, "then")
    tell(home, run.id, recipe_events("qbitopt", done=2, after=None))
    at.run()
    assert at.button_group(key="view").value == "bits over time"


def test_a_training_that_works_shows_its_curve_and_what_is_held_out(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qbitopt", done=2, after=None), recipe="qbitopt-3")
    at = opened("training", task=TASK)
    assert "qbitopt-3 trains, 2 of 6 epochs behind it" in words(at)
    assert "accuracy so far, held out" in cards(at)
    assert "2 of 2" in cards(at)
    before = len(table_of(at, "Curve of the accuracy", "marks"))
    tell(home, run, [event for event in recipe_events("qbitopt", done=3, after=None) if event.get("at", 0) > 40])
    at.run()
    assert len(table_of(at, "Curve of the accuracy", "marks")) == before + 1
    assert {"pause", "cancel"} <= {button.key for button in at.button}


def test_pause_ends_a_training_so_that_it_can_be_resumed(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat", done=2, after=None))
    at = opened("training", task=TASK, run=run)
    at.button(key="pause").click().run()
    asked = Store(home, executor=Idle()).run(run)
    assert asked.stop_asked is not None
    Records(home).finish(run, "paused")
    at.run()
    assert "Paused" in words(at)
    at.button(key="resume").click().run()
    child = Store(home, executor=Idle()).runs(state="queued")[0]
    assert child.parent == run
    assert at.selectbox(key="training-shown").value == child.id
    assert "trains" not in words(at).split("What does")[0]


def test_a_resumed_training_shows_what_was_told_before_the_pause(opened: Open, home: Path) -> None:
    first = put(home, recipe_events("qat", done=2, after=None), "paused")
    rest = recipe_events("qat", at=40, after=None, done=3)
    put(home, rest, parent=first)
    at = opened("training", task=TASK)
    assert table_of(at, "Curve of the accuracy", "marks")["epoch"].tolist() == [1.0, 2.0, 3.0]


def test_a_training_that_was_resumed_leads_to_the_run_that_went_on(opened: Open, home: Path) -> None:
    first = put(home, recipe_events("qat", done=2, after=None), "paused")
    second = put(home, recipe_events("qat", at=40, after=None, done=3), parent=first)
    at = opened("training", task=TASK, run=first)
    assert "Paused, and resumed since." in words(at)
    assert "resume" not in {button.key for button in at.button}
    assert second in at.button(key="went-on").label
    at.button(key="went-on").click().run()
    assert at.selectbox(key="training-shown").value == second
    assert at.query_params["run"] in (second, [second])


def test_a_resumed_training_took_as_long_as_all_of_its_runs(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 40.0))
    first = put(home, recipe_events("qat", done=2, after=None), "paused")
    second = put(home, recipe_events("qat", at=40), "done", parent=first)
    at = opened("training", task=TASK, run=second, view="compare", runs=second)
    assert "80 s" in cards(at)
    assert "6 epochs, in 2 runs, seed 0" in cards(at)
    assert at.dataframe[0].value["took"].tolist() == ["80 s"]


@pytest.mark.parametrize(("state", "done", "said"), [("cancelled", 4, "4 of 6 epochs"), ("failed", 0, "0 of 6 epochs")])
def test_what_a_training_took_goes_with_the_epochs_that_it_has_done(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch, state: str, done: int, said: str
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 40.0))
    run = put(home, recipe_events("qat", done=done, after=None), state, error="The loss is nan.")
    assert f"{said}, seed 0" in cards(opened("training", task=TASK, run=run))


def test_stages_that_have_not_begun_count_among_the_epochs_that_were_asked_for(
    opened: Open, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Run, "seconds", property(lambda run: 40.0))
    recipe = Recipe.load("prune30-w8a8").with_settings({"prune.epochs": 6, "qat.epochs": 5}).to_document()
    events = [row("fp32", 0.98), *training_events("prune", 0, done=4)]
    at = opened("training", task=TASK, run=put(home, events, "cancelled", recipe=recipe))
    assert "4 of 11 epochs, seed 0" in cards(at)
    assert "was cancelled, 4 of 11 epochs behind it" in words(at)


def test_a_finished_training_answers_the_question(opened: Open, home: Path) -> None:
    events = recipe_events("qat", before=0.71, after=0.95, fp32=0.986)
    events[-1] |= {"gained": 125, "lost": 5}
    at = opened("training", task=TASK, run=put(home, events, "done"))
    assert "recovers 24.0 points of the 27.6 points that were lost:** from 71.0 % to 95.0 % (FP32 98.6 %)" in words(at)
    assert "93.0–97.0 %, 500 images" in cards(at)


@pytest.mark.parametrize(("step", "said"), [("qat", False), ("qbitopt", True)])
def test_of_qbitopt_it_is_said_that_the_allocation_has_its_part(
    step: str, said: bool, opened: Open, home: Path
) -> None:
    events = recipe_events(step, before=0.71, after=0.95, fp32=0.986)
    at = opened("training", task=TASK, run=put(home, events, "done"))
    assert ("part of the change is the allocation's" in words(at)) == said


def test_what_was_paused_before_its_first_step_says_so(opened: Open, home: Path) -> None:
    at = opened("training", task=TASK, run=put(home, recipe_events("qat", done=0, after=None), "paused"))
    assert "Paused before it had learned anything." in words(at)
    assert "Start again" in [button.label for button in at.button]


def test_a_training_that_failed_shows_its_error_and_its_remedy_starts_it_again(opened: Open, home: Path) -> None:
    error = (
        "The training 'qat' diverged at step 61 (epoch 4): the loss is nan; the first site with numbers that are not "
        "finite is 'head.weight'. Start again with a smaller rate, such as rate=0.002 and quantizer_rate=0.0002."
    )
    run = put(home, recipe_events("qat", done=3, after=None), "failed", error=error)
    at = opened("training", task=TASK, run=run)
    assert escaped(error) in words(at)
    assert "was failed, 3 of 6 epochs" not in words(at)
    at.button(key="remedy").click().run()
    step = Recipe.load(runs(home, "queued")[0]["recipe"]).steps[-1]
    assert (step.settings["rate"], step.settings["quantizer_rate"]) == (0.002, 0.0002)


def test_a_training_that_failed_at_once_says_so(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat", done=0, after=None), "failed", error="The loss is nan.")
    at = opened("training", task=TASK, run=run)
    assert "qat-w3a3 failed before its first epoch was over" in words(at)
    assert "not reached" in cards(at)
    assert not [button for button in at.button if button.key == "remedy"]


def test_runs_leads_to_the_curves_of_a_training(opened: Open, home: Path) -> None:
    at = opened("runs", run=put(home, recipe_events("qat"), "done"))
    assert any(one.proto.label == "Open in Training" for one in at.get("page_link"))


def test_a_training_leads_to_its_run(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat"), "done")
    links = opened("training", task=TASK, run=run).get("page_link")
    (link,) = [one.proto for one in links if one.proto.label == "Open in Runs"]
    assert link.query_string == f"run={run}"


def test_up_to_four_trainings_are_compared_and_named_in_the_address(opened: Open, home: Path) -> None:
    mine = put(home, recipe_events("qat", after=0.9), "done", recipe="qat-w4a4")
    at = opened("training", task=TASK, view="compare", runs=f"{mine},qat-w3a3,qbitopt-3,nope")
    assert at.multiselect(key="training-runs").value == [mine, "qat-w3a3", "qbitopt-3"]
    rows = at.dataframe[0].value
    assert rows["recipe"].tolist() == ["qat-w4a4", "qat-w3a3", "qbitopt-3"]
    assert rows["bits or budget"].iloc[0] == "4 weight bits, 4 activation bits"
    assert rows["bits or budget"].iloc[2] == "3 weight bits, 3 activation bits"
    assert "90.0 % (88.0–92.0 %, 500 images)" in rows["accuracy"].iloc[0]
    assert "71.0 % (69.0–73.0 %, 500 images)" in rows["before"].iloc[0]
    assert set(table_of(at, "Curves of the accuracy", "curves")["letter"]) == {"A", "B", "C"}
    at.multiselect(key="training-runs").set_value([mine]).run()
    assert at.query_params["runs"] in (mine, [mine])


def test_a_recording_beside_a_run_of_the_same_recipe_is_called_recorded(opened: Open, home: Path) -> None:
    mine = put(home, recipe_events("qat", after=0.9), "done")
    at = opened("training", task=TASK, view="compare", runs=f"{mine},qat-w3a3")
    names = set(table_of(at, "Curves of the accuracy", "curves")["run"])
    assert names == {f"A qat-w3a3 · {mine}", "B qat-w3a3 · recorded"}


def test_a_training_that_is_not_there_is_named(opened: Open) -> None:
    at = opened("training", task=TASK, run="nope")
    assert "There is no training 'nope' of this task" in at.warning[0].value


def test_the_start_button_queues_the_recipe_and_shows_it(opened: Open, home: Path) -> None:
    at = opened("training", task=BARE)
    at.button(key="start-training").click().run()
    assert runs(home, "queued") == [{"kind": "recipe", "task": BARE, "recipe": "qat-w3a3", "seed": 0}]
    assert "waits for its turn" in words(at)
    assert at.button(key="start-training").disabled


def test_settings_make_a_recipe_of_ones_own(opened: Open, home: Path) -> None:
    at = opened("training", task=BARE, train="qat-w4a4")
    at.segmented_control(key="weights-qat-w4a4").set_value(2)
    at.number_input(key="epochs-qat-w4a4").set_value(3)
    at.number_input(key="training-seed").set_value(5)
    at.run()
    shown = "\n".join(code.value for code in at.code)
    assert "run qat-w4a4 --task" in shown
    assert "--set weights.bits=2" in shown
    assert "with_settings({'weights.bits': 2, 'qat.epochs': 3})" in shown
    at.button(key="start-training").click().run()
    spec = runs(home, "queued")[0]
    asked = Recipe.load(spec["recipe"])
    assert (asked.weights["bits"], asked.activations["bits"], spec["seed"]) == (2, 4, 5)
    assert asked.steps[-1].settings["epochs"] == 3
    assert asked.name == "qat-w4a4 with bits: 2, epochs: 3"


def test_the_share_that_is_pruned_can_be_chosen(opened: Open, home: Path) -> None:
    at = opened("training", task=BARE, train="prune30-w4a8")
    at.slider(key="sparsity-prune30-w4a8").set_value(60).run()
    at.button(key="start-training").click().run()
    assert Recipe.load(runs(home, "queued")[0]["recipe"]).steps[0].settings["sparsity"] == 0.6


def test_a_budget_in_the_address_is_that_of_qbitopt(opened: Open, home: Path) -> None:
    at = opened("training", task=BARE, train="qbitopt-4", qw="3.5", qa="6.0", qkb="12.5")
    assert (at.slider(key="qw").value, at.slider(key="qa").value) == (3.5, 6.0)
    at.button(key="start-training").click().run()
    settings = Recipe.load(runs(home, "queued")[0]["recipe"]).steps[-1].settings
    assert [settings[name] for name in ("weight_bits", "activation_bits", "kb")] == [3.5, 6.0, 12.5]


def test_qbitopt_can_be_asked_to_go_by_the_networks_own_answers(opened: Open, home: Path) -> None:
    assert start._GRADIENTS == GRADIENTS
    at = opened("training", task=BARE, train="qbitopt-3")
    at.segmented_control(key="gradients-qbitopt-3").set_value("answers").run()
    assert "--set qbitopt.gradients=answers" in "\n".join(code.value for code in at.code)
    at.button(key="start-training").click().run()
    assert Recipe.load(runs(home, "queued")[0]["recipe"]).steps[-1].settings["gradients"] == "answers"


def test_more_settings_are_typed_as_on_the_command_line(opened: Open, home: Path, bench: Bench) -> None:
    at = opened("training", task=BARE, set="qat.distill=0.5 qat.ema=0.995")
    line = "run qat-w3a3 --task mobilenet-digits-unbalanced --seed 0 --set qat.distill=0.5 --set qat.ema=0.995"
    assert line in "\n".join(code.value for code in at.code)
    at.button(key="start-training").click().run()
    asked = Recipe.load(runs(home, "queued")[0]["recipe"])
    assert asked.steps[-1].settings.items() >= {"distill": 0.5, "ema": 0.995}.items()
    assert asked.name == "qat-w3a3 with distill: 0.5, ema: 0.995"
    assert bench.asked[-1] == {"check": asked.to_document() | {"name": "qat-w3a3", "title": training_title("qat-w3a3")}}


def training_title(name: str) -> str:
    return training_presets()[name].title


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("qat.distill", "The field 'more settings' takes key=value, not 'qat.distill'."),
        ("qta.distill=0.5", "There is no step of the recipe 'qat-w3a3' called 'qta'; did you mean 'qat'?"),
        ("qat.ema='0.9", "cannot be taken apart (No closing quotation): close the quotation."),
        ("qat.distill=[", "What stands in the value of 'qat.distill' is not YAML"),
    ],
)
def test_a_wrong_word_is_told_at_the_form_and_nothing_starts(opened: Open, text: str, said: str) -> None:
    at = opened("training", task=BARE)
    at.text_input(key="set").set_value(text).run()
    (told,) = at.error
    assert said in told.value
    assert at.button(key="start-training").disabled
    at.text_input(key="set").set_value("").run()
    assert not at.error
    assert not at.button(key="start-training").disabled


def test_what_the_engine_refuses_is_told_at_the_form_too(opened: Open, bench: Bench) -> None:
    bench.refusal = "There is no setting of the step 'qat' called 'distil'; did you mean 'distill'?"
    at = opened("training", task=BARE, set="qat.distil=0.5")
    assert [one.value for one in at.error] == [bench.refusal]
    assert at.button(key="start-training").disabled


def test_an_engine_that_cannot_answer_keeps_nobody_from_starting(
    opened: Open, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*words: object, **more: object) -> None:
        raise WarmDied("The warm bench ended.")

    monkeypatch.setattr(bench, "ask", ask)
    at = opened("training", task=BARE, set="qat.distill=0.5")
    assert not at.error
    assert not at.button(key="start-training").disabled


def test_while_the_engine_is_asked_nothing_starts(opened: Open, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(bench, "ask", lambda *words, **more: answered.wait(20) and {})
    at = opened("training", task=BARE, set="qat.distill=0.5")
    assert "The settings are being checked" in words(at)
    assert at.button(key="start-training").disabled
    answered.set()
    at.run()
    assert not at.button(key="start-training").disabled


def test_what_was_typed_for_one_recipe_goes_with_it(opened: Open) -> None:
    at = opened("training", task=BARE, set="qat.distill=0.5")
    at.selectbox(key="train").set_value("qbitopt-3").run()
    assert at.text_input(key="set").value == ""
    assert at.text_input(key="set").placeholder == "qbitopt.distill=0.5 qbitopt.ema=0.995"


def test_the_same_again_shows_the_settings_of_a_training(opened: Open, home: Path) -> None:
    changes = {"weights.bits": 2, "qat.distill": 0.5, "sites.first.bits": 8}
    run = put(home, recipe_events("qat"), "done", recipe=Choice("qat-w3a3", 0, changes).told)
    at = opened("training", task=TASK, run=run)
    at.session_state["training-again"] = True
    at.run()
    line = "--set weights.bits=2 --set qat.distill=0.5 --set sites.first.bits=8"
    assert any(line in code.value for code in at.code)


def test_a_recipe_of_ones_own_is_of_no_preset() -> None:
    own = Recipe.load("qat-w3a3").without(["equalize"]).to_document()
    assert choice_of(own, 0) is None
    assert choice_of({**own, "name": "mine"}, 0) is None


def test_a_recipe_of_many_settings_is_called_so_that_its_run_can_read_it() -> None:
    many = Choice("qat-w3a3", 0, {f"sites.block{number}.bits": 8 for number in range(60)})
    recipe = Recipe.load(many.told)
    assert recipe.name.startswith("qat-w3a3 with block0.bits: 8, block1.bits: 8")
    assert choice_of(many.told, 0) == many


def test_a_budget_that_cannot_be_met_is_refused_at_the_form_with_the_least_that_is_possible(opened: Open) -> None:
    at = opened("training", task=BARE, train="qbitopt-4", qkb="0.5")
    (told,) = at.error
    assert "A budget of 0.5 KB of weights cannot be met: the least that is possible is" in told.value
    assert at.button(key="start-training").disabled
    least = float(told.value.partition(" is ")[2].partition(";")[0].rpartition(" is ")[2])
    again = opened("training", task=BARE, train="qbitopt-4", qkb=str(least))
    assert not again.error
    assert not again.button(key="start-training").disabled


def test_another_recipe_brings_its_own_budget(opened: Open) -> None:
    at = opened("training", task=BARE, train="qbitopt-3")
    assert at.slider(key="qw").value == 3.0
    at.selectbox(key="train").set_value("qbitopt-4").run()
    assert (at.slider(key="qw").value, at.slider(key="qa").value) == (4.0, 4.0)


def test_budgets_leads_here_with_its_limits(opened: Open) -> None:
    at = opened("budgets", task=TASK, w="3.2", a="5.0", kb="20")
    link = next(one for one in at.get("page_link") if one.proto.label == "Train with this budget")
    assert link.proto.page.endswith("training")
    for part in (f"task={TASK}", "train=qbitopt-3", "qw=3.2", "qa=5", "qkb=20"):
        assert part in link.proto.query_string


def test_a_moment_of_the_address_is_the_one_that_is_drawn(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qbitopt"), "done", recipe="qbitopt-3")
    at = opened("training", task=TASK, run=run, at="2.5")
    assert at.select_slider(key=f"moment-{run}-bits").value == 2
    assert "Allocation 3 of 7, epoch 2" in at.select_slider(key=f"moment-{run}-bits").label
    assert at.select_slider(key=f"moment-{run}-bits").options[2] == "3"
    at.select_slider(key=f"moment-{run}-bits").set_value(4).run()
    assert at.query_params["at"] in ("4", ["4"])
    shown = {one["site"]: one["bits"] for one in table_of(at, "Bars with the bits", "bars").to_dict("records")}
    events = [event for event in recipe_events("qbitopt") if event["event"] == "allocation"]
    assert shown == events[4]["bits"]


def test_a_training_is_followed_though_the_browser_sends_the_moment_before(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat", after=None, done=3))
    at = opened("training", task=TASK, run=run, view="learned ranges", site="head.weight")
    slider = f"moment-{run}-ranges"
    drawn = at.select_slider(key=slider).value
    tell(home, run, training_events("qat", 3, at=60, done=4)[1:])
    assert "Epoch 4" in at.run().select_slider(key=slider).label
    at.select_slider(key=slider).set_value(drawn).run()
    assert "at" not in at.query_params
    assert "Epoch 4" in at.select_slider(key=slider).label


def test_a_moment_that_the_visitor_picks_while_it_trains_stays(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat", after=None, done=4))
    at = opened("training", task=TASK, run=run, view="learned ranges", site="head.weight")
    slider = f"moment-{run}-ranges"
    before = at.select_slider(key=slider).options.index("3")  # next to the last: the shortest way to go
    at.select_slider(key=slider).set_value(before).run()
    assert at.query_params["at"] in ("3", ["3"])
    tell(home, run, training_events("qat", 3, at=80, done=5)[1:])
    assert "Epoch 3" in at.run().select_slider(key=slider).label
    at.select_slider(key=slider).set_value(-1).run()
    assert "at" not in at.query_params
    assert "Epoch 5" in at.select_slider(key=slider).label


def test_playing_begins_at_the_start_and_goes_on_by_itself(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qbitopt"), "done", recipe="qbitopt-3")
    at = opened("training", task=TASK, run=run)
    slider = f"moment-{run}-bits"
    assert at.select_slider(key=slider).value == -1  # the last
    at.button(key=f"play-{run}-bits").click().run()
    assert at.select_slider(key=slider).value == 0
    assert at.button(key=f"play-{run}-bits").label == "Stop"


def test_where_playing_moves_nothing_the_page_says_that_the_bits_stayed(opened: Open, home: Path) -> None:
    told = recipe_events("qbitopt")
    first = next(event["bits"] for event in told if event["event"] == "allocation")
    kept = {"bits": first, "changed": 0}
    told = [event | kept if event["event"] == "allocation" else event for event in told]
    at = opened("training", task=TASK, run=put(home, told, "done", recipe="qbitopt-3"))
    assert "No re-allocation changed the bits of the first allocation." in words(at)


def test_the_site_that_is_picked_is_the_one_whose_range_is_shown(opened: Open, home: Path) -> None:
    run = put(home, recipe_events("qat"), "done")
    at = opened("training", task=TASK, run=run, view="learned ranges", site="head.weight")
    assert at.selectbox(key="site").value == "head.weight"
    assert "The range of head.weight went from -0.5 … 0.5 to -0.3 … 0.3" in words(at)
    other = opened("training", task=TASK, run=run, view="learned ranges", site="head.out")
    assert "The range of head.out went from 0 … 4" in words(other)
    assert not other.exception


@pytest.mark.parametrize(("site", "said"), [("classifier.out", "from −"), ("stem.conv.out", "from 0 to ")])
def test_of_an_activation_the_range_is_told_in_numbers_and_drawn_over_the_whole_width(
    opened: Open, site: str, said: str
) -> None:
    at = opened("training", task=TASK, view="learned ranges", site=site)
    assert at.selectbox(key="site").value == site
    assert said in at.select_slider(key="moment-qat-w3a3-ranges").label
    assert "Range of the activation" not in words(at)
    assert len(table_of(at, "Band between both ends", "rows"))
    assert "The range over the epochs" in words(at)
    assert not any("The range over" in one.value for column in at.columns for one in column.markdown)


@pytest.mark.parametrize(
    ("before", "after", "paired", "said"),
    [
        (0.71, 0.95, (125, 5), "Training at these bits recovers 24.0 points of the 27.6 points that were lost"),
        (0.71, 0.99, (145, 5), "recovers all of the 27.6 points that were lost"),
        (0.95, 0.90, (5, 30), "loses 5.0 points:** from 95.0 % to 90.0 % (FP32 98.6 %). A smaller learning rate"),
        (0.98, 0.982, (3, 2), "Nothing that 500 images could show:** training at these bits leads from 98.0 %"),
        (0.99, 0.998, (6, 0), "gains 0.8 points, though nothing had been lost"),
    ],
)
def test_the_answer_follows_the_numbers(before: float, after: float, paired: tuple[int, int], said: str) -> None:
    from qexplore.runs.training_log import Log

    events = recipe_events("qat", before=before, after=after, fp32=0.986)
    events[-1] |= dict(zip(("gained", "lost"), paired, strict=True))
    assert said in sentence(Known(), Training.of(Log().extend(enumerate(events, 1))))


def test_a_training_on_masks_tells_mean_ious_and_no_share_of_images(opened: Open, home: Path) -> None:
    events = recipe_events("qat", done=2, after=None)
    steps = [event | {"metric": "miou"} if event["event"] == "step" else event for event in events]
    at = opened("training", task=TASK, run=put(home, steps))
    said = words(at)
    assert ":** mean IoU " in said
    assert "71.0 % on the evaluation images before training" in said
    assert "are right" not in said
    assert "**Mean IoU**" in said
    assert "mean IoU so far, held out" in cards(at)


def test_what_was_pruned_is_told_against_the_dense_network(opened: Open, home: Path) -> None:
    events = [row("fp32", 0.98), *training_events("prune", 0), row("prune", 0.97), *training_events("qat", 1)]
    run = put(home, [*events, row("qat", 0.975)], "done", recipe="prune30-w8a8")
    at = opened("training", task=TASK, run=run)
    assert "30 % of the weights are zero, and 97.5 % is left:** −0.5 points from the dense network" in words(at)
    assert "weights that are zero" in cards(at)
    assert "sparsity" in at.segmented_control(key="view").options


def test_a_run_with_twenty_thousand_events_is_drawn_within_a_second(opened: Open, home: Path) -> None:
    events = recipe_events("qbitopt", epochs=500, every=1)
    run = put(home, events, "done", recipe="qbitopt-3")
    assert len(events) > 20_000
    at = opened("training", task=TASK, run=run)
    began = time.process_time()
    at.run()
    assert time.process_time() - began < 1.0
    assert not at.exception


def test_a_training_is_read_on_from_where_it_was_read_to(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = put(home, recipe_events("qat", done=2, after=None))
    shelf = Store(home, executor=Idle())
    one = Known(shelf.run(run))
    first = training_of(one)
    assert training_of(one) is first
    asked: list[int] = []
    events = Store.events

    def reading(self: Store, name: str, *, after: int = 0, **more: Any) -> Any:
        asked.append(after)
        return events(self, name, after=after, **more)

    monkeypatch.setattr(Store, "events", reading)
    tell(home, run, [row("qat", 0.9)])
    assert len(training_of(one).steps) == len(first.steps) + 1
    assert asked == [len(recipe_events("qat", done=2, after=None))]


def test_what_was_asked_for_with_a_recipe_that_does_not_train_is_no_training(opened: Open, home: Path) -> None:
    put(home, [row("fp32", 0.98)], "done", recipe="w8a8")
    assert opened("training", task=TASK).selectbox(key="training-shown").value == "qat-w3a3"


def test_an_active_training_is_shown_before_a_finished_one() -> None:
    class One(Known):
        def __init__(self, name: str, state: str) -> None:
            object.__setattr__(self, "told", (name, state))

        id = property(lambda self: self.told[0])
        state = property(lambda self: self.told[1])
        active = property(lambda self: self.told[1] in ("queued", "running"))

    found = [One("a", "done"), One("b", "running"), One("c", "failed")]
    assert opened_name(found, None) == "b"
    assert opened_name(found, "c") == "c"
    assert opened_name(found[::2], None) == "a"
    assert opened_name([], None) == ""


def opened_name(found: list[Known], wanted: str | None) -> str:
    one = opened(found, wanted)
    return one.id if one else ""


@pytest.mark.parametrize("name", sorted(training_presets()))
def test_every_preset_that_trains_can_be_asked_for(name: str) -> None:
    recipe = training_presets()[name]
    assert recipe.trains
    assert Choice(name).told == name
    assert set(budget_of(recipe)) == ({"qw", "qa"} if name.startswith("qbitopt") else set())


def test_the_remedy_of_an_error_is_read_from_its_sentence() -> None:
    recipe = Recipe.load("qat-w3a3")
    assert remedy(recipe, "Start again with a smaller rate, such as rate=0.002.") == {"qat.rate": 0.002}
    assert remedy(recipe, "such as rate=1.5e-05, or a warm-up.") == {"qat.rate": 1.5e-05}
    assert remedy(recipe, "Out of memory.") == {}
    staged = Recipe.load("prune30-w8a8")
    told = "The training 'qat' diverged at step 3 (epoch 1): the loss is nan. Start again with a smaller rate, such as"
    assert remedy(staged, f"{told} rate=0.5.") == {"qat.rate": 0.5}
    assert remedy(staged, f"{told.replace('qat', 'prune')} rate=0.5.") == {"prune.rate": 0.5}


def test_profiles_know_the_sites_of_a_recorded_training() -> None:
    from qexplore.runs.recordings import recordings

    for task in (TASK, "mobilenet-digits", "resnet20-cifar10", "mobilenetv2-cifar10"):
        known = set(profiles.load(task).sites["site"])
        for one in recordings(task):
            assert set(Training.of(one.log()).now.sites["site"]) <= known
