"""A training as tables, made from what its run has told; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from qexplore.metric import MIOU
from qexplore.runs.training_log import Log, StageLog

_KINDS = {"weight": "W", "activation": "A"}
_LIMIT_COLUMNS = ["at", "epoch", "limit", "cost", "most"]
_COURSE = ["epoch", "accuracy", "low", "high", "images", "stage"]
_MARKS = ["at", "epoch", "loss", "held_out_loss", "accuracy", "low", "high", "images", "seconds"]


@dataclass(frozen=True)
class Allocation:
    """The bits at one moment: at (optimizer steps), epoch, site → bits, and what they cost under which limits."""

    at: int
    epoch: float
    bits: Mapping[str, int]
    cost: Mapping[str, float]
    budget: Mapping[str, float]
    changed: int
    frozen: bool

    @property
    def kept(self) -> bool:
        """Whether every limit holds."""
        return all(self.cost.get(limit, 0.0) <= most * (1 + 1e-9) for limit, most in self.budget.items())


@dataclass(frozen=True)
class Stage:
    """One training step of a recipe. begins: epochs that earlier stages take; `epoch` of all tables counts from the
    first stage.
    """

    log: StageLog
    begins: float

    @property
    def step(self) -> str:
        return str(self.log.started["step"])

    @property
    def title(self) -> str:
        """The step, with the bits that all weights and all activations begin with: 'qat W4A8'."""
        kinds = dict(zip(self.sites["site"], self.sites["kind"], strict=True))
        widths = {kind: {bits for site, bits in self.bits.items() if kinds.get(site) == kind} for kind in _KINDS}
        if self.budget or any(len(found) != 1 for found in widths.values()):
            return self.step
        return f"{self.step} {''.join(f'{_KINDS[kind]}{found.pop()}' for kind, found in widths.items())}"

    @property
    def number(self) -> int:
        """Index of the step in the recipe."""
        return int(self.log.started["number"])

    @property
    def epochs(self) -> int:
        return int(self.log.started["epochs"])

    @property
    def ended(self) -> bool:
        return self.log.ended

    @property
    def held_out(self) -> int:
        """Images of the calibration part, on which accuracy is told each epoch."""
        return int(self.log.started.get("held_out") or 0)

    @property
    def distilled(self) -> bool:
        """Whether its loss is, in whole or in part, the distance to FP32's outputs."""
        return bool(self.log.started.get("distill"))

    @property
    def budget(self) -> dict[str, float]:
        return {str(k): float(v) for k, v in (self.log.started.get("budget") or {}).items() if v is not None}

    @cached_property
    def sites(self) -> pd.DataFrame:
        """site, index (its place among these), kind, layer, numel."""
        rows = pd.DataFrame(self.log.started["sites"], columns=["site", "kind", "numel"])
        if "index" not in rows:
            rows.insert(1, "index", range(len(rows)))
        return rows.assign(layer=[name.rpartition(".")[0] for name in rows["site"]])

    @cached_property
    def bits(self) -> dict[str, int]:
        """Bits at the start; sites that are absent are real."""
        return {str(k): int(v) for k, v in (self.log.started.get("bits") or {}).items() if v is not None}

    @cached_property
    def losses(self) -> pd.DataFrame:
        """A row some optimizer steps: at, epoch, loss (nats), rate (learning rate), stage (index of the step)."""
        rows = pd.DataFrame(self.log.told["training"], columns=["at", "epoch", "loss", "rate"])
        return rows.assign(epoch=rows["epoch"].astype(float) + self.begins, stage=self.number)

    @cached_property
    def marks(self) -> pd.DataFrame:
        """A row an epoch: at, epoch, loss, held_out_loss (nats), accuracy, low, high, images, seconds, stage."""
        rows = pd.DataFrame(self.log.told["epoch"], columns=_MARKS)
        return rows.assign(epoch=rows["epoch"].astype(float) + self.begins, stage=self.number)

    @property
    def beginning(self) -> Mapping[str, Any] | None:
        """The accuracy on held-out images before the first step, of QBitOpt after its first allocation; None where it
        was not told.
        """
        told = self.log.told["beginning"]
        return told[0] if told else None

    @cached_property
    def course(self) -> pd.DataFrame:
        """Accuracies on held-out images, before the first step and after every epoch: epoch, accuracy, low, high,
        images, stage.
        """
        rows = self.marks[_COURSE]
        if self.beginning is None:
            return rows
        first = pd.DataFrame([{**self.beginning, "epoch": self.begins, "stage": self.number}], columns=_COURSE)
        return pd.concat([first, rows], ignore_index=True) if len(rows) else first

    @cached_property
    def allocations(self) -> list[Allocation]:
        return [
            Allocation(
                int(one["at"]),
                self.epoch_of(int(one["at"])),
                {str(site): int(bits) for site, bits in one["bits"].items() if bits is not None},
                one.get("cost") or {},
                {k: v for k, v in (one.get("budget") or self.budget).items() if v is not None},
                int(one.get("changed") or 0),
                bool(one.get("frozen")),
            )
            for one in self.log.told["allocation"]
        ]

    @property
    def reallocations(self) -> list[Allocation]:
        """The allocations after the one that training began with."""
        return self.allocations[1:]

    @cached_property
    def limits(self) -> pd.DataFrame:
        """A row an allocation and limit: at, epoch, limit, cost, most (what the limit allows)."""
        rows = [
            (one.at, one.epoch, limit, float(one.cost[limit]), float(most))
            for one in self.allocations
            for limit, most in one.budget.items()
            if limit in one.cost
        ]
        return pd.DataFrame(rows, columns=_LIMIT_COLUMNS)

    @cached_property
    def ends(self) -> pd.DataFrame:
        """Learned ranges, a row a site and epoch: site, at, epoch, lo, hi."""
        rows = [
            (site, int(one["at"]), self.epoch_of(int(one["at"])), float(range_["lo"]), float(range_["hi"]))
            for name in ("weights", "activations")
            for one in self.log.told[name]
            for site, range_ in one["sites"].items()
            if range_.get("lo") is not None and range_.get("hi") is not None
        ]
        return pd.DataFrame(rows, columns=["site", "at", "epoch", "lo", "hi"])

    def weights(self, site: str) -> list[dict[str, Any]]:
        """Histograms of the latent weights of a site, in order: at, epoch, lo, hi, from, to, counts."""
        return [
            {"at": int(one["at"]), "epoch": self.epoch_of(int(one["at"])), **one["sites"][site]}
            for one in self.log.told["weights"]
            if site in one["sites"]
        ]

    def shares(self, name: str) -> pd.DataFrame:
        """Of "oscillation" or "sparsity": at, epoch, share of all weights, and the same of each site in a column."""
        rows = [
            {"at": one["at"], "epoch": self.epoch_of(int(one["at"])), "share": one["share"], **(one.get("sites") or {})}
            for one in self.log.told[name]
        ]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["at", "epoch", "share"])

    def epoch_of(self, at: int) -> float:
        """Epochs behind an optimizer step, counted from the first stage."""
        return self.begins + at / max(1, int(self.log.started["steps_per_epoch"]))


@dataclass(frozen=True)
class Training:
    """All training steps of one run, and the accuracies that it has measured on the evaluation images.

    steps: rows of the events "step", "fp32" first.
    """

    stages: Sequence[Stage]
    steps: Sequence[Mapping[str, Any]]

    @staticmethod
    def of(log: Log) -> Training:
        """What the log holds now; what it takes in later is not in it."""
        stages, begins = [], 0.0
        for number in sorted(log.stages):
            stages.append(Stage(log.stages[number].now(), begins))
            begins += stages[-1].epochs
        return Training(stages, list(log.steps))

    @property
    def epochs(self) -> int:
        """Epochs of all stages that have begun."""
        return sum(stage.epochs for stage in self.stages)

    @property
    def done(self) -> int:
        """Epochs that have been trained to their end."""
        return int(self.marks["epoch"].max()) if len(self.marks) else 0

    @property
    def now(self) -> Stage | None:
        """The stage that trains, or trained last."""
        return self.stages[-1] if self.stages else None

    @property
    def fp32(self) -> Mapping[str, Any] | None:
        return self.steps[0] if self.steps else None

    @property
    def main(self) -> Stage | None:
        """The first stage that trains a quantized network, else the first."""
        quantized = [stage for stage in self.stages if stage.step != "prune"]
        return (quantized or list(self.stages) or [None])[0]  # type: ignore[list-item]

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The accuracy of the network that training began with: after the step before, or FP32."""
        return None if self.main is None else self._row(self.main.number)

    @property
    def after(self) -> Mapping[str, Any] | None:
        """The accuracy after all that was done; None until the last training step has been measured."""
        done = self.now is not None and len(self.steps) > self.now.number + 1
        return self.steps[-1] if done else None

    @property
    def metric(self) -> str:
        """What all accuracies here are: "accuracy", or "miou" where every pixel has a class."""
        return str((self.fp32 or {}).get("metric", "accuracy"))

    @property
    def p(self) -> float | None:
        """Chance of so many images changing sides between before and after if training did nothing (McNemar's exact
        test); None where the row after is not the next one, or tells nothing of it, and for masks, on which no image is
        right or wrong.
        """
        if self.main is None or self.after is None or self.main.number + 2 != len(self.steps) or self.metric == MIOU:
            return None
        gained, lost = self.after.get("gained"), self.after.get("lost")
        if gained is None or lost is None:
            return None
        return float(binomtest(int(gained), int(gained + lost)).pvalue) if gained + lost else 1.0

    @property
    def distilled(self) -> bool:
        """Whether the loss of a stage is, in whole or in part, the distance to FP32's outputs."""
        return any(stage.distilled for stage in self.stages)

    @property
    def zeros(self) -> float | None:
        """The share of weights that are zero, as it was told last; None where nothing was pruned."""
        shares = self.shares("sparsity")
        return float(shares["share"].iloc[-1]) if len(shares) else None

    @property
    def noise(self) -> bool:
        """Whether chance explains the change from before to after: by the paired test, else because the one lies in
        the 95 % interval of the other.
        """
        before, after = self.before, self.after
        if before is None or after is None:
            return False
        return self.p > 0.05 if self.p is not None else bool(before["low"] <= after["accuracy"] <= before["high"])

    @property
    def latest(self) -> Mapping[str, Any] | None:
        """The newest accuracy on held-out images."""
        for stage in reversed(self.stages):
            if len(stage.marks):
                return {str(key): value for key, value in stage.marks.iloc[-1].items()}
        return None

    @cached_property
    def losses(self) -> pd.DataFrame:
        return _joined([stage.losses for stage in self.stages])

    @cached_property
    def marks(self) -> pd.DataFrame:
        return _joined([stage.marks for stage in self.stages])

    @cached_property
    def course(self) -> pd.DataFrame:
        return _joined([stage.course for stage in self.stages])

    @property
    def epoch_seconds(self) -> float | None:
        """What an epoch took, the middle one of all that are told; None before the first has ended."""
        return float(self.marks["seconds"].median()) if len(self.marks) else None

    @cached_property
    def parts(self) -> pd.DataFrame:
        """Where the stages begin: epoch, step."""
        return pd.DataFrame([(stage.begins, stage.title) for stage in self.stages], columns=["epoch", "step"])

    def shares(self, name: str) -> pd.DataFrame:
        """Of "oscillation" or "sparsity": epoch and share over all stages."""
        return _joined([stage.shares(name)[["epoch", "share"]] for stage in self.stages])

    def _row(self, place: int) -> Mapping[str, Any] | None:
        return self.steps[place] if place < len(self.steps) else None


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    full = [table for table in tables if len(table)] or tables[:1]
    return pd.concat(full, ignore_index=True) if full else pd.DataFrame()
