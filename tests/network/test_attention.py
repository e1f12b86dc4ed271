"""Attention is taken apart: the results stay the same; projections, scores and probabilities have sites."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qexplore.network import Network
from tests.network.reference import assert_equals_fake_quantization, calibrated


class Around(nn.Module):
    """Linear layers before and after what `inside` does with tokens [images, 7, 8] and the module's own parts."""

    def __init__(self, inside: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.inside, self.first, self.head = inside, nn.Linear(8, 8), nn.Linear(8, 5)
        for name, part in parts.items():
            self.register_buffer(name, part) if isinstance(part, Tensor) else setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inside(self, F.relu(self.first(x))).flatten(1, 1).mean(1))


def heads(**settings: Any) -> nn.MultiheadAttention:
    made = nn.MultiheadAttention(8, 2, **{"batch_first": True, **settings})
    for bias in (made.in_proj_bias, made.out_proj.bias):
        if bias is not None:
            nn.init.normal_(bias)
    return made


def turned(self: Any, x: Tensor) -> Tensor:
    x = x.transpose(0, 1)
    return self.attention(x, x, x, need_weights=False)[0].transpose(0, 1)


def crossed(self: Any, x: Tensor) -> Tensor:
    return self.attention(x, self.other(x), x)[0]


def narrow(self: Any, x: Tensor) -> Tensor:
    return self.attention(x, x[..., :4], x[..., :6])[0]


def read_shares(self: Any, x: Tensor) -> Tensor:
    context, shares = self.attention(x, x, x)
    return context + shares @ x


def dot(self: Any, x: Tensor, **settings: Any) -> Tensor:
    q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, **settings).transpose(1, 2).flatten(2)


hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
added = torch.randn(7, 7, generator=torch.Generator().manual_seed(0)).masked_fill(hidden, -math.inf)
plain = lambda self, x: self.attention(x, x, x, need_weights=False)[0]  # noqa: E731
masked = lambda self, x: self.attention(x, x, x, attn_mask=self.mask)[0]  # noqa: E731

# Module → weight sites of the attention, products of activations.
TAKEN_APART: dict[str, tuple[Callable[[], nn.Module], set[str], int]] = {
    "self": (lambda: Around(plain, attention=heads()), {"attention.in_proj", "attention.out_proj"}, 2),
    "no bias": (lambda: Around(plain, attention=heads(bias=False)), {"attention.in_proj", "attention.out_proj"}, 2),
    "tokens first": (
        lambda: Around(turned, attention=heads(batch_first=False)),
        {"attention.in_proj", "attention.out_proj"},
        2,
    ),
    "cross": (
        lambda: Around(crossed, attention=heads(), other=nn.Linear(8, 8)),
        {"other", "attention.linear", "attention.linear#2", "attention.linear#3", "attention.out_proj"},
        2,
    ),
    "keys of another size": (
        lambda: Around(narrow, attention=heads(kdim=4, vdim=6)),
        {"attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"},
        2,
    ),
    "shares are read": (lambda: Around(read_shares, attention=heads()), {"attention.in_proj", "attention.out_proj"}, 3),
    "hidden keys": (
        lambda: Around(masked, attention=heads(), mask=hidden),
        {"attention.in_proj", "attention.out_proj"},
        2,
    ),
    "a mask that is added": (
        lambda: Around(masked, attention=heads(), mask=added),
        {"attention.in_proj", "attention.out_proj"},
        2,
    ),
    "dot product": (lambda: Around(dot, qkv=nn.Linear(8, 24)), {"qkv"}, 2),
    "causal": (lambda: Around(lambda s, x: dot(s, x, is_causal=True), qkv=nn.Linear(8, 24)), {"qkv"}, 2),
    "seen keys and a scale": (
        lambda: Around(lambda s, x: dot(s, x, attn_mask=~s.mask, scale=0.3), qkv=nn.Linear(8, 24), mask=hidden),
        {"qkv"},
        2,
    ),
}


@pytest.mark.parametrize("name", TAKEN_APART)
def test_attention_gives_what_the_model_gives_and_its_parts_are_sites(name: str) -> None:
    torch.manual_seed(1)
    build, weights, products = TAKEN_APART[name]
    model, x = build().eval(), torch.randn(3, 7, 8)
    network = calibrated(model, x)
    assert network.opaque == []
    assert network.layers.keys() - {"first", "head"} == weights
    assert sum(op.kind == "product" for op in network.graph.ops) == products
    with torch.no_grad():
        assert torch.allclose(network.real_plan()(x), model(x), atol=1e-5)
    assert_equals_fake_quantization(network, x)


def test_each_part_of_attention_has_the_site_that_the_rules_of_placement_name() -> None:
    network = Network.of(Around(plain, attention=heads()).eval(), torch.randn(1, 7, 8))
    inside = [(site.name.removeprefix("attention."), site.shape) for site in network.sites if "attention" in site.name]
    assert inside == [
        ("in_proj.weight", (24, 8)),
        ("in_proj.out", (7, 24)),
        ("scaled_product.out", (2, 7, 7)),
        ("softmax.out", (2, 7, 7)),
        ("matmul.out", (2, 7, 4)),
        ("out_proj.weight", (8, 8)),
        ("out_proj.out", (7, 8)),
    ]


def test_the_multiplications_of_a_product_count_at_the_activations_that_it_reads() -> None:
    network = Network.of(Around(plain, attention=heads()).eval(), torch.randn(1, 7, 8))
    each = 2 * 7 * 7 * 4  # heads × queries × keys × size, for the scores as for the context
    assert [op.macs for op in network.graph.ops if op.kind == "product"] == [each, each]
    assert network.site("attention.in_proj.out").macs == 2 * each
    assert network.site("attention.softmax.out").macs == each


@pytest.mark.parametrize(
    ("equation", "macs"),
    [("bik,bjk->bij", 392), ("bik, bjk -> bij", 392), ("...ik,...jk->...ij", 392), ("bik,bik->bk", 56)],
)
def test_the_multiplications_of_an_einsum_follow_from_its_letters(equation: str, macs: int) -> None:
    def inside(self: Any, x: Tensor) -> Tensor:
        y = torch.einsum(equation, x, self.other(x))
        return x + y.flatten(1).mean(1)[:, None, None]

    network = Network.of(Around(inside, other=nn.Linear(8, 8)).eval(), torch.randn(1, 7, 8))
    assert [op.macs for op in network.graph.ops if op.kind == "product"] == [macs]


def test_an_einsum_of_one_operand_multiplies_nothing() -> None:
    network = Network.of(
        Around(lambda s, x: torch.einsum("nij->nji", x).transpose(1, 2) + x).eval(), torch.randn(1, 7, 8)
    )
    assert all(op.macs == 0 for op in network.graph.ops)


STAYS_WHOLE: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "added keys": (lambda: Around(plain, attention=heads(add_bias_kv=True)), "added keys"),
    "a mask for each head": (
        lambda: Around(
            lambda s, x: s.attention(x, x, x, attn_mask=x[:, :1, :1].repeat(2, 7, 7))[0],
            attention=heads(),
        ),
        "a mask for each head",
    ),
    "padding": (
        lambda: Around(
            lambda s, x: s.attention(x, x, x, key_padding_mask=x[..., 0] > 1e9)[0],
            attention=heads(),
        ),
        "a padding mask",
    ),
}


@pytest.mark.parametrize("name", STAYS_WHOLE)
def test_attention_that_is_not_taken_apart_is_listed_with_the_reason(name: str) -> None:
    build, what = STAYS_WHOLE[name]
    model, x = build().eval(), torch.randn(2, 7, 8)
    network = calibrated(model, x)
    assert network.opaque == [("attention", f"attention with {what} is not taken apart")]
    assert any(site.name.startswith("getitem") for site in network.sites)  # what it returns is quantized


def test_a_hook_on_attention_is_heeded() -> None:
    model = Around(plain, attention=heads()).eval()
    model.attention.register_forward_hook(lambda module, args, output: (output[0] * 2, None))
    network, x = Network.of(model, torch.randn(1, 7, 8)), torch.randn(3, 7, 8)
    assert network.opaque == [("attention", "attention with hooks is not taken apart")]
    with torch.no_grad():
        assert torch.allclose(network(x), model(x), atol=1e-5)
