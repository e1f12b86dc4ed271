"""Calls that torch.fx keeps whole, taken apart in the captured graph: the mechanism, for rules of decomposition."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.proxy import GraphAppendingTracer


class Whole(Exception):
    """Why a call stays whole."""


@dataclass(frozen=True)
class Call:
    """A call in a traced graph, and the means to write others in its place.

    module: what is called, where it is a module; values: torch.fx's name → the result on the example, of every node
    that is read; attributes of proxies are written into the graph as they are taken.
    """

    node: fx.Node
    module: nn.Module | None
    values: Mapping[str, Any]
    tracer: GraphAppendingTracer

    def arguments(self, signature: Callable[..., Any]) -> dict[str, Any]:
        """The arguments by name, those left out with their defaults."""
        bound = inspect.signature(signature).bind(*self.node.args, **self.node.kwargs)
        bound.apply_defaults()
        return bound.arguments

    def proxy(self, argument: Any) -> Any:
        """The argument so that torch's functions on it are written into the graph; a constant as it is."""
        return fx.Proxy(argument, self.tracer) if isinstance(argument, fx.Node) else argument

    def value(self, argument: Any) -> Any:
        """What the argument is on the example."""
        return self.values[argument.name] if isinstance(argument, fx.Node) else argument

    def attribute(self, name: str) -> Any:
        """A parameter of the module by its name in the user's code; None where it is None."""
        owner: Any = self.module
        for part in name.split("."):
            owner = getattr(owner, part)
        return None if owner is None else self.tracer.create_proxy("get_attr", f"{self.node.target}.{name}", (), {})

    def own(self, function: Callable[..., Tensor], *arguments: Any) -> Any:
        """A call of `function` as one operation."""
        return self.tracer.create_proxy("call_function", function, arguments, {})


Rule = Callable[[Call], Any]


def rewrite(rule: Rule, node: fx.Node, module: nn.Module | None, values: Mapping[str, Any]) -> None:
    """Writes what `rule` gives for the call `node` right after it; whoever read the node reads that.

    Raises Whole where the rule does not take the call; the graph then computes what it did.
    """
    last, following = node, node.next
    with node.graph.inserting_before(following):
        result = rule(Call(node, module, values, GraphAppendingTracer(node.graph)))
    while (last := last.next) is not following:
        last.meta["nn_module_stack"] = node.meta.get("nn_module_stack") or {}
    if isinstance(result, fx.Proxy):
        node.replace_all_uses_with(result.node)
        return
    parts = {user: user.args[1] for user in node.users if user.target is operator.getitem}
    if len(parts) < len(node.users) or not all(isinstance(part, int) for part in parts.values()):
        raise Whole("what it returns is handed on as a whole")
    for user, part in parts.items():
        user.replace_all_uses_with(result[part].node)
        node.graph.erase_node(user)
