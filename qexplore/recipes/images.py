"""The images of a task, as many at a time as their size allows."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from qexplore.ptq.steps import images_at_once
from qexplore.report import Report
from qexplore.zoo import Task


def images_of(task: Task, part: str = "evaluation") -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of a part: fewer images where they are large, or a batch would not fit into memory."""
    return task.data.batches(part, size=images_at_once(task.example))


def evaluation_images(task: Task, report: Report, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the evaluation part, at most `limit` images; where there are several, progress is told."""
    images, done = task.data.count("evaluation"), 0
    total, size = images if limit is None else min(images, limit), images_at_once(task.example)
    for x, y in task.data.batches("evaluation", size=size, limit=limit):
        yield x, y
        done += len(y)
        if total > size:
            report.progress(done, total, "evaluating")
