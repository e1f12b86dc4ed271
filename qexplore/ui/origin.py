"""Where a task comes from: its network, its images and what is done to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qexplore import zoo
from qexplore.errors import QexploreError
from qexplore.runs.profiles import Profile

_PARTS = {"train": "for training", "calibration": "for calibration", "evaluation": "for evaluation"}
_NAMED = 5  # pictures left out that are named


def origin(profile: Profile) -> list[str]:
    """Lines on network, images, preprocessing, counts by part, seed, and pictures that were left out."""
    images = dict(profile.header.get("data") or {})
    source = _source(profile.task)
    lines = [_network(profile.task, source)]
    if images.get("source") or source.get("data"):
        lines.append(f"Images: `{images.get('source') or source['data']}`")
    if images.get("preprocessing"):
        lines.append(f"Preprocessing: {images['preprocessing']}")
    lines.append(f"{_counts(profile, images)}; seed {source.get('seed', profile.seed)}")
    lines += [str(notice) for notice in images.get("notices", ())]
    if images.get("skipped"):
        lines.append(_skipped(images))
    return lines


def _source(task: str) -> Mapping[str, Any]:
    try:
        return zoo.entry(task).source or {}
    except QexploreError:
        return {}


def _network(task: str, source: Mapping[str, Any]) -> str:
    if not source:
        return f"Network: {zoo.entry(task).description} Trained for the zoo."
    weights = "weights of your own" if source.get("weights") else "the weights that its name says"
    return f"Network: `{source['model']}` with {weights}, {len(source['classes']):,} classes"


def _counts(profile: Profile, images: Mapping[str, Any]) -> str:
    """Images by part; of profiles that do not say, what was measured on."""
    counts = images.get("counts") or {
        "calibration": profile.header["fp32_calibration"]["images"],
        "evaluation": profile.fp32["images"],
    }
    return ", ".join(f"{counts[part]:,} {told}" for part, told in _PARTS.items() if part in counts)


def _skipped(images: Mapping[str, Any]) -> str:
    named = "; ".join(f"`{name}`: {reason}" for name, reason in images["skipped_files"][:_NAMED])
    more = images["skipped"] - min(_NAMED, len(images["skipped_files"]))
    return f"{images['skipped']:,} left out: {named}{f'; and {more:,} more' if more else ''}"
