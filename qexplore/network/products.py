"""Products of two activations, and the steps of attention that stay whole: each is one operation with one result."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx


def scaled_product(query: Tensor, key: Tensor, scale: float | Tensor) -> Tensor:
    """Scores of attention [.., queries, keys]: a multiplier that does not hang on the image goes into the
    requantization of the product, so that the scores are one site.
    """
    return (query @ key.transpose(-2, -1)) * scale


def softmax_with(scores: Tensor, added: Tensor) -> Tensor:
    """Probabilities over keys; `added` (0, or very negative where a key is hidden) never lies on a grid, which it would
    stretch.
    """
    return (scores + added).softmax(dim=-1)


def softmax_where(scores: Tensor, seen: Tensor) -> Tensor:
    """Probabilities over the keys that are `seen` (bool)."""
    return scores.masked_fill(~seen, -math.inf).softmax(dim=-1)


def multiplications(node: fx.Node, operands: Sequence[Tensor], result: Tensor) -> int:
    """Multiply-accumulates of the product of two activations: for each number of the result the length of its sum."""
    if node.target is not torch.einsum:
        return result.numel() * operands[0].shape[-1]
    terms, _, kept = str(node.args[0]).replace(" ", "").partition("->")
    if "," not in terms:
        return 0  # it only moves numbers, or adds them up
    sizes = {
        letter: size
        for term, operand in zip(terms.split(","), operands)
        for letter, size in zip(reversed(term), reversed(operand.shape))
    }
    kept = kept or "".join(letter for letter in sizes if terms.count(letter) == 1)
    return result.numel() * math.prod(size for letter, size in sizes.items() if letter.isalpha() and letter not in kept)
