"""What an ended run has found, drawn from its files: an ablation, scores of sites, the report of a debugging."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import streamlit as st

from qexplore import figures
from qexplore.runs import Run
from qexplore.ui.chrome import pick_site
from qexplore.ui.draw import figure
from qexplore.ui.onward import onward
from qexplore.ui.post_training.flow import flow
from qexplore.ui.stored import store
from qexplore.ui.training.known import trains


def results(run: Run) -> None:
    """Draws what a run of a known kind has filed; nothing for others, and where the file is missing."""
    if trains(run):
        way = {"task": str(run.task), "run": run.id}
        onward("Its curves, its bits over time and what its ranges learned.", "training", "Open in Training", way)
    folder = store().folder(run.id)
    if run.kind == "ablation" and (folder / "ablation.parquet").exists():
        table = pd.read_parquet(folder / "ablation.parquet")
        figure(figures.waterfall(table), key=f"waterfall-{run.id}")
    if run.kind == "sensitivity" and run.task and (folder / "sensitivity.parquet").exists():
        _scores(run, run.task, pd.read_parquet(folder / "sensitivity.parquet"))
    if run.kind == "debug" and (folder / "debug.json").exists():
        _diagnosis(run, folder)


def _scores(run: Run, task: str, table: pd.DataFrame) -> None:
    picked, metric = str(st.session_state.get("site", "")), str(run.spec["metric"])
    figure(figures.heatmap(table, metric=metric, picked=picked), key=f"scores-{run.id}", on_pick=pick_site)
    way = {"task": task, "metric": metric}
    here = {"site": picked} if picked in set(table["site"]) else {}
    told = "Its ranking, and how far it tells what the answers do."
    if not run.outdated:
        onward(told, "sensitivity", "Open in Sensitivity", {**way, **here})


def _diagnosis(run: Run, folder: Path) -> None:
    flow(json.loads((folder / "debug.json").read_text(encoding="utf-8")))
    report = folder / "report.md"
    if not report.exists():
        return
    text = report.read_text(encoding="utf-8")
    with st.expander("The report", icon=":material/description:"):
        st.markdown(text)
    name = f"{run.id}-report.md"
    st.download_button("Report", text, name, "text/markdown", icon=":material/download:", on_click="ignore")
