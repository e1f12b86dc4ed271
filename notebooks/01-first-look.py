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
# # A first look
#
# A trained network, real images, and three questions: what does it lose at 8 bits, which of its tensors hurt, and how few bits
# are enough? Everything here runs in seconds on a laptop.

# %%
import qexplore as qx
from qexplore import figures
from qexplore.network import evaluate

task = qx.Task("mobilenet-digits")
{part: task.data.count(part) for part in ("train", "calibration", "evaluation")}

# %% [markdown]
# Calibration images set the ranges, evaluation images judge; no image is in two parts.
#
# ## What does each step buy?
#
# `mobilenet-digits-unbalanced` computes exactly the same function as `mobilenet-digits`, but its channels were rescaled on purpose.
# With one range for a whole weight tensor, its small channels fall between the grid lines. **Guess first:** how much of the
# accuracy is left at 8 bits?

# %%
twin = qx.Task("mobilenet-digits-unbalanced")
results = {name: qx.run(twin, name) for name in ("w8a8-per-tensor", "w8a8-per-tensor-equalized", "w8a8")}
for name, result in results.items():
    print(f"{name:28} {result.fp32_accuracy.value:.1%} → {result.accuracy}")

# %% [markdown]
# Equalization scales the channels back before the grid is laid; one range a channel (`w8a8`) never had the problem.

# %%
figures.waterfall(qx.ablate(twin, "w8a8-per-tensor-equalized"))

# %%
assert results["w8a8-per-tensor"].accuracy.value < 0.8 * results["w8a8"].fp32_accuracy.value
assert abs(results["w8a8-per-tensor-equalized"].accuracy.value - results["w8a8"].fp32_accuracy.value) <= 0.01

# %% [markdown]
# ## Which sites hurt?
#
# A *site* is one weight or activation tensor. `fisher` foresees, from gradients on the calibration images, how far the answers move
# when a site alone goes down to some bits. Each bit less costs about four times more.

# %%
table = qx.sensitivity(task, metric="fisher")
ranking = table[table["bits"] == 3].sort_values("loss", ascending=False)
ranking[["site", "kind", "numel", "loss"]].head(8)

# %% [markdown]
# ## How few bits are enough?
#
# Three bits everywhere, or three bits *on average*, more where it hurts and fewer where it does not? The budget is hard: the
# answer never exceeds it.

# %%
budget = qx.Budget(weight_bits=3.0, activation_bits=3.0)
answer = qx.allocate(table, budget, exact=True)
answer.cost

# %%
network = qx.run(task, "w8a8").network
images = list(task.data.batches("evaluation"))
with network.using(network.uniform(3, 3)):
    uniform = evaluate(network, images)
with network.using(answer.bits):
    mixed = evaluate(network, images)
print("3 bits everywhere ", uniform)
print("3 bits on average ", mixed)

# %%
assert answer.cost["weight_bits"] <= 3.0
assert answer.cost["activation_bits"] <= 3.0
assert mixed.low > uniform.high, "the intervals are apart: the mixture wins by more than chance"

# %% [markdown]
# ## Your own network
#
# Any `nn.Module` that `torch.fx` can trace, and three parts of images that do not overlap.

# %%
from torch import nn  # noqa: E402

mine = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
own = qx.Task(model=mine, data=task.data, name="mine")
qx.run(own, "w4a8").sites[["site", "kind", "bits", "lo", "hi", "sqnr_db"]]

# %% [markdown]
# This one is not trained, so its accuracy says nothing; its table of sites does. Next: `make app`, page *Budgets*, and move the
# slider.
