"""What a run can be: functions found by the "kind" of its spec, loaded in the worker only."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qexplore.registry import Registry
from qexplore.report import Report

Job = Callable[[dict[str, Any], Report, Path], dict[str, Any]]
"""job(spec, report, folder) -> small JSON result; its files go into `folder`."""

JOBS: Registry[Job] = Registry("kind of run")

MODULES = ("qexplore.runs.engine_jobs",)
"""Modules that register the kinds of qexplore; they import torch."""


def load(modules: Iterable[str]) -> None:
    """Imports the modules that register jobs."""
    for module in modules:
        importlib.import_module(module)
