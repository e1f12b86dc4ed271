"""The events of a training that never was, in the form in which the engine tells them."""

from __future__ import annotations

import math
import random
from typing import Any

Event = dict[str, Any]
SITES = [
    {"site": "input", "kind": "activation", "numel": 64},
    {"site": "stem.conv.weight", "kind": "weight", "numel": 72},
    {"site": "stem.conv.out", "kind": "activation", "numel": 512},
    {"site": "head.weight", "kind": "weight", "numel": 160},
    {"site": "head.out", "kind": "activation", "numel": 10},
]
PER_EPOCH = 20


def row(name: str, value: float, images: int = 500) -> Event:
    """What `run` tells after a step."""
    ends = {"low": max(value - 0.02, 0.0), "high": min(value + 0.02, 1.0), "images": images}
    return {"event": "step", "name": name, "accuracy": value, **ends, "loss": 1 - value, "seconds": 0.4}


def recipe_events(
    step: str = "qat", *, before: float = 0.71, after: float | None = 0.95, fp32: float = 0.986, **more: Any
) -> list[Event]:
    """A recipe of three steps before the one that trains: everything that its run tells, up to `after` if it ends."""
    told = [row("fp32", fp32)]
    names = ["fold-bn", "weight-ranges", "activation-ranges"]
    for number, name in enumerate(names):
        told += [{"event": "step-started", "name": name, "number": number, "of": 4}, row(name, before)]
    told += [{"event": "step-started", "name": step, "number": 3, "of": 4}]
    told += training_events(step, 3, **more)
    return told if after is None else [*told, row(step, after)]


def training_events(
    step: str = "qat",
    number: int = 3,
    *,
    epochs: int = 6,
    done: int | None = None,
    every: int = 2,
    at: int = 0,
    budget: dict[str, float] | None = None,
    sites: list[dict[str, Any]] = SITES,
    seed: int = 0,
) -> list[Event]:
    """One training step. done: epochs that it has come to (all). every: optimizer steps between two told losses.
    at: where a resumed one goes on.
    """
    chance, done, steps = random.Random(seed), epochs if done is None else done, epochs * PER_EPOCH
    limits = budget or ({"weight_bits": 3.0, "activation_bits": 4.0} if step == "qbitopt" else None)
    bits = {one["site"]: 4 for one in sites}
    told: list[Event] = [
        {
            "event": "training-started",
            "step": step,
            "number": number,
            "epochs": epochs,
            "steps": steps,
            "steps_per_epoch": PER_EPOCH,
            "images": 1280,
            "held_out": 300,
            "sites": [dict(one) for one in sites],
            "bits": {} if step == "prune" else bits,
            "budget": limits,
            "at": at,
        }
    ]
    told += _moment(step, at, steps, limits, sites, chance)
    for now in range(at + 1, done * PER_EPOCH + 1):
        gone = now / steps
        if now % every == 0:
            loss = 1.2 * math.exp(-4 * gone) + 0.05 + 0.05 * chance.random()
            rate = 0.01 * (1 + math.cos(math.pi * gone)) / 2
            told.append({"event": "training", "at": now, "epoch": now / PER_EPOCH, "loss": loss, "rate": rate})
            told.append({"event": "progress", "done": now, "total": steps, "text": "training"})
        if now % PER_EPOCH == 0:
            told.append(_epoch(now, gone))
            told += _moment(step, now, steps, limits, sites, chance)
    if done == epochs:
        told.append({"event": "training-ended", "at": steps, "epochs": epochs, "seconds": 0.5 * epochs})
    return told


def _epoch(now: int, gone: float) -> Event:
    accuracy = 0.95 - 0.25 * math.exp(-5 * gone)
    return {
        "event": "epoch",
        "epoch": now // PER_EPOCH,
        "at": now,
        "loss": 1.2 * math.exp(-4 * gone) + 0.07,
        "held_out_loss": 1.1 * math.exp(-3.5 * gone) + 0.12,
        "accuracy": accuracy,
        "low": accuracy - 0.03,
        "high": accuracy + 0.02,
        "images": 300,
        "seconds": 0.5,
    }


def _moment(
    step: str, now: int, steps: int, limits: dict[str, float] | None, sites: list[dict[str, Any]], chance: random.Random
) -> list[Event]:
    """What is told at the start and after each epoch."""
    gone = now / steps
    width = 1 - 0.4 * gone
    weights = [one["site"] for one in sites if one["kind"] == "weight"]
    others = [one["site"] for one in sites if one["kind"] != "weight"]
    bell = [round(400 * math.exp(-(((i - 31.5) / 12) ** 2))) for i in range(64)]
    one = {"lo": -0.5 * width, "hi": 0.5 * width, "from": -0.9, "to": 0.9, "counts": bell}
    told: list[Event] = [
        {"event": "weights", "at": now, "sites": {site: dict(one) for site in weights}},
    ]
    if step == "prune":
        share = 0.3 * (1 - (1 - gone) ** 3)
        return [*told, {"event": "sparsity", "at": now, "share": share, "sites": dict.fromkeys(weights, share)}]
    told.append({"event": "activations", "at": now, "sites": {site: {"lo": 0.0, "hi": 4 * width} for site in others}})
    if now:
        shares = {site: 0.02 * gone * (i + 1) for i, site in enumerate(weights)}
        told.append({"event": "oscillation", "at": now, "share": 0.02 * gone, "sites": shares})
    if step == "qbitopt":
        bits = {site["site"]: 4 if not now else chance.choice((2, 3, 4)) for site in sites}
        told.append(
            {
                "event": "allocation",
                "at": now,
                "bits": bits,
                "cost": {"weight_bits": 2.9 + 0.1 * gone, "activation_bits": 3.9, "kb": 0.087, "gbops": 0.001},
                "budget": limits,
                "loss": 0.1,
                "changed": 0 if not now else len(sites) - 1,
                "exact": True,
                "frozen": gone > 0.8,
            }
        )
    return told
