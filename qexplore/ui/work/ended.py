"""Runs that have ended: list, details, comparison, and what can be done with them."""

from __future__ import annotations

import json
from dataclasses import asdict

import streamlit as st

from qexplore import figures
from qexplore.figures.words import seconds
from qexplore.runs import FINISHED, Run, UnknownRun, trained
from qexplore.ui.draw import figure
from qexplore.ui.foreign import code, escaped
from qexplore.ui.sentence import toast
from qexplore.ui.snippets import SNIPPETS, score_cell, score_command
from qexplore.ui.stored import store
from qexplore.ui.training.known import trains
from qexplore.ui.work.results import results
from qexplore.ui.work.words import ICONS, accuracy_of, ago, name, outcome, table, went_on

_MOST = 200  # the newest runs
_LISTS = "runs-lists"  # how often the list was made anew, without its ticks


def nothing_active() -> None:
    st.caption("Nothing waits or works. What you start on other pages goes on without a browser.")


def ended() -> None:
    """The list of ended runs; the ones that are ticked are shown in full, or compared."""
    runs, wanted = store().runs(limit=_MOST, state=FINISHED), _wanted()
    if not runs:
        st.info("No run has ended yet. A recipe takes a second: start one on Post-training.", icon=":material/inbox:")
        st.page_link("pages/post_training.py", label="Post-training", icon=":material/waterfall_chart:")
        return
    rows = table(runs)
    st.markdown("**Ended** :gray[:small[tick one to see it, two or more to compare]]")
    chosen = st.dataframe(
        rows[["outcome", "what", "took", "when", "id"]],  # what a narrow screen has room for comes first
        hide_index=True,
        height=min(36 * (len(rows) + 1) + 4, 330),
        key=_list_key(runs),
        on_select="rerun",
        selection_mode="multi-row",
        alt=f"{len(rows)} ended runs, the newest first.",
    )
    _downloads(runs)
    picked = _picked(runs, chosen.selection.rows, wanted)
    if picked:
        _name(picked)
    if len(picked) == 1:
        _one(picked[0])
    elif picked:
        _several(picked)


def _list_key(runs: list[Run]) -> str:
    """Ticks are row numbers: of another list they mean other runs."""
    return f"ended {hash(tuple(run.id for run in runs))} {st.session_state.get(_LISTS, 0)}"


def _picked(runs: list[Run], rows: list[int], wanted: list[Run]) -> list[Run]:
    """What is ticked, else the runs that the address names."""
    return [runs[row] for row in rows if row < len(runs)] if rows else wanted


def _wanted() -> list[Run]:
    """The ended runs that the address names, one as `run`, several as `runs`."""
    several = [name for name in st.query_params.get("runs", "").split(",") if name]
    one = st.query_params.get("run")
    names = several or ([] if one is None else [one])
    found = [_ended(named) for named in list(dict.fromkeys(names))[:_MOST]]
    return [run for run in found if run is not None]


def _ended(named: str) -> Run | None:
    """The run of this name, and a sentence where it has not ended or is not there."""
    try:
        run = store().run(named)
    except UnknownRun:
        what = f"The link asks for the run {code(named)}, which is not in this home (it may have been deleted)"
        st.caption(f":material/link_off: {what}; shown are the runs that are.")
        return None
    if run.active:
        st.caption(f":material/link: Run {code(run.id)}, which the link asks for, has not ended: it stands above.")
        return None
    return run


def _name(runs: list[Run]) -> None:
    """Writes the runs that are shown into the address."""
    several = len(runs) > 1
    st.query_params.pop("run" if several else "runs", None)
    st.query_params["runs" if several else "run"] = ",".join(run.id for run in runs)


def _downloads(runs: list[Run]) -> None:
    text = json.dumps([asdict(run) for run in runs], indent=1, default=str)
    with st.container(horizontal=True):
        _file("All as JSON", text, "runs.json", "application/json")
        rows = table(runs).drop(columns=["took", "when"])  # words for the eye
        _file("All as CSV", rows.to_csv(index=False), "runs.csv", "text/csv")


def _file(label: str, text: str, file: str, mime: str) -> None:
    st.download_button(label, text, file, mime, icon=":material/download:", on_click="ignore", key=f"file-{file}")


def _one(run: Run) -> None:
    with st.container(border=True):
        took = f" · {seconds(run.seconds)}" if run.seconds is not None else ""
        end = run.state if run.error else outcome(run)
        st.markdown(f"{ICONS[run.state]} **{escaped(name(run))}** · {end} · {ago(run.created)}{took} · `{run.id}`")
        if run.error:
            (st.info if run.state in ("paused", "cancelled") else st.error)(escaped(run.error), icon=ICONS[run.state])
        training = trained(store(), run.id)
        if training is not None:
            st.caption(f"Trained: {training.text}.")
        if run.outdated:
            st.caption(f"Of another network: **{run.task}** was removed and added anew since.")
        if run.parent:
            st.caption(_carries_on(run))
        with st.container(horizontal=True, vertical_alignment="center"):
            _again(run)
            _deleting("Delete", "delete", [run.id])
            _file("JSON", json.dumps(asdict(run), indent=1), f"{run.id}.json", "application/json")
        results(run)
        _repeat(run)
        with st.expander("What it was asked, and what it answered", icon=":material/data_object:"):
            st.json({"spec": run.spec, "result": run.result, "engine": run.engine}, expanded=1)


def _carries_on(run: Run) -> str:
    """Which run it carries on, and how long the whole line has worked."""
    line, whole = store().line(run.id), store().seconds(run.id)
    took = f" The {len(line)} runs together took {seconds(whole)}." if whole is not None else ""
    return f"Carries run {run.parent} on.{took}"


def _again(run: Run) -> None:
    """What is done, or of a task that is another one by now, is run again from its start; what is not goes on, or
    starts anew where it could do either.

    What went on in another run already leads to that one: nothing is trained twice by mistake.
    """
    if run.state == "done" or run.outdated:
        st.button("Run again", icon=":material/replay:", key="again", on_click=_start, args=(run.id,))
        return
    after = store().successor(run.id)
    if after is None:
        st.button("Resume", icon=":material/resume:", key="again", on_click=_resume, args=(run.id,))
    else:
        _onward(after)
    if after is not None or store().checkpoints(run.id):
        st.button("From the start", icon=":material/replay:", key="anew", on_click=_start, args=(run.id,))


def _onward(after: Run) -> None:
    """The way to the run that went on: a training stands on Training, any other here."""
    icon = ":material/arrow_forward:"
    if trains(after):
        way = {"task": str(after.task), "run": after.id}
        st.page_link("pages/training.py", label=went_on(after), icon=icon, query_params=way)
    else:
        st.button(went_on(after), icon=icon, key="went-on", type="tertiary", on_click=_show, args=(after.id,))


def _show(run_id: str) -> None:
    """The run is the one that the page shows, whatever was ticked."""
    st.query_params.pop("runs", None)
    st.query_params["run"] = run_id
    st.session_state[_LISTS] = st.session_state.get(_LISTS, 0) + 1


def _repeat(run: Run) -> None:
    words = _snippets(run)
    if words is None:
        return
    cell, command = words
    st.caption("The same in a notebook, or on the command line" if command else "The same in a notebook")
    st.code(cell, wrap_lines=True)
    if command:
        st.code(command, language="bash", wrap_lines=True)


def _snippets(run: Run) -> tuple[str, str] | None:
    """Notebook cell and command line that repeat a run ("" where its recipe is a document); None for other kinds."""
    recipe, seed = run.spec.get("recipe", "w8a8"), int(run.spec.get("seed", 0))
    named = isinstance(recipe, str)
    if not run.task:
        return None
    if run.kind == "sensitivity":
        asked = (run.task, str(run.spec["metric"]), recipe, seed)
        return score_cell(*asked), score_command(*asked) if named else ""
    if run.kind not in SNIPPETS:
        return None
    cell, command = SNIPPETS[run.kind]
    return cell(run.task, recipe, seed), command(run.task, recipe, seed) if named else ""


def _several(runs: list[Run]) -> None:
    with_accuracy = [run for run in runs if accuracy_of(run)]
    if len(with_accuracy) > 1:
        rows = table(with_accuracy)
        rows["name"] = rows["what"] + " · " + rows["id"]
        figure(figures.compare(rows[["name", "accuracy", "low", "high", "images", "metric"]]))
    else:
        st.info("At least two runs with an accuracy are needed for a comparison.", icon=":material/compare_arrows:")
    ids = [run.id for run in runs]
    _deleting(f"Delete these {len(runs)}", "delete-many", ids)


@toast()
def _resume(run_id: str) -> None:
    store().resume(run_id)


@toast()
def _start(run_id: str) -> None:
    store().repeat(run_id)


def _deleting(label: str, key: str, ids: list[str]) -> None:
    """A second click deletes: what a training has learned in hours does not come back."""
    with st.popover(label, icon=":material/delete:", key=f"{key}-asked"):
        st.caption("Results, log and checkpoints go as well; there is no way back.")
        icon = ":material/delete_forever:"
        st.button("Delete for good", icon=icon, key=key, type="primary", on_click=_delete, args=(ids,))


def _delete(ids: list[str]) -> None:
    for key in ("run", "runs"):
        named = st.query_params.get(key, "").split(",")
        if not set(ids).isdisjoint(named):
            st.query_params.pop(key)
    for run_id in ids:
        with toast():
            store().delete(run_id)
