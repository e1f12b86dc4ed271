"""Training of the zoo's networks: deterministic for a seed and a number of threads, however often it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qexplore.numerics.bfloat16 import half_precision
from qexplore.report import Report
from qexplore.zoo.augmentation import mirrored, shifted
from qexplore.zoo.data import Data
from qexplore.zoo.entries import Entry
from qexplore.zoo.keeping import Keep, Work
from qexplore.zoo.sources import Batch
from qexplore.zoo.task import fresh_model, open_data


@dataclass(frozen=True)
class Settings:
    """How a network is trained: SGD with Nesterov momentum, a linear warm-up and half a cosine down to zero.

    shift: images are moved by up to so many pixels each way; flip: half of them are mirrored, drawn anew each time.
    half: forward and backward in bfloat16 where the processor has it, weights and their updates in float32.
    All values are the project's own choice; those of the digits were checked on a fifth of the training part held out,
    none was chosen on an evaluation part.
    """

    epochs: int = 100
    batch: int = 64
    rate: float = 0.1
    warmup: int = 5
    momentum: float = 0.9
    decay: float = 1e-3
    smoothing: float = 0.1
    shift: int = 1
    flip: bool = False
    half: bool = False


def fit_entry(
    entry: Entry, seed: int, report: Report, work: Work | None = None, settings: Settings | None = None
) -> nn.Module:
    """The entry's network, trained on its training part from fresh weights; eval mode."""
    settings, work = settings or Settings(), work or Work()
    with deterministic(seed, work.threads):
        model = fresh_model(entry)
        images = open_data(entry).tensors("train")
        return fit(model, images, report, settings, keep=work.keep(entry, seed, settings))


def fit(
    model: nn.Module,
    images: Batch,
    report: Report,
    settings: Settings,
    *,
    keep: Keep | None = None,
) -> nn.Module:
    """Trains `model` in place on all `images`; events "epoch" with the mean loss in nats.

    keep: where each epoch's state is kept; a training found there goes on, and tells again what it had told.
    """
    keep = keep or Keep()
    # Depthwise convolutions on a CPU train several times faster in this layout.
    model = model.to(memory_format=torch.channels_last).train()
    batches = -(-len(images[0]) // settings.batch)
    optimizer = torch.optim.SGD(_groups(model, settings), lr=settings.rate, momentum=settings.momentum, nesterov=True)
    schedule = _schedule(optimizer, settings, batches)
    losses = _taken_up(keep, model, optimizer, schedule)
    if losses:
        report.event("log", text=f"The training goes on after epoch {len(losses)}, as {keep.path} has kept it.")
    for epoch, told in enumerate(losses, 1):
        report.event("epoch", epoch=epoch, loss=told)
    report.progress(len(losses), settings.epochs, "training")
    with _quick_in_half(model) if settings.half else nullcontext():
        for epoch in range(len(losses), settings.epochs):
            total = 0.0
            for index in torch.split(torch.randperm(len(images[0])), settings.batch):
                with half_precision(settings.half):
                    logits = model(_moved(images[0][index], settings))
                loss = F.cross_entropy(logits.float(), images[1][index], label_smoothing=settings.smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * len(index)
            losses.append(total / len(images[0]))
            keep.put(
                {
                    "losses": losses,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "drawn": torch.get_rng_state(),
                }
            )
            report.event("epoch", epoch=epoch + 1, loss=losses[-1])
            report.progress(epoch + 1, settings.epochs, "training")
    return model.to(memory_format=torch.contiguous_format).eval()


def _taken_up(
    keep: Keep, model: nn.Module, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.OneCycleLR
) -> list[float]:
    """Puts what was kept of a training back in its place; the losses of its epochs, none where it begins."""
    state = keep.found()
    if state is None:
        return []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    torch.set_rng_state(state["drawn"])
    losses: list[float] = state["losses"]
    return losses


def accuracy(model: nn.Module, data: Data, part: str) -> tuple[int, int]:
    """Images of the part that the model classifies correctly, and all of them."""
    right = images = 0
    with torch.inference_mode():
        for x, y in data.batches(part):
            right += int((model(x).argmax(1) == y).sum())
            images += len(y)
    return right, images


@contextmanager
def deterministic(seed: int, number: int = 1) -> Iterator[None]:
    """That many threads and a seeded generator; both are given back afterwards."""
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            torch.set_num_threads(number)
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quick_in_half(model: nn.Module) -> Iterator[None]:
    """Two ways round slow kernels of torch's CPU build; neither changes what is computed.

    The gradient of a depthwise convolution with a stride takes 40 times longer in bfloat16 than in float32, and batch
    norm's takes 10 times longer where the pooling behind it gives its gradient in another layout.
    """
    strided = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.groups > 1 and m.stride != (1, 1)]
    pools = [m for m in model.modules() if isinstance(m, nn.AdaptiveAvgPool2d)]
    hooks = [pool.register_forward_pre_hook(_channels_last_gradient) for pool in pools]
    for module in strided:
        module.forward = _in_float(module)  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        for module in strided:
            del module.forward
        for hook in hooks:
            hook.remove()


def _in_float(module: nn.Module) -> Callable[[Tensor], Tensor]:
    plain = module.forward

    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            y: Tensor = plain(x.float())
            return y

    return forward


def _channels_last_gradient(_: nn.Module, inputs: tuple[Tensor]) -> None:
    ordered = partial(torch.Tensor.contiguous, memory_format=torch.channels_last)
    inputs[0].register_hook(ordered)  # type: ignore[no-untyped-call]


def _groups(model: nn.Module, settings: Settings) -> list[dict[str, object]]:
    """Weights decay; biases and batch norms do not."""
    weights = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    return [{"params": weights, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]


def _schedule(
    optimizer: torch.optim.Optimizer, settings: Settings, batches: int
) -> torch.optim.lr_scheduler.OneCycleLR:
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=settings.rate,
        total_steps=settings.epochs * batches,
        pct_start=min(0.5, settings.warmup / settings.epochs),
        cycle_momentum=False,
        final_div_factor=1e4,
    )


def _moved(x: Tensor, settings: Settings) -> Tensor:
    moved = shifted(x, settings.shift)
    if settings.flip:
        moved = mirrored(moved)
    return moved.contiguous(memory_format=torch.channels_last)
