"""The training loop."""

from __future__ import annotations

import torch

from qexplore.network import Network
from qexplore.ptq import Calibration
from qexplore.qat import checkpoint
from qexplore.qat.divergence import check, check_alive
from qexplore.qat.finish import hand_over
from qexplore.qat.images import PART
from qexplore.qat.norms import check_batch
from qexplore.qat.quantizers import Quantizer
from qexplore.qat.settings import Settings
from qexplore.qat.telling import Telling
from qexplore.qat.training import Actors, Training
from qexplore.report import Report


def fine_tune(
    network: Network,
    calibration: Calibration,
    report: Report,
    settings: Settings,
    quantizers: dict[str, Quantizer],
    actors: Actors = (),
    *,
    name: str,
    budget: dict[str, float] | None = None,
) -> Network:
    """Trains the network with its `quantizers` on the training images and gives it what was learned.

    Where the calibration's keeper has a state, the training goes on from there; a state is saved after every epoch and
    when the report raises. name: of the step, as it is told. budget: the limits that an actor keeps, as they are told.
    Raises Diverged where the loss runs away, QexploreError where nothing can be trained.
    """
    check_batch(network, settings.batch_norm, settings.batch)
    calibration.data.prepare(report, (PART,))
    training = Training(network, calibration, settings, quantizers, name)
    owner = checkpoint.owner_of(training, actors)
    told = Telling(training, report, checkpoint.load(training, actors, owner, report))
    try:
        with torch.enable_grad():
            told.start(budget, [event for actor in actors for event in actor.begin(training)])
            if told.begins:
                told.beginning(training.held_out(told.waiting))
            while training.epoch < settings.epochs:
                _epoch(training, actors, told)
                training.next_epoch()
                checkpoint.save(training, actors, owner, told.history)
                told.rest()
        told.end()
    except BaseException:
        if told.stopped:
            checkpoint.save(training, actors, owner, told.history)
        raise
    return hand_over(training, report)


def _epoch(training: Training, actors: Actors, told: Telling) -> None:
    """What is left of the present epoch, and what the held-out images say after it."""
    for x, y in training.batches():
        loss = training.loss(x, y)
        training.optimizers.zero()
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        check(training, value)
        for actor in actors:
            actor.after_backward(training)
        training.step(value)
        told.step(value, [event for actor in actors for event in actor.after_step(training)])
    judged = training.held_out(told.waiting)
    check_alive(training, judged)
    told.epoch(judged, [event for actor in actors for event in actor.after_epoch(training)])
