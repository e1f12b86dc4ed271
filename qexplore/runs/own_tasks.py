"""What the app asks about networks of a user's own, answered in a process of its own (see `warm_server`).

Whatever a file of weights or a folder of pictures does there, the pages stand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qexplore.errors import QexploreError, foreign
from qexplore.places import within
from qexplore.report import Report
from qexplore.runs.files import replacing
from qexplore.runs.image_facts import image_facts
from qexplore.runs.progress import Progress, after
from qexplore.zoo import CheckpointError, own

TRIED = 1000  # pictures of a part that are decoded before a task is told to be there
_EVERY = 0.2  # seconds between two writings of the progress
_PLACES = ("folder", "npz")


def answer(request: dict[str, Any], report: Report | None = None) -> dict[str, Any]:
    """request: "ask" and what the function of that name takes. report: hears nothing; `add` tells a file."""
    return _ANSWERS[request["ask"]](request)


def catalogue(request: Mapping[str, Any]) -> dict[str, Any]:
    """All models of torchvision: name → weights → [preprocessing in a line, the file that is downloaded]."""
    from torchvision.models import get_model_weights

    from qexplore.zoo import hub
    from qexplore.zoo.preprocessing import Preprocessing
    from qexplore.zoo.torchvision_networks import model_names

    def told(weights: Any) -> list[str]:
        preset = Preprocessing.of_torchvision(weights.transforms())
        return [preset.text(), str(hub.folder() / weights.url.rpartition("/")[2])]

    return {name: {w.name: told(w) for w in get_model_weights(name)} for name in model_names()}


def add(request: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the task: name, model, weights (a file or None), data, seed, title; progress: a file for how far it is.

    Returns the facts of its images with name and notes; where it cannot be added, trouble with the sentence, and
    missing, unexpected, misshapen for weights of another network.
    """
    from qexplore.network import capturable

    teller = Teller(Path(request["progress"]))
    try:
        data = confined(request["data"])
        words = {key: request[key] for key in ("name", "model", "weights", "seed", "title")}
        entry = own.add(**words, data=data, report=Report(teller), trial=capturable)
        return {"name": entry.name, "notes": teller.notes, **_images(entry.source or {}, Report(teller))}
    except CheckpointError as error:
        lists = {what: list(map(foreign, getattr(error, what))) for what in ("missing", "unexpected", "misshapen")}
        return {"trouble": _told(error, request), **lists}
    except QexploreError as error:
        return {"trouble": _told(error, request)}


def confined(source: str) -> str:
    """The source with its path resolved, if that lies in a folder that is allowed; OutsideRoots otherwise.

    The zoo's own images are taken by their name.
    """
    from qexplore.zoo.pictures import OWN, kind_of

    if source in OWN:
        return source
    kind, path = kind_of(source)
    if kind not in _PLACES:
        raise QexploreError(f"The images {source[:80]!r} cannot be had in the app: pick a folder or an .npz file.")
    return f"{kind}:{within(path)}"


class Teller:
    """Writes the progress of a report to a file, the fields of Progress as JSON, and keeps its notes."""

    def __init__(self, file: Path) -> None:
        self.notes: list[str] = []
        self._file, self._written = file, float("-inf")
        self._phase: Progress | None = None

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "log":
            self.notes.append(str(event["text"]))
        elif event["event"] == "progress":
            self._phase = after(self._phase, event, time.time())
            if time.monotonic() - self._written >= _EVERY:
                self._written = time.monotonic()
                with replacing(self._file) as draft:
                    draft.write_text(json.dumps(vars(self._phase)), encoding="utf-8")


def _images(source: Mapping[str, Any], report: Report) -> dict[str, Any]:
    from qexplore.zoo.pictures import open_data
    from qexplore.zoo.preprocessing import Preprocessing

    stored = source["preprocessing"]
    known = None if stored is None else Preprocessing.from_document(stored)
    data = open_data(source["data"], known, seed=source["seed"])
    data.prepare(report, ("calibration", "evaluation"), limit=TRIED)
    return image_facts(data)


def _told(error: QexploreError, request: Mapping[str, Any]) -> str:
    """The sentence with the uploaded file's name in place of where it lies for the moment."""
    path = request["weights"]
    return str(error) if path is None else str(error).replace(str(path), Path(path).name)


_ANSWERS: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {"catalogue": catalogue, "add": add}
