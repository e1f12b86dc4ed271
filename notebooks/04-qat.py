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
# # Quantization-aware training
#
# Below 4 bits rounding is no longer a small disturbance. Training lets the weights move to where rounding hurts least: the forward
# pass sees rounded numbers, the backward pass takes rounding for the identity (the straight-through estimator), and the ranges are
# learned along with the weights (LSQ, LSQ+).
#
# Everything here is measured on the 500 evaluation images of `resnet-digits`, which no step sees. Trainings have 1,041 images, four
# epochs and seed 0; one seed on an easy task is an illustration, `docs/training.md` has several.

# %%
from typing import Any

import plotly.graph_objects as go

import qexplore as qx

task = qx.Task("resnet-digits")
STEPS = ["fold-bn", {"weight-ranges": {"method": "mse"}}, {"activation-ranges": {"method": "mse"}}]
SCHEDULE = {"epochs": 4, "batch": 64, "rate": 0.02, "shift": 1}


def recipe(bits: int, *more: Any, steps: list[Any] = STEPS) -> qx.Recipe:
    """Weights with one range a channel, activations with one a tensor, all at the same bits."""
    weights = {"bits": bits, "symmetric": True, "granularity": "channel"}
    return qx.Recipe.from_document(
        {"name": f"w{bits}a{bits}", "weights": weights, "activations": {"bits": bits}, "steps": [*steps, *more]}
    )


# %% [markdown]
# ## What training recovers
#
# **Guess first:** at how many bits does rounding alone break the network, and how much of it do four epochs bring back?

# %%
before = {bits: qx.run(task, recipe(bits)) for bits in (4, 3, 2)}
events: dict[int, list[dict[str, Any]]] = {3: [], 2: []}
after = {bits: qx.run(task, recipe(bits, {"qat": SCHEDULE}), on_event=events[bits].append) for bits in events}
print("FP32                ", before[4].fp32_accuracy)
for bits, result in before.items():
    print(f"{bits} bits, rounded      ", result.accuracy)
    if bits in after:
        print(f"{bits} bits, then trained ", after[bits].accuracy)

# %%
assert after[2].accuracy.low > before[2].accuracy.high
assert after[3].accuracy.value > before[3].accuracy.value
assert after[3].fp32_accuracy.value - after[3].accuracy.value <= 0.025

# %% [markdown]
# ## What a training tells
#
# Each epoch is judged on the calibration images, 256 here, which training does not see either. Most of the way is made in the first
# epoch.

# %%
figure = go.Figure()
for bits, told in events.items():
    epochs = [event for event in told if event["event"] == "epoch"]
    figure.add_scatter(
        x=[event["epoch"] for event in epochs], y=[event["held_out_loss"] for event in epochs], name=f"{bits} bits, held out"
    )
    figure.add_scatter(
        x=[event["epoch"] for event in epochs],
        y=[event["loss"] for event in epochs],
        name=f"{bits} bits, trained on",
        line_dash="dot",
    )
figure.update_layout(xaxis_title="epoch", yaxis_title="cross-entropy, nats", xaxis_dtick=1, height=320)
figure

# %% [markdown]
# ## Learned ranges
#
# A grid with 2 bits has four points. Where they lie is learned: the scale has a gradient of its own, which weighs what clipping loses
# against what rounding loses. Here are the latent weights of one layer at the start and at the end, with the ends of the grid (of all
# its channels).

# %%
site = "blocks.2.second.conv.weight"
first, last = ([event for event in events[2] if event["event"] == "weights"][at]["sites"][site] for at in (0, -1))
figure = go.Figure()
for name, told in (("start", first), ("end", last)):
    width = (told["to"] - told["from"]) / len(told["counts"])
    middles = [told["from"] + (k + 0.5) * width for k in range(len(told["counts"]))]
    figure.add_scatter(x=middles, y=told["counts"], name=f"weights, {name}", line_shape="hvh")
for told, dash in ((first, "dot"), (last, "solid")):
    for end in (told["lo"], told["hi"]):
        figure.add_vline(x=end, line_dash=dash, line_color="grey")
figure.update_layout(xaxis_title=f"latent value of {site}", yaxis_title="weights", height=320)
figure

# %%
shares = {
    kind: [
        (at_end["hi"] - at_end["lo"]) / (at_start["hi"] - at_start["lo"])
        for name, at_start in ranges[0]["sites"].items()
        for at_end in [ranges[-1]["sites"][name]]
    ]
    for kind in ("weights", "activations")
    for ranges in [[event for event in events[2] if event["event"] == kind]]
}
{kind: f"{min(found):.2f} to {max(found):.2f} times as wide as at the start" for kind, found in shares.items()}

# %%
assert any(abs(share - 1) > 0.01 for found in shares.values() for share in found)

# %% [markdown]
# ## Batch norms
#
# A batch norm can be folded into the weights before training (static folding), or stay, be trained, and be folded into the scales of
# the channels afterwards; or stay with the statistics that it has. The white paper prefers to keep it where every channel has a range
# of its own.

# %%
loose = STEPS[1:]
ways = {"folded first": after[2]}
for name, mode in (("kept", "keep"), ("kept, statistics frozen", "frozen")):
    ways[name] = qx.run(task, recipe(2, {"qat": {**SCHEDULE, "batch_norm": mode}}, steps=loose))
for name, result in ways.items():
    print(f"2 bits, batch norms {name:24} {result.accuracy}, cross-entropy {result.steps['loss'].iloc[-1]:.3f}")

# %%
assert all(result.accuracy.low > before[2].accuracy.high for result in ways.values())

# %% [markdown]
# ## Oscillation
#
# A latent weight near the border between two codes is pushed back and forth over it: its rounded value jumps, and so do the statistics
# that are estimated meanwhile. The meter keeps, for each weight, a moving share of the steps in which its code turned back, and counts
# the weights above a threshold. **Guess first:** how many of all weights are they, after 64 steps at 2 bits?

# %%
oscillation = [event for event in events[2] if event["event"] == "oscillation"]
worst = max(oscillation[-1]["sites"], key=oscillation[-1]["sites"].get)
figure = go.Figure()
figure.add_scatter(
    x=list(range(1, len(oscillation) + 1)), y=[100 * event["share"] for event in oscillation], name="all weights"
)
figure.add_scatter(
    x=list(range(1, len(oscillation) + 1)), y=[100 * event["sites"][worst] for event in oscillation], name=worst
)
figure.update_layout(xaxis_title="epoch", yaxis_title="weights that oscillate, %", xaxis_dtick=1, height=320)
figure

# %%
{f"epoch {number}": f"{100 * event['share']:.1f} %" for number, event in enumerate(oscillation, 1)}

# %%
assert 0 < oscillation[-1]["share"] < 0.2

# %% [markdown]
# Few, in so short a training, and not evenly spread. The settings `damping` and `freezing` of the step `qat` are two cures. The next notebook lets the bits change while the training goes
# on; on screen both are on the page *Training*.
