"""Storing a task of a user's own, after it has been tried."""

from __future__ import annotations

import datetime
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from qexplore.errors import QexploreError
from qexplore.places import expanded
from qexplore.report import Report
from qexplore.zoo import own
from qexplore.zoo.checkpoint import save_weights
from qexplore.zoo.leftovers import remove_leftovers
from qexplore.zoo.local_networks import absolute
from qexplore.zoo.networks import Opened
from qexplore.zoo.opening import open_parts
from qexplore.zoo.outputs import checked_output
from qexplore.zoo.pictures import OWN, kind_of
from qexplore.zoo.preprocessing import Preprocessing

BATCH = 8  # images that the network is run on before it is stored


def stored(
    name: str,
    model: str,
    data: str,
    weights: str | Path | None,
    preprocessing: Preprocessing | None,
    seed: int,
    title: str,
    local: bool,
    report: Report,
    trial: Callable[[nn.Module, Tensor], tuple[str, ...]] | None,
) -> None:
    """Opens and tries everything, then writes the task's folder whole or not at all."""
    model, data = absolute(model) if local else model, lasting(data)
    opened, images = open_parts(
        model, data, weights=weights, preprocessing=preprocessing, seed=seed, local=local, report=report
    )
    x, _ = next(images.batches("evaluation", size=BATCH, limit=BATCH))
    checked_output(opened.module, x, opened.source)
    for note in trial(opened.module, x[:1]) if trial is not None else ():
        report.event("log", text=note)
    document = {
        "format": own.FORMAT,
        "name": name,
        "title": title,
        "model": model,
        "weights": "file" if weights is not None else None,
        "data": data,
        "preprocessing": opened.preprocessing.to_document() if opened.preprocessing is not None else None,
        "classes": list(images.classes or opened.classes or ()),
        "segmentation": opened.segmentation,
        "seed": seed,
        "local": local,
        "created": datetime.datetime.now(datetime.UTC).isoformat(),
    }
    _write(name, document, opened if weights is not None else None)


def lasting(data: str) -> str:
    """The source of images with its full path, so that it means the same from any folder."""
    if data in OWN:
        return data
    kind, rest = kind_of(data)
    if kind != "torchvision":
        return f"{kind}:{expanded(rest).absolute()}"
    name, at, root = rest.partition("@")
    return f"{kind}:{name}" + (f"@{expanded(root).absolute()}" if at else "")


def _write(name: str, document: dict[str, Any], opened: Opened | None) -> None:
    try:
        own.place().mkdir(parents=True, exist_ok=True)
        remove_leftovers(own.place(), ".adding-*", ".*.gone")
        draft = Path(tempfile.mkdtemp(prefix=".adding-", dir=own.place()))
    except OSError as problem:
        raise QexploreError(
            f"The task cannot be stored in {own.place()} ({problem.strerror}): set QEXPLORE_HOME to another folder."
        ) from None
    try:
        if opened is not None:
            save_weights(opened.module, draft / own.WEIGHTS, lightest=True)
        (draft / own.DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.chmod(0o755)
        own.require_free(name)  # somebody else may have taken it meanwhile
        draft.rename(own.place() / name)
    except OSError as problem:
        raise QexploreError(f"The task {name!r} cannot be stored ({problem.strerror}).") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
