"""Published files of weights: those that torch.hub keeps on this machine, and those still to be downloaded."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urlparse
from urllib.request import urlopen

import torch

from qexplore.errors import QexploreError
from qexplore.report import Report
from qexplore.zoo.leftovers import remove_leftovers

PATIENCE = 10.0  # seconds without a sign from the server
_CHUNK = 1 << 20
_HASH = re.compile(r"-([a-f0-9]{8,})\.")  # in the file's name, as torch.hub has it


def folder() -> Path:
    """Where torch.hub keeps files of weights (TORCH_HOME)."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def fetch(url: str, what: str, report: Report) -> Path:
    """The file of `url` in `folder()`, downloaded where it is not there yet; what: the network that it is for.

    Never waits for a silent server longer than PATIENCE, and asks none where QEXPLORE_OFFLINE is set.
    Raises QexploreError that names the file and where to put it.
    """
    file = folder() / PurePosixPath(urlparse(url).path).name
    if file.is_file():
        return file
    if os.environ.get("QEXPLORE_OFFLINE"):
        raise _absent(file, what, "are not here, and QEXPLORE_OFFLINE forbids downloading them")
    try:
        _download(url, file, report)
    except (OSError, HTTPException, ValueError) as problem:
        reason = str(getattr(problem, "reason", None) or problem or type(problem).__name__)
        raise _absent(file, what, f"are not here and could not be downloaded ({reason})") from None
    return file


def _absent(file: Path, what: str, why: str) -> QexploreError:
    return QexploreError(
        f"The weights of {what} {why}: put the file {file.name} into {file.parent}, "
        f"give weights of your own, or take {what.partition('@')[0]}@random."
    )


def _download(url: str, file: Path, report: Report) -> None:
    """Writes the file whole or not at all; ValueError where it is not the one that its name promises."""
    file.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(file.parent, ".download-*")
    digest = hashlib.sha256()
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".download-", delete=False) as half:
        try:
            with urlopen(url, timeout=PATIENCE) as answer:
                total = int(answer.headers.get("Content-Length") or 0)
                while chunk := answer.read(_CHUNK):
                    digest.update(chunk)
                    half.write(chunk)
                    report.progress(half.tell(), max(total, half.tell()), f"downloading {file.name} (bytes)")
            wanted = _HASH.search(file.name)
            if wanted and not digest.hexdigest().startswith(wanted.group(1)):
                raise ValueError("what came is not the file that was published")
            half.close()
            Path(half.name).replace(file)
        finally:
            Path(half.name).unlink(missing_ok=True)
