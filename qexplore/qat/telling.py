"""What a training tells those who watch it, at most a few times a second."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from qexplore.network import Judged
from qexplore.qat.quantizers import Quantizer, bits_of
from qexplore.qat.training import Training
from qexplore.report import Event, Report

EVERY = 0.2  # seconds between two events of the loss
BINS = 64
ON_END = 1e-4  # of a step of the grid
STATES = 48  # of which the curves of a long training are made
KEPT = {
    "training": 400,
    "weights": STATES,
    "activations": STATES,
    "oscillation": STATES,
    "sparsity": STATES,
    "allocation": STATES,
}
"""How many events of a kind a checkpoint keeps; of allocations, those that changed no bits."""


class Telling:
    """Events of one training. `history` is what a resumed training tells again, so that its curves are whole; of long
    trainings some of it, so that a checkpoint does not grow without end.

    stopped: whether the listener has raised, which is how a run is stopped: always between two steps.
    """

    def __init__(self, training: Training, report: Report, history: list[Event]) -> None:
        self.training, self.report, self.history = training, report, history
        self.stopped = False
        self._rest: list[Event] = []
        self._sum, self._count = 0.0, 0
        self._said = self._began = time.monotonic()
        self.started = time.monotonic()

    def start(self, budget: dict[str, float] | None, begun: list[Event]) -> None:
        """What is trained, and where it begins; begun: what to tell of the beginning, where it is one."""
        training = self.training
        # Noted before the first word is said: whoever stops the run at that word loses nothing.
        self.history = self.history or [weights(training), activations(training), *begun]
        quantizers = training.trainable.quantizers
        self._tell(
            {
                "event": "training-started",
                "step": training.name,
                "number": int(training.calibration.key.partition("-")[0] or 0),
                "epochs": training.settings.epochs,
                "steps": training.steps,
                "steps_per_epoch": training.images.per_epoch,
                "images": training.images.count,
                "held_out": training.calibration.images,
                "sites": [
                    {"site": site.name, "kind": site.kind, "numel": site.numel} for site in training.network.sites
                ],
                "bits": bits_of(quantizers),
                "budget": budget,
                "distill": training.settings.distill,
                "at": training.at,
            }
        )
        self._tell_all(self.history)

    @property
    def begins(self) -> bool:
        """Whether nothing is trained yet and what the network answers then is still to be told."""
        return self.training.at == 0 and all(event["event"] != "beginning" for event in self.history)

    def beginning(self, judged: Judged) -> None:
        """What the held-out images say before the first step, of QBitOpt with its first allocation."""
        event = {"event": "beginning", "at": 0, **_accuracy(judged)}
        self.history.append(event)
        self._tell(event)

    def step(self, loss: float, events: list[Event]) -> None:
        """After a step: what there is to tell, the mean loss since it was told last, and the progress."""
        self.history += events
        self._tell_all(events)
        self._sum, self._count = self._sum + loss, self._count + 1
        now, training = time.monotonic(), self.training
        last = training.at == training.steps
        if now - self._said < EVERY and not last:
            return
        self._said = now
        event = {
            "event": "training",
            "at": training.at,
            "epoch": training.at / training.images.per_epoch,
            "loss": self._sum / self._count,
            "rate": training.settings.rate * training.factor_at(training.at - 1),  # of the step that was made
        }
        self._sum, self._count = 0.0, 0
        self.history = thinned([*self.history, event])
        self._tell(event)
        self.progress()

    def waiting(self) -> None:
        """Where something takes long: that the training lives."""
        if time.monotonic() - self._said >= EVERY:
            self._said = time.monotonic()
            self.progress()

    def progress(self) -> None:
        """How many steps of all are done."""
        training = self.training
        text = f"{training.name}: epoch {min(training.epoch + 1, training.settings.epochs)}"
        self._tell({"event": "progress", "done": training.at, "total": training.steps, "text": text})

    def epoch(self, judged: Judged, events: list[Event]) -> None:
        """Notes what there is to tell after an epoch: losses, accuracy on the held-out images, ranges, histograms, and
        `events`. It is told when it is kept.
        """
        training = self.training
        began, self._began = self._began, time.monotonic()
        event = {
            "event": "epoch",
            "epoch": training.epoch + 1,
            "at": training.at,
            "loss": training.total / max(1, training.counted),
            **_accuracy(judged),
            "seconds": self._began - began,
        }
        self._rest = [event, weights(training), activations(training), *events]
        self.history = thinned(self.history + self._rest)

    def rest(self) -> None:
        """Tells what was noted of the epoch."""
        self._tell_all(self._rest)
        self.progress()

    def end(self) -> None:
        training, seconds = self.training, time.monotonic() - self.started
        self._tell({"event": "training-ended", "at": training.at, "epochs": training.epoch, "seconds": seconds})

    def _tell_all(self, events: list[Event]) -> None:
        for event in events:
            self._tell(event)

    def _tell(self, event: Event) -> None:
        try:
            self.report.forward(event)
        except BaseException:
            self.stopped = True
            raise


def _accuracy(judged: Judged) -> Event:
    found = judged.accuracy
    told = {"accuracy": found.value, "low": found.low, "high": found.high, "images": found.images}
    return {"held_out_loss": judged.loss, **told}


@torch.no_grad()
def weights(training: Training) -> Event:
    """Where the grid of every weight ends (lo, hi: over all its channels), which share of its latent values lies
    outside the grid of its own channel, and their histogram.
    """
    sites = {}
    for name, quantizer in training.trainable.quantizers.items():
        if quantizer.site.kind == "weight":
            values, ends = training.trainable.facing(quantizer.site.layer), training.trainable.range(name)
            told = {"lo": float(ends.lo.min()), "hi": float(ends.hi.max()), "outside": _outside(quantizer, values)}
            sites[name] = {**told, **_histogram(values)}
    return {"event": "weights", "at": training.at, "sites": sites}


@torch.no_grad()
def activations(training: Training) -> Event:
    """Where the grid of every activation ends."""
    sites = {}
    for name, quantizer in training.trainable.quantizers.items():
        if quantizer.site.kind == "activation":
            ends = quantizer.range()
            sites[name] = {"lo": float(ends.lo), "hi": float(ends.hi)}
    return {"event": "activations", "at": training.at, "sites": sites}


def _outside(quantizer: Quantizer, values: Tensor) -> float:
    """Share of the values beyond the ends of their own grids, by more than rounding makes of what lies on an end."""
    beyond = (values - quantizer.clipped(values)).abs() > ON_END * quantizer.steps_of(values)
    return float(beyond.double().mean())


def _histogram(values: Tensor) -> dict[str, object]:
    least, greatest = (float(end) for end in values.aminmax())
    greatest = greatest if greatest > least else least + 1e-6
    counts = torch.histc(values.float(), BINS, least, greatest).int().tolist()
    return {"from": least, "to": greatest, "counts": counts}


def thinned(history: list[Event]) -> list[Event]:
    """The history with every second event taken out of the kinds of which there are too many.

    The first and the last of a kind stay, and every allocation that changed bits.
    """
    places: dict[str, list[int]] = {kind: [] for kind in KEPT}
    for place, event in enumerate(history):
        if event["event"] in places and not event.get("changed"):
            places[event["event"]].append(place)
    drop = {place for kind, mine in places.items() if len(mine) > KEPT[kind] for place in mine[1:-1:2]}
    return [event for place, event in enumerate(history) if place not in drop]
