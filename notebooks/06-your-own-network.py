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
# # Your own network and images
#
# The zoo is for class. Here a folder of pictures, a network from a file, its weights and a model of torchvision become tasks, and
# everything that the other notebooks do works on them. Nothing is downloaded; it runs in less than a minute.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

import qexplore as qx
from qexplore.zoo.networks import open_network
from qexplore.zoo.pictures import open_data
from qexplore.zoo.preprocessing import Preprocessing

torch.manual_seed(0)
desk = tempfile.TemporaryDirectory()
os.chdir(desk.name)

# %% [markdown]
# ## A folder of pictures
#
# One folder a class, as `ImageFolder` has it; with `train/` and `test/` above them if you have such parts. These are scikit-learn's
# digits written as PNG files, the last 500 as the test part, and two files that are not what their names say.

# %%
digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target)):
    folder = Path("pictures", "train" if number < 1297 else "test", str(label))
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels * 15.9375).astype(np.uint8)).save(folder / f"{number:04}.png")
Path("pictures/train/3/torn.png").write_bytes(Path("pictures/train/3/0003.png").read_bytes()[:60])
Path("pictures/test/7/letter.png").write_text("Dear Sir or Madam")

look = Preprocessing(channels=1, resize=None, crop=8, mean=(0.5,), std=(0.5,))
images = open_data("folder:pictures", look)
images.prepare()
print(look.text())
print({part: images.count(part) for part in ("train", "calibration", "evaluation")})
for skipped in images.skipped:
    print(f"skipped: {Path(skipped[0]).name}: {skipped[1]}")

# %% [markdown]
# Calibration images are held out of `train/`, by a fixed seed and with every class in its share; the test part judges. Corrupt files
# are left out, counted and named. Pictures are decoded once and kept on disk, so that the next sweep reads them in a moment.

# %%
for part in ("calibration", "evaluation"):
    print(part, torch.bincount(images.tensors(part)[1]).tolist())
assert len(images.skipped) == 2

# %% [markdown]
# ## A network of your own
#
# Any `nn.Module`. This one stands in a file, so that the command line finds it too; a few seconds of training make it worth looking at.

# %%
Path("mine.py").write_text('''
from torch import nn

def network():
    def block(inputs, outputs, stride):
        return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6()]
    return nn.Sequential(*block(1, 16, 1), *block(16, 24, 2), *block(24, 32, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32, 10))
''')
mine = open_network("mine.py:network", local=True).module.train()
x, y = images.tensors("train")
optimizer = torch.optim.Adam(mine.parameters(), lr=0.01)
for epoch in range(15):
    for rows in torch.randperm(len(x)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(mine(x[rows]), y[rows]).backward()
        optimizer.step()

task = qx.Task(model=mine, data=images, name="mine")
result = qx.run(task, "w8a8")
print("FP32", result.fp32_accuracy)
print("W8A8", result.accuracy)
result.sites[["site", "kind", "bits", "lo", "hi", "sqnr_db"]].round(3)

# %%
assert result.fp32_accuracy.value > 0.85
assert abs(result.accuracy.value - result.fp32_accuracy.value) < 0.02

# %% [markdown]
# From here on it is a task like any other: which sites hurt, and what do two bits a weight cost, if they are spent where they count?

# %%
table = qx.sensitivity(task, metric="fisher")
table[table["bits"] == 3].sort_values("loss", ascending=False)[["site", "kind", "numel", "loss"]].head(5)

# %%
answer = qx.allocate(table, qx.Budget(weight_bits=2, activation_bits=4), exact=True)
settings = {f"sites.{site}.bits": bits for site, bits in answer.bits.items()}
mixed = qx.run(task, qx.Recipe.load("w4a4").with_settings(settings))
uniform = qx.run(task, qx.Recipe.load("w4a4").with_settings({"weights.bits": 2}))
print(answer.cost)
print("2-bit weights, 4-bit activations everywhere ", uniform.accuracy)
print("the same on average                         ", mixed.accuracy)
assert answer.cost["weight_bits"] <= 2

# %% [markdown]
# Some images more of 500 are no difference to rely on. (That two intervals overlap is no test by itself: on the same images one
# counts those gained against those lost, as `ablate` does.) `01-first-look` shows a case where they can.
#
# ## Weights from a file
#
# Safetensors, or a checkpoint that `torch.load(weights_only=True)` reads; what training scripts wrap around it (`state_dict`,
# `model`, `module.` before every name) is taken off; where the weights were found is said.

# %%
torch.save({"epoch": 15, "state_dict": {f"module.{name}": value for name, value in mine.state_dict().items()}}, "mine.pt")
opened = open_network("mine.py:network", "mine.pt", local=True)
print(*opened.notes, sep="\n")
assert torch.equal(opened.module(x[:8]), mine(x[:8]))

# %% [markdown]
# A file for another network is refused with a list of what does not fit, before anything has changed.

# %%
wrong = dict(mine.state_dict())
wrong["classifier.weight"] = wrong.pop("11.weight")
wrong["0.weight"] = torch.zeros(8, 1, 3, 3)
save_file(wrong, "wrong.safetensors")
try:
    open_network("mine.py:network", "wrong.safetensors", local=True)
except qx.QexploreError as error:
    print(str(error).replace(os.getcwd() + "/", ""))
    print({"missing": error.missing, "unexpected": error.unexpected, "misshapen": error.misshapen})

# %% [markdown]
# ## What cannot be followed stays whole
#
# A layer whose path depends on the values in it has no fixed graph. It becomes one opaque operation: quantized at its borders, real
# inside, listed with the reason. Nothing is left unquantized in silence.


# %%
class Wavering(nn.Module):
    def forward(self, x):
        return x / x.abs().max() if x.abs().max() > 6 else x


layers = list(mine)
odd = qx.Task(model=nn.Sequential(*layers[:9], Wavering(), *layers[9:]), data=images, name="odd")
sites = qx.run(odd, "w8a8").sites
print(sites[sites["kind"] == "opaque"]["op"].item())

# %%
assert (sites["kind"] == "opaque").sum() == 1

# %% [markdown]
# Mend it if you can: a `torch.clamp` or a buffer in place of the `if`, and its numbers come onto a grid as well.
#
# ## A model of torchvision by name
#
# `torchvision:<model>` brings the model's own weights and preprocessing; `@NAME` picks other weights of its enumeration. If they are
# neither on this machine nor to be downloaded, one sentence says which file goes where. Here `@random` stands for weights drawn anew,
# so **the accuracy below says nothing**: the sites, their ranges and the time do.

# %%
named = open_network("torchvision:shufflenet_v2_x0_5@random")
print(named.source, "|", named.weights, "|", named.preprocessing.text())
few = Preprocessing(channels=3, resize=64, crop=64, mean=named.preprocessing.mean, std=named.preprocessing.std)
photographs = open_data("folder:pictures", few, classes=1000)
some = {part: photographs.tensors(part, limit=32) for part in ("calibration", "evaluation")}
shuffle = qx.run(qx.Task(model=named.module, data=qx.Data(**some, interval=few.interval), name="shufflenet"), "w8a8")
shuffle.sites.groupby("kind")[["numel", "macs"]].agg(["size", "sum"])

# %% [markdown]
# With real weights and photographs two lines do: `qx.Task.of("torchvision:mobilenet_v2", "folder:photographs")`, and
# `python -m qexplore task add my-mobilenet --model torchvision:mobilenet_v2 --data folder:photographs` makes it a task with a name,
# in the app and on the command line. (The 64 pixels above are to keep this page quick; the model's own size is the default.)
#
# ## CIFAR-10, if you have it
#
# Photographs that a network can really get wrong: `resnet20-cifar10` and `mobilenetv2-cifar10` of the zoo. The images do not come along;
# `QEXPLORE_DATA` names the folder that holds them.

# %%
try:
    cifar = qx.Task("resnet20-cifar10")
    print(cifar.data.count("evaluation"), "images:", cifar.data.source)
except qx.QexploreError as error:
    print(error)

# %% [markdown]
# Next: `python -m qexplore app --data FOLDER`, page *Network*, *your own network*.
