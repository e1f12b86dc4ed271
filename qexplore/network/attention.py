"""Attention taken apart: projections are layers, products and the softmax have sites (project's own choice).

The graph that is written equals the call, so that the rules of placement find the projections' weights, queries, keys
and values, the scores before the softmax, the probabilities after it, and the context.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from qexplore.network.products import scaled_product, softmax_where, softmax_with
from qexplore.network.rewrite import Call, Rule, Whole
from qexplore.network.windows import shifted_windows

WINDOWS = "torchvision.models.swin_transformer.shifted_window_attention"  # wrapped there, so that torch.fx keeps it


def rule_for(node: fx.Node, module: nn.Module | None) -> Rule | None:
    """How the call can be taken apart; None where it is no attention."""
    if type(module) is nn.MultiheadAttention:
        return multi_head
    if node.target is F.scaled_dot_product_attention:
        return scaled_dot_product
    target = node.target
    path = f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', '')}"
    return shifted_windows if node.op == "call_function" and path == WINDOWS else None


def multi_head(call: Call) -> tuple[Any, Any]:
    """torch.nn.MultiheadAttention in eval mode: (output, mean probabilities over the heads).

    Raises Whole for padding masks, masks that differ from head to head, added keys, and hooks.
    """
    module: Any = call.module
    given = call.arguments(module.forward)
    _refuse_multi_head(call, module, given)
    tokens = [call.proxy(given[name]) for name in ("query", "key", "value")]
    turned = not module.batch_first and call.value(given["query"]).dim() == 3  # [tokens, images, …]
    same = given["query"] is given["key"] is given["value"] and module.in_proj_weight is not None
    if turned:
        tokens = [tokens[0].transpose(0, 1)] * 3 if same else [each.transpose(0, 1) for each in tokens]
    query, key, value = _projected(call, module, tokens, same=same)
    heads = [each.unflatten(-1, (module.num_heads, -1)).transpose(-3, -2) for each in (query, key, value)]
    scores = call.own(scaled_product, heads[0], heads[1], module.head_dim**-0.5)
    mask = call.value(given["attn_mask"])
    hidden = isinstance(mask, Tensor) and mask.dtype == torch.bool
    entries = call.proxy(given["attn_mask"])
    probabilities = _probabilities(call, scores, mask, ~entries if hidden else entries)
    context = (probabilities @ heads[2]).transpose(-3, -2).flatten(-2)
    output = F.linear(context, call.attribute("out_proj.weight"), call.attribute("out_proj.bias"))
    shares = probabilities.mean(-3) if given["average_attn_weights"] else probabilities
    return output.transpose(0, 1) if turned else output, shares


def scaled_dot_product(call: Call) -> Any:
    """torch's scaled_dot_product_attention without dropout. Raises Whole for grouped queries."""
    given = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale"), call.node.args))
    given |= dict(call.node.kwargs)
    if given.get("enable_gqa") or given.get("dropout_p"):
        raise Whole("grouped queries or dropout inside scaled_dot_product_attention")
    query, key, value = (call.proxy(given[name]) for name in ("query", "key", "value"))
    entries = call.proxy(given.get("attn_mask"))
    shape, keys = call.value(given["query"]).shape, call.value(given["key"]).shape[-2]
    if given.get("is_causal"):
        entries = mask = torch.ones(shape[-2], keys, dtype=torch.bool).tril()
    else:
        mask = call.value(given.get("attn_mask"))
    scale = given.get("scale")
    scores = call.own(scaled_product, query, key, shape[-1] ** -0.5 if scale is None else call.proxy(scale))
    return _probabilities(call, scores, mask, entries) @ value


def _probabilities(call: Call, scores: Any, mask: Tensor | None, entries: Any) -> Any:
    """The softmax over keys; entries: the mask as it stands in the graph, bool where a key is seen."""
    if mask is None:
        return F.softmax(scores, dim=-1)
    return call.own(softmax_where if mask.dtype == torch.bool else softmax_with, scores, entries)


def _projected(call: Call, module: Any, tokens: list[Any], *, same: bool) -> list[Any]:
    """Queries, keys and values: the thirds of one projection where all come from the same tokens."""
    bias = call.attribute("in_proj_bias")
    if same:
        together = F.linear(tokens[0], call.attribute("in_proj_weight"), bias).chunk(3, -1)
        return [together[part] for part in range(3)]
    size = module.embed_dim
    thirds = [slice(part * size, (part + 1) * size) for part in range(3)]
    if module.in_proj_weight is None:
        weights = [call.attribute(f"{name}_proj_weight") for name in "qkv"]
    else:
        weights = [call.attribute("in_proj_weight")[third] for third in thirds]
    biases = [None if bias is None else bias[third] for third in thirds]
    return [F.linear(*each) for each in zip(tokens, weights, biases, strict=True)]


def _refuse_multi_head(call: Call, module: Any, given: dict[str, Any]) -> None:
    mask = call.value(given["attn_mask"])
    reasons = {
        "a padding mask": given["key_padding_mask"] is not None,
        "a mask for each head": isinstance(mask, Tensor) and mask.dim() > 2,
        "added keys": module.bias_k is not None or module.add_zero_attn,
        "hooks": bool(module._forward_hooks or module._forward_pre_hooks),
    }
    for reason, found in reasons.items():
        if found:
            raise Whole(f"attention with {reason} is not taken apart")
