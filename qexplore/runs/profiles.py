"""Profiles: what is known about a task without asking its network. Read by the pages; needs no torch."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qexplore.errors import QexploreError, UnknownName
from qexplore.runs.errors import UnknownRun
from qexplore.runs.store import Store
from qexplore.zoo import names
from qexplore.zoo.fingerprint import made_of

Floats = np.ndarray[Any, np.dtype[np.float64]]
FORMAT = 4
METRIC = "fisher"
"""The sensitivity metric by whose table the measured allocations of a profile were chosen."""
PARTS = {
    "by_site": "the accuracy of each range estimator at each site",
    "everywhere": "each range estimator at all sites",
    "measured": "the metrics divergence and loss",
    "ablations": "ablations",
    "diagnoses": "diagnoses",
}
"""Parts that a profile of a slow network leaves out, in words."""


def uniform_label(weight_bits: int, activation_bits: int) -> str:
    """Name of a measured allocation with the same bits for all weights, and the same for all activations."""
    return f"uniform W{weight_bits}A{activation_bits}"


class NoProfile(QexploreError):
    """A task that nobody has profiled yet."""


@dataclass(frozen=True)
class Profile:
    """A folder of tables about one task after one recipe.

    header: what, how and when (see the properties); sites: the table of sites at the recipe's bits; sensitivity: sites
    × bits × metric → loss; points: measured allocations; steps: accuracy after each step of each preset; channels:
    quantiles of the weights of each output channel, and their range after equalization; ranges: site × bits × range
    estimator → ends, errors, accuracy; estimators: kind of site × bits × estimator used everywhere → accuracy;
    ablation: what each step of some presets buys; diagnoses: what is wrong with some presets.
    """

    folder: Path
    header: dict[str, Any]

    @staticmethod
    def read(folder: Path) -> Profile:
        """The profile in `folder`; QexploreError where it cannot be read or is of another format."""
        try:
            header = json.loads((folder / "profile.json").read_text(encoding="utf-8"))
            known = header["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise QexploreError(f"The profile {folder.name!r} cannot be read ({error}): make it anew.") from error
        if known != FORMAT:
            raise QexploreError(f"The profile {folder.name!r} has the format {known!r}, not {FORMAT}: make it anew.")
        return Profile(folder, header)

    @cached_property
    def sites(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "sites.parquet")

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "sensitivity.parquet")

    @cached_property
    def points(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "points.parquet")

    @cached_property
    def steps(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "steps.parquet")

    @cached_property
    def channels(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "channels.parquet")

    @cached_property
    def ranges(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "ranges.parquet")

    @cached_property
    def estimators(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "estimators.parquet")

    @cached_property
    def ablation(self) -> pd.DataFrame:
        """Rows of `ablate` with the column `recipe`."""
        return pd.read_parquet(self.folder / "ablation.parquet")

    @cached_property
    def diagnoses(self) -> dict[str, dict[str, Any]]:
        """Preset → document of `debug`."""
        told: dict[str, dict[str, Any]] = json.loads((self.folder / "debug.json").read_text(encoding="utf-8"))
        return told

    def tensor(self, site: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Up to 4,096 values of a site (float32): the weights, or what calibration has seen; UnknownName where there
        is none.
        """
        from safetensors import safe_open

        with safe_open(self.folder / "tensors.safetensors", "np") as file:
            known = list(file.keys())
            if site not in known:
                raise UnknownName("site", site, known)
            values: np.ndarray[Any, np.dtype[np.float32]] = file.get_tensor(site)
        return values

    @property
    def task(self) -> str:
        return str(self.header["task"])

    @property
    def recipe(self) -> dict[str, Any]:
        return dict(self.header["recipe"])

    @property
    def seed(self) -> int:
        return int(self.header["seed"])

    @property
    def fp32(self) -> dict[str, Any]:
        """FP32 accuracy on the evaluation part: value, low, high, images."""
        return dict(self.header["fp32"])

    @property
    def fp32_here(self) -> dict[str, Any]:
        """FP32 accuracy on the very images of the evaluation part on which everything else here was measured."""
        return dict(self.header["fp32_here"])

    @property
    def metric(self) -> str:
        """What all accuracies here are: "accuracy", or "miou" where every pixel has a class."""
        return str(self.header["fp32"].get("metric", "accuracy"))

    @property
    def stale(self) -> bool:
        """Whether the network or the images of a task of one's own have changed since this was measured."""
        before = self.header.get("made_of")
        return before is not None and self.task in names() and before != made_of(self.task)

    @property
    def images(self) -> int | None:
        """How many images of the evaluation part everything here was measured on; None where it was all of them."""
        count = int(self.header["images"])
        return count if count < int(self.fp32["images"]) else None

    @property
    def limit(self) -> int | None:
        """How many images of a part everything here was measured on at most; None for all of them.

        Headers written before tell of the evaluation part alone.
        """
        most = self.header.get("limit", self.images)
        return None if most is None else int(most)

    @property
    def parameters(self) -> int:
        return int(self.header["parameters"])

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image."""
        return int(self.header["macs"])

    @property
    def metrics(self) -> list[str]:
        return list(self.header["metrics"])

    @property
    def left_out(self) -> list[str]:
        """Keys of PARTS: what was not measured."""
        told = self.header.get("left_out", [])
        return [part for part, words in PARTS.items() if words in told]

    @property
    def graph(self) -> dict[str, Any]:
        """nodes (name, op, site, layer) and edges (from, to)."""
        return dict(self.header["graph"])

    @property
    def opaque(self) -> list[dict[str, str]]:
        """Operations whose inside stays unquantized: layer, reason."""
        return list(self.header["opaque"])

    @cached_property
    def forecast(self) -> tuple[Floats, Floats]:
        """Knots (log10 of the predicted loss, drop of accuracy) of the monotone fit to the measured points.

        The drop is that on the calibration images, so that what is forecast for the evaluation images has not seen
        them.
        """
        from scipy.optimize import isotonic_regression

        points = self.points.dropna(subset="calibration_accuracy").sort_values("predicted_loss")
        drop = self.header["fp32_calibration"]["value"] - points["calibration_accuracy"].to_numpy(float)
        fitted = isotonic_regression(drop).x.clip(min=0)
        return np.log10(points["predicted_loss"].to_numpy(float).clip(min=1e-12)), fitted


def predict_accuracy(profile: Profile, loss: float | Floats) -> Any:
    """Accuracy expected of an allocation whose summed sensitivity by METRIC is `loss` (nats): a float, or one each.

    FP32 accuracy on the profile's evaluation images less the drop that points of like predicted loss have shown on the
    calibration images, monotone and linear in log loss between points (project's own choice). No better than its
    points: beyond the worst of them it stays constant.
    """
    at, drop = profile.forecast
    predicted = float(profile.fp32_here["value"]) - np.interp(
        np.log10(np.clip(np.asarray(loss, float), 1e-12, None)), at, drop
    )
    return float(predicted) if np.ndim(loss) == 0 else predicted


def load(task: str, store: Store | None = None) -> Profile:
    """The newest profile of `task`: one made in this home, or the one that came with qexplore.

    Profiles of an older format are passed over. Raises UnknownName for a task that does not exist, NoProfile for one
    that has no profile yet.
    """
    store = store or Store()
    for run in store.runs(limit=None, state="done", kind="profile", task=task):
        with suppress(UnknownRun):  # deleted meanwhile
            folder = store.folder(run.id)
            if not run.outdated and _current(folder):
                return Profile.read(folder)
    shipped = Path(str(resources.files("qexplore.zoo"))) / "profiles" / task
    if task in names() and (shipped / "profile.json").exists():
        return Profile.read(shipped)
    if task not in names():
        raise UnknownName("task", task, names())
    raise NoProfile(f"The task {task!r} has no profile yet: measure it on any page of the app.")


def _current(folder: Path) -> bool:
    """Whether there is a profile, and not one that an older qexplore has made; a torn one counts, to be told."""
    try:
        return bool(json.loads((folder / "profile.json").read_text(encoding="utf-8"))["format"] >= FORMAT)
    except OSError:
        return False
    except (ValueError, KeyError, TypeError):
        return True
