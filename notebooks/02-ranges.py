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
# # Ranges
#
# A grid of $2^b$ points has to span something. Wide: nothing is clipped, but the points lie far apart. Narrow: fine steps, but the
# tails are cut off. Each estimator is another answer, and none is best everywhere.

# %%
import pandas as pd
import torch

import qexplore as qx
from qexplore.numerics import RANGES, Spec, estimate_range, quantization_error

x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
list(RANGES)

# %% [markdown]
# ## One tensor
#
# A normal tensor on a symmetric 4-bit grid. **Guess first:** where should the grid end, in standard deviations?

# %%
spec = Spec(bits=4)
rows = []
for name in ("min-max", "percentile", "mse", "golden-section"):
    interval = estimate_range(x, spec, name)
    error = quantization_error(x, spec, interval)
    rows.append((name, float(interval.lo), float(interval.hi), error.rounding, error.clipping, error.sqnr_db))
pd.DataFrame(rows, columns=["estimator", "lo", "hi", "rounding", "clipping", "SQNR, dB"]).round(4)

# %% [markdown]
# The least squared error takes some clipping for much finer rounding. Its value is known: 0.01186 for the best
# symmetric 4-bit grid with a code more on the negative side, on a normal tensor.

# %%
best = quantization_error(x, spec, estimate_range(x, spec, "mse"))
assert abs(best.mse - 0.01186) < 2e-4
assert best.mse <= quantization_error(x, spec, estimate_range(x, spec, "min-max")).mse

# %% [markdown]
# ## All weights of a network
#
# Three bits, one range a channel. The estimator `mse` keeps every weight tensor closer to the real one. **Guess first:** which of
# the two networks is better?

# %%
task = qx.Task("mobilenet-digits")


def weights(method, *extra, granularity="channel"):
    steps = ["fold-bn", {"weight-ranges": {"method": method}}, *extra]
    quantizer = {"bits": 3, "granularity": granularity}
    result = qx.run(task, {"name": method, "weights": quantizer, "steps": steps})
    sqnr = result.sites.query("kind == 'weight'")["sqnr_db"].mean()
    return {"weights": " + ".join([method, *extra]), "granularity": granularity, "mean SQNR, dB": round(sqnr, 1)} | {
        "accuracy": result.accuracy.value, "low": round(result.accuracy.low, 3), "high": round(result.accuracy.high, 3)
    }


table = pd.DataFrame(
    [
        weights("min-max"), weights("mse"), weights("min-max", "correct-bias"), weights("mse", "correct-bias"),
        weights("min-max", granularity="tensor"), weights("mse", granularity="tensor"),
    ]
)
table

# %% [markdown]
# With one range a channel, `mse` has more decibels and *fewer* right answers. Its ranges clip, so that every weight tensor comes
# out 2 to 4 % too small, all in the same direction, while the errors of `min-max` point either way: small errors that agree can do
# more harm than larger ones that do not. Bias correction takes off what they shift in the mean of each output, and the accuracy is
# back. With one range for the whole tensor the smaller error wins anyway.
#
# Squared error is a good guide and no oracle: measure.

# %%
channel = table[table["granularity"] == "channel"].set_index("weights")
assert channel.loc["mse", "mean SQNR, dB"] > channel.loc["min-max", "mean SQNR, dB"]
assert channel.loc["mse", "accuracy"] < channel.loc["min-max", "accuracy"]
assert channel.loc["mse + correct-bias", "low"] > channel.loc["mse", "high"]

# %% [markdown]
# ## Activations, and the logits
#
# Activations get their ranges from calibration images, or from batch norms without an image (`batch-norm`). The last layer's logits
# are a case of their own: only their softmax counts, so `cross-entropy` fits exactly that.

# %%
choices = {
    "min-max": {"method": "min-max"},
    "percentile 99.9": {"method": "percentile", "percent": 99.9},
    "batch-norm, no image": {"method": "batch-norm"},
    "mse": {"method": "mse"},
    "mse, logits by cross-entropy": {"method": "mse", "logits": "cross-entropy"},
    "dynamic: each image its own min-max": {"method": "min-max", "dynamic": True},
}
rows = []
for bits in (4, 3):
    for name, ranges in choices.items():
        recipe = {"name": name, "activations": {"bits": bits}, "steps": ["fold-bn", {"activation-ranges": ranges}]}
        accuracy = qx.run(task, recipe).accuracy
        rows.append({"activation bits": bits, "ranges": name, "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high})
pd.DataFrame(rows).round(3)

# %% [markdown]
# At 4 bits these images cannot tell the estimators apart. At 3 bits they can: ranges that clip nothing spend their eight values on
# tails that hardly occur. Dynamic ranges fit every image, and cost time on every image.
#
# ## One site by hand
#
# A recipe can set a single site: other bits, another estimator, or the two ends.

# %%
by_hand = qx.Recipe.load("w8a8").with_settings({"sites.logits.range": [-1.0, 1.0]})
print(qx.run(task, "w8a8").accuracy, "→", qx.run(task, by_hand).accuracy)

# %% [markdown]
# The same with two handles to drag: `make app`, pages *Ranges* and *Quantizer*.
