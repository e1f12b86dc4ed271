"""Trainings that ship with qexplore: what one run has told, kept small in two files; needs no torch."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import pandas as pd

import qexplore
from qexplore.errors import QexploreError
from qexplore.runs.files import replacing
from qexplore.runs.run import Run
from qexplore.runs.store import Store
from qexplore.runs.training_log import READ, Log, StageLog

FORMAT = 1
DIGITS = 5  # of numbers that are kept
MOST = {"training": 300, "weights": 24}
"""Events of a name that are kept at most, evenly spread, the first and the last among them."""


@dataclass(frozen=True)
class Recording:
    """A folder with training.json (header: task, recipe, seed, command, created, …) and events.parquet."""

    folder: Path
    header: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> Recording:
        """The recording in `folder`; QexploreError where it cannot be read or is of another format."""
        try:
            header = json.loads((folder / "training.json").read_text(encoding="utf-8"))
            known = header["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise QexploreError(f"The recording {folder.name!r} cannot be read ({error}): make it anew.") from error
        if known != FORMAT:
            raise QexploreError(f"The recording {folder.name!r} has the format {known!r}, not {FORMAT}: make it anew.")
        return Recording(folder, header)

    @property
    def name(self) -> str:
        return self.folder.name

    def log(self) -> Log:
        """All that the run has told, as far as it was kept."""
        payloads = pd.read_parquet(self.folder / "events.parquet")["payload"]
        return Log().extend((number, json.loads(payload)) for number, payload in enumerate(payloads, 1))


def recordings(task: str, root: Path | None = None) -> list[Recording]:
    """The recordings of a task, by name; those of qexplore, or the ones below `root`."""
    folder = (Path(str(resources.files("qexplore.zoo"))) / "trainings" if root is None else root) / task
    if not folder.is_dir():
        return []
    return [Recording.read(one) for one in sorted(folder.iterdir()) if (one / "training.json").exists()]


def log_of(store: Store, run: Run) -> Log:
    """What a run has told of its training, and what those had told that it carries on."""
    log = Log()
    for each in store.line(run.id):
        own = Log().extend((event.seq, event.event) for event in store.events(each.id, names=READ))
        log = own.after(log)
    return log


def record(store: Store, run_id: str, folder: Path) -> Recording:
    """Keeps what a finished run has told of its training in `folder`; QexploreError where it is no such run."""
    run = store.run(run_id)
    log = log_of(store, run)
    if run.state != "done" or not log.stages:
        raise QexploreError(f"The run {run_id} is no training that has come to its end; it is {run.state}.")
    payloads = [json.dumps(_short(event), separators=(",", ":")) for event in _kept(log)]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "events.parquet") as draft:
        pd.DataFrame({"payload": payloads}).to_parquet(draft, compression="zstd", index=False)
    header = _header(run, store.seconds(run.id))
    with replacing(folder / "training.json") as draft:
        draft.write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    return Recording(folder, header)


def _header(run: Run, seconds: float | None) -> dict[str, Any]:
    """seconds: of the whole training, those before it was resumed included."""
    recipe, seed = run.spec["recipe"], int(run.spec.get("seed", 0))
    named = recipe if isinstance(recipe, str) else "RECIPE.yaml"  # it stands whole beside
    return {
        "format": FORMAT,
        "task": run.task,
        "recipe": recipe,
        "seed": seed,
        "command": f"qexplore run {named} --task {run.task} --seed {seed}",
        "created": datetime.datetime.fromtimestamp(run.created, datetime.UTC).isoformat(timespec="seconds"),
        "qexplore": qexplore.__version__,
        "torch": metadata.version("torch"),
        "seconds": seconds,
    }


def _kept(log: Log) -> Iterator[dict[str, Any]]:
    yield from log.steps
    for number, stage in sorted(log.stages.items()):
        yield from _stage(number, stage)


def _stage(number: int, stage: StageLog) -> Iterator[dict[str, Any]]:
    yield stage.started
    told = [one for name, rows in stage.told.items() for one in _spread(rows, MOST.get(name, len(rows)))]
    yield from sorted(told, key=lambda one: int(one["at"]))
    if stage.ended:
        yield {"event": "training-ended", "number": number}


def _spread(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    if len(rows) <= most:
        return rows
    return [rows[round(i * (len(rows) - 1) / (most - 1))] for i in range(most)]


def _short(value: Any) -> Any:
    """Numbers to a few digits, whatever they stand in."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    return [_short(one) for one in value] if isinstance(value, list) else value
