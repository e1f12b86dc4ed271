"""Where a task comes from: its network, its images and what is done to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qexplore import zoo
from qexplore.errors import QexploreError
from qexplore.runs.profiles import Profile
from qexplore.ui.foreign import code, escaped, whole

_PARTS = {"train": "for training", "calibration": "for calibration", "evaluation": "for evaluation"}
_NAMED = 5  # pictures left out that are named


def origin(profile: Profile) -> list[str]:
    """Lines on network, images, preprocessing, counts by part, seed, and pictures that were left out."""
    source = _source(profile.task)
    counts = {"calibration": profile.header["fp32_calibration"]["images"], "evaluation": profile.fp32["images"]}
    images = {"source": source.get("data", ""), "counts": counts, **(profile.header.get("data") or {})}
    return [_network(profile.task, source), *images_told(images), f"Seed: {source.get('seed', profile.seed)}"]


def images_told(images: Mapping[str, Any]) -> list[str]:
    """Lines on source, preprocessing and counts of images, what was chosen for them and what was left out."""
    lines = [f"Images: {whole(images['source'])}"] if images["source"] else []
    if images.get("preprocessing"):
        lines.append(f"Preprocessing: {escaped(str(images['preprocessing']))}")
    counts = images["counts"]
    lines.append("Split: " + ", ".join(f"{counts[part]:,} {told}" for part, told in _PARTS.items() if part in counts))
    lines += [escaped(str(notice)) for notice in images.get("notices", ())]
    return [*lines, _skipped(images)] if images.get("skipped") else lines


def _source(task: str) -> Mapping[str, Any]:
    try:
        return zoo.entry(task).source or {}
    except QexploreError:
        return {}


def _network(task: str, source: Mapping[str, Any]) -> str:
    if not source:
        entry = zoo.entry(task)
        made = f"Made from `{entry.base}`, with no training of its own." if entry.base else "Trained for the zoo."
        return f"Network: {entry.description} {made}"
    weights = "weights of your own" if source.get("weights") else "the weights that its name says"
    classes = f", {len(source['classes']):,} classes" if source["classes"] else ""  # an .npz names none
    return f"Network: {whole(source['model'])} with {weights}{classes}"


def _skipped(images: Mapping[str, Any]) -> str:
    named = "; ".join(f"{code(name)}: {escaped(str(reason))}" for name, reason in images["skipped_files"][:_NAMED])
    more = images["skipped"] - min(_NAMED, len(images["skipped_files"]))
    return f"{images['skipped']:,} left out: {named}{f'; and {more:,} more' if more else ''}"
