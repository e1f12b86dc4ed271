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
# # Post-training quantization, step by step
#
# A trained network, 256 calibration images, no training. What does each tool of the white paper buy: equalization, bias absorption,
# bias correction, learned rounding? And if the result disappoints, which tensor is to blame?

# %%
from IPython.display import Markdown

import qexplore as qx
from qexplore import figures

twin = qx.Task("mobilenet-digits-unbalanced")
task = qx.Task("mobilenet-digits")

# %% [markdown]
# ## One range a tensor
#
# The twin computes the same function as `mobilenet-digits`, but a fifth of its hidden channels were rescaled on purpose: 4 to 256
# times smaller before the depthwise layer, and as much larger in it, as training does, less regularly, in larger networks. **Guess
# first:** one grid of 256 points for a whole weight tensor, what is left of 99.6 %? And which of four steps brings it back?

# %%
ladder = qx.ablate(twin, "corrected-w8a8-per-tensor")
figures.waterfall(ladder)

# %%
ladder[["group", "name", "accuracy", "low", "high", "change", "gained", "lost", "p", "seconds"]].round(4)

# %% [markdown]
# Read the rows `without`: the complete recipe less one step. Equalization carries everything here; without it, bias correction
# brings about half of the accuracy back. Without any one of the others no image is lost or gained. `p` is how probable a
# difference at least as large would be if both networks were equally good (McNemar's test on the same 500 images); where nothing
# changes it is 1.

# %%
rows = ladder.set_index("name")["accuracy"]
assert rows["none"] < 0.5 < 0.98 < rows["+ equalize"]
assert rows["none"] + 0.2 < rows["without equalize"] < rows["+ equalize"] - 0.2
assert rows["fp32"] - ladder.loc[ladder["complete"], "accuracy"].item() <= 0.005

# %% [markdown]
# ## Few bits: nearest, corrected, learned
#
# At 2 bits a weight has four values to choose from. Rounding each to the nearest one is best for the weight and not for the network:
# the errors of a channel add up. Bias correction takes off their mean, AdaRound decides every rounding together with its neighbours.

# %%
plain = qx.Recipe.load("w4a8").with_settings({"weights.bits": 2})
learned = qx.Recipe.load("w4a8-adaround").with_settings({"weights.bits": 2, "adaround.iterations": 300})
corrected = qx.Recipe.from_document(
    {**plain.to_document(), "steps": ["fold-bn", "weight-ranges", "correct-bias", "activation-ranges"]}
)
results = {"nearest": qx.run(task, plain), "bias corrected": qx.run(task, corrected), "AdaRound": qx.run(task, learned)}
for name, result in results.items():
    print(f"2-bit weights, {name:14}  {result.accuracy}")

# %%
values = [result.accuracy.value for result in results.values()]
assert values == sorted(values)
assert results["AdaRound"].accuracy.low > results["nearest"].accuracy.high

# %% [markdown]
# Do learned weights err less? Look at the signal-to-noise ratio of the weights themselves.

# %%
{
    name: round(float(result.sites.query("kind == 'weight'")["sqnr_db"].mean()), 1)
    for name, result in results.items()
}

# %% [markdown]
# AdaRound's weights are *farther* from the real ones, and the network is better: what counts is the error of the layer's output.
#
# ## Without an image
#
# Batch norms remember mean and spread of every channel. Ranges and bias corrections can be had from them alone.

# %%
free = qx.run(twin, "data-free-w8a8-per-tensor")
print("data-free  ", free.accuracy)
assert free.fp32_accuracy.value - free.accuracy.value <= 0.01

# %% [markdown]
# ## Who is to blame?
#
# Someone gave one tensor 2 bits. The debugging flowchart finds out which: is FP32 sane, is it weights or activations, which site
# alone, why, and what helps. Every remedy is measured.

# %%
weights = results["nearest"].sites.query("kind == 'weight'")["site"].tolist()
spoiled = qx.Recipe.load("w8a8").with_settings({f"sites.{weights[1]}.bits": 2})
diagnosis = qx.debug(task, spoiled)
Markdown(diagnosis.to_markdown())

# %%
assert not diagnosis.healthy
assert weights[1] in {finding.site for finding in diagnosis.findings}

# %% [markdown]
# The same on screen: `make app`, page *Post-training*.
