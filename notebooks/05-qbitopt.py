# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # QBitOpt: bits that are allocated while the network trains
#
# A budget says how many bits there are on average, not who gets them. QBitOpt (Peters et al. 2023) asks again every so many steps,
# by the sensitivity FIT and within a hard budget. How it solves for the bits is not known to us: here the gradients of the
# training say how much each site's rounding hurts, an integer programme shares the bits out, and the budget holds at every step,
# not only at the end.
#
# Accuracies are measured on the 500 evaluation images of `resnet-digits`, which no step sees; sensitivities on the 256 calibration
# images. Trainings have 1,041 images, four epochs, the same schedule and seed 0. One seed on an easy task is an illustration;
# `docs/training.md` has several, on two networks.

# %%
from fractions import Fraction
from typing import Any

import pandas as pd

import qexplore as qx
from qexplore.figures import training as figures
from qexplore.runs.training_log import Log
from qexplore.runs.trainings import Training

task = qx.Task("resnet-digits")
STEPS = ["fold-bn", {"weight-ranges": {"method": "mse"}}, {"activation-ranges": {"method": "mse"}}]
SCHEDULE = {"epochs": 4, "batch": 64, "rate": 0.02, "shift": 1}
BUDGET = {"weight_bits": 2.5, "activation_bits": 2.5}


def recipe(*steps: Any) -> qx.Recipe:
    """Weights with one range a channel, activations with one a tensor; 2 bits, where nobody allocates others."""
    weights = {"bits": 2, "symmetric": True, "granularity": "channel"}
    return qx.Recipe.from_document(
        {"name": "mixed", "weights": weights, "activations": {"bits": 2}, "steps": [*STEPS, *steps]}
    )


# %% [markdown]
# ## What gradients say
#
# The loss rises by about half of the curvature times the squared rounding error. `fit` takes the curvature from squared gradients,
# a backward pass for all sites at once; `hessian-trace`, HAWQ-V2's metric, from second derivatives along random vectors. **Guess first:** do
# both put the sites in the same order?

# %%
tables = {metric: qx.sensitivity(task, metric, bits=(2,)) for metric in ("fit", "hessian-trace")}
both = pd.DataFrame({metric: table.set_index("site")["loss"] for metric, table in tables.items()})
print("rank correlation at 2 bits:", round(float(both["fit"].rank().corr(both["hessian-trace"].rank())), 2))
both.sort_values("fit", ascending=False).head(6).map("{:.2g} nats".format)

# %%
assert both["fit"].rank().corr(both["hessian-trace"].rank()) > 0.5

# %% [markdown]
# ## Bits over time
#
# 2.5 bits on average of weights and of activations, from 2 to 8 for each site. The first allocation is that of `fit` on the 256
# calibration images; from then on the gradients of the training decide.

# %%
events: list[dict[str, Any]] = []
results = {"QBitOpt": qx.run(task, recipe({"qbitopt": {**BUDGET, **SCHEDULE}}), on_event=events.append)}
training = Training.of(Log().extend(enumerate(events, 1)))
stage = training.stages[0]
figures.bits([(one.epoch, one.bits) for one in stage.allocations], stage.sites, training.epochs, training.epochs)

# %%
print(f"{len(stage.allocations)} allocations; sites that changed at each:")
[one.changed for one in stage.allocations]

# %% [markdown]
# ## The budget, in whole numbers
#
# Most changes come at the beginning, then the bits stay: the first allocation was nearly right. Now bits times elements, summed
# over the weights and over the activations, against what the budget allows, at every allocation.

# %%
for one in stage.allocations:
    for kind in ("weight", "activation"):
        sites = stage.sites[stage.sites["kind"] == kind]
        spent = sum(one.bits[site] * int(numel) for site, numel in zip(sites["site"], sites["numel"], strict=True))
        assert spent <= Fraction(5, 2) * int(sites["numel"].sum())
figures.limits(stage.limits, training.epochs)

# %% [markdown]
# ## Against simpler ways
#
# The same training with 2 bits everywhere (the most that fits uniformly), with bits that are allocated once, before training, and with
# bits drawn at random (by the seed) that meet the same budget. **Guess first:** in which order do they end?

# %%
others = {
    "2 bits everywhere": recipe({"qat": SCHEDULE}),
    "once, by fit": recipe({"allocate-bits": {"metric": "fit", **BUDGET}}, {"qat": SCHEDULE}),
    "once, at random": recipe({"allocate-bits": {"metric": "random", **BUDGET}}, {"qat": SCHEDULE}),
}
results |= {name: qx.run(task, each) for name, each in others.items()}
for name, result in results.items():
    print(f"{name:18} {result.accuracy}, cross-entropy {result.steps['loss'].iloc[-1]:.3f}")

# %%
losses = {name: float(result.steps["loss"].iloc[-1]) for name, result in results.items()}
assert losses["QBitOpt"] < min(losses["2 bits everywhere"], losses["once, at random"])

# %% [markdown]
# Half a bit more on average is worth much, whoever gets it; well spent it is worth more. Between QBitOpt and bits that were
# allocated once by the same kind of sensitivity the difference is small: what is sensitive in the trained FP32 network mostly
# stays so. `docs/training.md` has the same over three seeds, on two networks and three budgets: there the two are the same within
# noise.
