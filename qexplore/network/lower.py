"""From torch.fx nodes to operations that read one another by name and write into nobody's tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from qexplore.network.attention import rule_for
from qexplore.network.functional import functional_layer, weight_path
from qexplore.network.graph import Graph, Kind, Op, tighter
from qexplore.network.kinds import kind_of, name_of
from qexplore.network.products import multiplications
from qexplore.network.rewrite import Whole, rewrite


def lower(model: nn.Module, traced: fx.Graph, example: Tensor, opaque: dict[str, str]) -> Graph:
    """The operations of `traced`, each carried out once on `example` to learn its shape and what it returns.

    `model` is capture's own copy: its modules stop working in place.
    """
    done: dict[str, Op] = {}
    values: dict[str, Any] = {}
    alias: dict[str, str] = {}  # torch.fx's name → operation name
    constants: dict[str, Any] = {}  # torch.fx's name → a value that no image changes
    taken: set[str] = set()
    output = ""
    for node in traced.nodes:
        if node.op == "output":
            output = alias[node.args[0].name]
            continue
        read = {n.name: values[alias[n.name]] for n in node.all_input_nodes}
        reason = _take_apart(node, model, read)
        if reason is None:
            continue  # what was written in its place comes next
        op = _operation(node, model, alias, constants, opaque, taken)
        op = replace(op, reason=reason or op.reason)
        values[op.name], written = _evaluate(op, values, example)
        if written:
            op = replace(op, call=_on_copies(op))
            # Whoever reads the tensor from here on sees what was written into it, if that is what was returned.
            alias.update({n: op.name for n, name in alias.items() if written.get(name) is values[op.name]})
        if node.op != "placeholder" and all(n.name in constants for n in node.all_input_nodes):
            constants[node.name] = value = values[op.name]
            op = Op(op.name, "value", call=lambda value=value: value)
        op = _settle(op, values, done)
        if op.kind == "product":
            tensors = [value for value in read.values() if isinstance(value, Tensor)]
            op = replace(op, macs=multiplications(node, tensors, values[op.name]))
        done[op.name] = op
        alias[node.name] = op.name
    for module in model.modules():
        if hasattr(module, "inplace"):
            setattr(module, "inplace", False)  # noqa: B010
    return _merged_clamps(_without_dead(Graph(list(done.values()), output)))


def _take_apart(node: fx.Node, model: nn.Module, values: dict[str, Any]) -> str | None:
    """None where the call was taken apart, the reason where it should have been, else ""."""
    module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    rule = rule_for(node, module)
    if rule is None:
        return ""
    try:
        rewrite(rule, node, module, values)
    except Whole as why:
        return str(why)
    return None


def _operation(
    node: fx.Node,
    model: nn.Module,
    alias: dict[str, str],
    constants: dict[str, Any],
    opaque: dict[str, str],
    taken: set[str],
) -> Op:
    written = functional_layer(node, constants)
    name = _unique((weight_path(node) if written else "") or _name(node), taken)
    if node.op == "placeholder":
        return Op("input", "input")
    if node.op == "get_attr":
        return Op(name, "value", call=lambda: _attribute(model, str(node.target)))
    if written is not None:
        kind: Kind = "linear" if isinstance(written.layer, nn.Linear) else "conv"
        return Op(name, kind, (alias[written.source.name],), written.layer, written.layer)
    inputs = tuple(dict.fromkeys(alias[n.name] for n in node.all_input_nodes))
    call, module = _call(node, model, alias, inputs, whole=str(node.target) in opaque)
    kind, low, high, reason = kind_of(node, module, constants, opaque)
    return Op(name, kind, inputs, call, module, low, high, reason)


def _call(
    node: fx.Node, model: nn.Module, alias: dict[str, str], inputs: tuple[str, ...], whole: bool
) -> tuple[Callable[..., Any], nn.Module | None]:
    """The node as a function of the results of `inputs`, its constants filled in; `whole`: it was not traced."""
    module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    plain = not whole and not node.kwargs and len(node.args) == 1 and isinstance(node.args[0], fx.Node)
    if module is not None and plain:
        return module, module
    target: Any = node.target if module is None else module
    order = _plain_order if whole else lambda value: value
    if node.op == "call_method":
        target = _method(str(node.target))
    place = {n.name: inputs.index(alias[n.name]) for n in node.all_input_nodes}

    def call(*values: Any) -> Any:
        args = fx.node.map_arg(node.args, lambda n: order(values[place[n.name]]))
        kwargs = fx.node.map_arg(node.kwargs, lambda n: order(values[place[n.name]]))
        return target(*args, **kwargs)

    return call, module


def _method(name: str) -> Callable[..., Any]:
    """The method of that name, of whatever comes first."""

    def call(it: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(it, name)(*args, **kwargs)

    def view(it: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(_plain_order(it), name)(*args, **kwargs)

    return view if name in ("view", "view_as") else call


def _plain_order(value: Any) -> Any:
    """A tensor in the memory order that the user's views rely on; between operations images lie channels last."""
    return value.contiguous() if isinstance(value, Tensor) else value


def _evaluate(op: Op, values: dict[str, Any], example: Tensor) -> tuple[Any, dict[str, Tensor]]:
    """The result on the example, and those of the inputs, by name, that the operation has written into."""
    if op.kind == "input":
        return example.clone(), {}
    assert op.call is not None
    copies = {name: _copy(values[name]) for name in op.inputs}
    with torch.no_grad():
        result = op.call(*copies.values())
    return result, {n: copy for n, copy in copies.items() if isinstance(copy, Tensor) and copy._version > 0}


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _on_copies(op: Op) -> Callable[..., Any]:
    """The operation without its side effect on its inputs."""
    call = op.call
    assert call is not None
    if hasattr(call, "inplace"):
        return call  # lower() switches it off
    return lambda *values: call(*map(_copy, values))


def _settle(op: Op, values: dict[str, Any], done: dict[str, Op]) -> Op:
    """The operation with its shape, and with the kind that its result and its inputs show."""
    value = values[op.name]
    if op.kind == "value":
        return op
    real = [name for name in op.inputs if done[name].on_grid]
    if not isinstance(value, Tensor) or not value.is_floating_point():
        if op.kind == "input":
            return replace(op, shape=tuple(value.shape), reason="whole numbers")
        return replace(op, kind=_kind_without_site(op, value, bool(real)), shape=tuple(getattr(value, "shape", ())))
    op = replace(op, shape=tuple(value.shape))
    source = values[op.inputs[0]] if op.inputs else None
    same_shape = isinstance(source, Tensor) and source.shape == value.shape
    if op.kind == "clamp" and same_shape and op.inputs[0] in real:
        return replace(op, inputs=op.inputs[:1], call=None)  # its constants are the bounds; what remains is what flows
    if op.kind == "clamp" or (op.kind in ("add", "concat") and len(real) < max(2, len(op.inputs))):
        return replace(op, kind="function", lower=None, upper=None)
    off = op.kind in ("max-pool", "avg-pool", "reshape") and op.inputs[0] not in real
    if off or (op.kind == "product" and not real):
        return replace(op, kind="function")  # the tensor itself lies on no grid that it could share
    if op.kind == "function" and len(op.inputs) == 1 and not op.reason and same_shape and _does_nothing(op, source):
        return replace(op, kind="reshape")  # in eval mode (stochastic depth, say)
    return op


def _kind_without_site(op: Op, value: Any, real: bool) -> Kind:
    """The kind of an operation whose result is not one tensor of real numbers."""
    if op.kind == "reshape" and real and isinstance(value, tuple | list):
        return "reshape"  # pieces of a tensor on its grid
    return "value" if _is_shape(value) else "no-grid"


def _is_shape(value: Any) -> bool:
    """Whether the value tells of sizes and types alone, so that the unit of what it was read from does not matter."""
    if isinstance(value, tuple | list):
        return all(map(_is_shape, value))
    return value is None or isinstance(value, int | str | torch.dtype | torch.device | torch.layout | slice)


def _does_nothing(op: Op, example: Any) -> bool:
    """Whether the operation hands its input on: the example, and numbers of every size and both signs."""
    assert op.call is not None
    numbers = torch.linspace(-30.0, 30.0, example.numel()).sinh().reshape(example.shape).to(example.dtype)
    with torch.no_grad():
        return all(torch.equal(op.call(x.clone()), x) for x in (example, numbers))


def _merged_clamps(graph: Graph) -> Graph:
    """The graph with each clamp that only another clamp reads merged into that one (min(relu(x), bound), say)."""
    for op in list(graph.ops):
        before = graph.by_name[op.inputs[0]] if op.kind == "clamp" else None
        if before is not None and before.kind == "clamp" and graph.only_reader(before.name) is not None:
            lower = max((b for b in (before.lower, op.lower) if b is not None), default=None)
            upper = tighter(before.upper, op.upper)
            if lower is not None and upper is not None and bool(torch.any(torch.as_tensor(upper) < lower)):
                continue  # of two that leave one value alone the later one's bound counts
            graph.replace([replace(op, lower=lower, upper=upper)])
            graph.remove(before.name)
    return graph


def _without_dead(graph: Graph) -> Graph:
    """The graph without operations that nothing reads."""
    needed = {graph.output}
    for op in reversed(graph.ops):
        if op.name in needed:
            needed.update(op.inputs)
    return Graph([op for op in graph.ops if op.name in needed or op.kind == "input"], graph.output)


def _name(node: fx.Node) -> str:
    """Path of the module, or the module in which a function is called and the function's name."""
    if node.op in ("call_module", "get_attr"):
        return str(node.target)
    scope = list((node.meta.get("nn_module_stack") or {}).values())
    path = scope[-1][0] if scope else ""
    return f"{path}.{name_of(node)}".lstrip(".")


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}#{number}"
    taken.add(found)
    return found


def _attribute(model: nn.Module, path: str) -> Tensor:
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value  # type: ignore[no-any-return]
