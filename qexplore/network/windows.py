"""Shifted-window attention of torchvision's Swin transformers, taken apart."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from qexplore.network.products import scaled_product, softmax_with
from qexplore.network.rewrite import Call

HIDDEN = -100.0  # torchvision's: what is added to the score of a pixel from across the border
Pair = tuple[int, int]


def shifted_windows(call: Call) -> Any:
    """The call for versions 1 and 2 (scores of cosines), its sizes those of the example: pixels are padded to whole
    windows, shifted, projected, attended to within each window, projected and moved back.
    """
    given = call.arguments(call.node.target)  # type: ignore[arg-type]
    window: Pair = tuple(given["window_size"])
    _, height, width, _ = call.value(given["input"]).shape
    count: Pair = (-(-height // window[0]), -(-width // window[1]))
    shift: Pair = tuple(0 if n == 1 else s for n, s in zip(count, given["shift_size"], strict=True))  # type: ignore[assignment]
    x = call.proxy(given["input"])
    padding = (0, 0, 0, count[1] * window[1] - width, 0, count[0] * window[0] - height)
    x = F.pad(x, padding) if any(padding) else x
    x = torch.roll(x, shifts=(-shift[0], -shift[1]), dims=(1, 2)) if any(shift) else x
    x = _attended(call, given, _windows(x, window), _hidden(count, window, shift) if any(shift) else None)
    x = _pixels(x, count, window)
    x = torch.roll(x, shifts=shift, dims=(1, 2)) if any(shift) else x
    return x[:, :height, :width] if any(padding) else x


def _windows(x: Any, window: Pair) -> Any:
    """[images, height, width, channels] → [images, windows, pixels of a window, channels]."""
    x = x.unflatten(1, (-1, window[0])).unflatten(3, (-1, window[1]))
    return x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def _pixels(x: Any, count: Pair, window: Pair) -> Any:
    """The way back."""
    x = x.unflatten(1, count).unflatten(3, window)
    return x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def _attended(call: Call, given: dict[str, Any], x: Any, hidden: Tensor | None) -> Any:
    """[images, windows, pixels, channels] → the same: attention among the pixels of each window."""
    bias, logit_scale = call.proxy(given["qkv_bias"]), call.proxy(given["logit_scale"])
    if logit_scale is not None and bias is not None:
        bias = call.own(_without_keys, bias)
    qkv: Any = F.linear(x, call.proxy(given["qkv_weight"]), bias)
    qkv = qkv.unflatten(-1, (3, given["num_heads"], -1))
    query, key, value = (qkv.permute(3, 0, 1, 4, 2, 5)[part] for part in range(3))
    if logit_scale is None:
        size = call.value(given["input"]).shape[-1] // given["num_heads"]
        scores = call.own(scaled_product, query, key, size**-0.5)
    else:
        scale = torch.clamp(logit_scale, max=math.log(100.0)).exp()
        scores = call.own(scaled_product, F.normalize(query, dim=-1), F.normalize(key, dim=-1), scale)
    scores = scores + call.proxy(given["relative_position_bias"])
    probabilities = F.softmax(scores, dim=-1) if hidden is None else call.own(softmax_with, scores, hidden)
    context = (probabilities @ value).transpose(2, 3).flatten(-2)
    return F.linear(context, call.proxy(given["proj_weight"]), call.proxy(given["proj_bias"]))


def _without_keys(bias: Tensor) -> Tensor:
    """The bias of version 2: keys have none."""
    queries, keys, values = bias.chunk(3)
    return torch.cat([queries, torch.zeros_like(keys), values])


def _hidden(count: Pair, window: Pair, shift: Pair) -> Tensor:
    """[windows, 1, pixels, pixels]: what is added to the score of two pixels that the shift has brought together."""
    parts = []
    for windows, size, shifted in zip(count, window, shift, strict=True):
        place = torch.arange(windows * size)
        parts.append((place >= windows * size - size).long() + (place >= windows * size - shifted).long())
    region = _windows((3 * parts[0][:, None] + parts[1])[None, :, :, None], window)
    hidden: Tensor = (region != region.transpose(2, 3)).float().transpose(0, 1) * HIDDEN
    return hidden
