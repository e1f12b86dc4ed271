"""Any model that torch.fx can follow is captured; what cannot be is named, and nothing of the user's is touched."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import qexplore as qx
from qexplore.network import CaptureError, Network
from qexplore.network.kinds import OF_THE_BATCH
from tests.network.nets import NETS, Branches, built
from tests.network.reference import assert_equals_fake_quantization, calibrated


def module(forward: Callable[..., Any], **children: Any) -> nn.Module:
    """A module with that forward, its children and, where they are tensors, its buffers."""
    made = type("Model", (nn.Module,), {"forward": forward})()
    for name, child in children.items():
        made.register_buffer(name, child) if isinstance(child, Tensor) else setattr(made, name, child)
    return made.eval()


# --- the user's things stay the user's -------------------------------------------------------------------------------


def snapshot(model: nn.Module) -> list[object]:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return [
        [(k, v.data_ptr(), v._version, v.dtype, v.requires_grad) for k, v in model.state_dict(keep_vars=True).items()],
        [
            (n, m.training, id(m), [dict(getattr(m, h)) for h in hooks], sorted(vars(m)))
            for n, m in model.named_modules()
        ],
        [getattr(m, "inplace", None) for m in model.modules()],
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "name", ["iadd", "silu-inplace", "opaque-inside", "batch-norm-alone", "memory", "add-relu6-inplace"]
)
def test_the_model_is_left_as_it_was(name: str, training: bool) -> None:
    model, x = built(name)
    model.train(training).requires_grad_()
    model.register_forward_hook(lambda *_: None)
    before, values = snapshot(model), copy.deepcopy(model.state_dict())
    calibrated(model, x)(x)
    assert snapshot(model) == before
    assert all(torch.equal(v, values[k]) for k, v in model.state_dict().items())


def test_a_model_left_in_training_mode_is_captured_as_it_evaluates() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.first(x) if self.training else self.norm(F.dropout(self.first(x), 0.5, self.training))

    model = module(forward, first=nn.Linear(4, 4), norm=nn.BatchNorm1d(4)).train()
    network, x = Network.of(model, torch.randn(1, 4)), torch.randn(3, 4)
    assert model.training
    assert "norm" in network.graph.by_name
    with torch.no_grad():
        assert torch.allclose(network(x), model.eval()(x), atol=1e-6)


def test_the_random_state_is_left_as_it_was() -> None:
    model, x = built("dropout")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    Network.of(model, x[:1])
    assert torch.equal(torch.rand(3), expected)


# --- what cannot be quantized is named ------------------------------------------------------------------------------

OPAQUE = {
    "memory": ("lstm", "no quantizer for the weights of LSTM"),
    "transposed": ("second", "no quantizer for the weights of ConvTranspose2d"),
    "opaque-inside": (
        "middle",
        "not traceable: symbolically traced variables cannot be used as inputs to control flow",
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_a_layer_is_quantized_or_listed_with_the_reason(name: str) -> None:
    model, x = built(name)
    network = Network.of(model, x[:1])
    assert [(n, r) for n, r in network.opaque] == ([OPAQUE[name]] if name in OPAQUE else [])
    quantized = {id(layer.module.weight) for layer in network.layers.values()}
    matrices = sum(p.dim() > 1 for m, p in model.named_parameters() if not m.startswith(("lstm", "middle")))
    assert len(quantized) == matrices - (name == "transposed")


def test_an_opaque_leaf_has_sites_at_its_borders_and_all_around_it_is_quantized() -> None:
    model, x = built("opaque-inside")
    network = calibrated(model, x)
    assert [site.name for site in network.sites] == [
        *("input", "stem.weight", "stem.out", "middle.out", "second.weight", "second.out", "head.weight", "head.out")
    ]
    assert network.site("second.weight").source == "middle.out"


def test_the_smallest_module_that_cannot_be_traced_becomes_opaque() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner = nn.Conv2d(3, 8, 1), Branches()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(self.first(x))

    class Long(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([row * len(row) for row in x])

    model = nn.Sequential(Counted(), nn.ReLU(), Long(), nn.Flatten(), nn.Linear(8 * 16, 3)).eval()
    network = Network.of(model, torch.randn(1, 3, 4, 4))
    assert [name for name, _ in network.opaque] == ["0.inner", "2"]
    assert sorted(network.layers) == ["0.first", "4"]


def test_embeddings_run_and_their_whole_numbers_are_on_no_grid() -> None:
    model = nn.Sequential(nn.Embedding(11, 6), nn.Flatten(), nn.Linear(24, 3)).eval()
    words = torch.randint(0, 11, (7, 4))
    network = calibrated(model, words)
    assert network.opaque == [("input", "whole numbers"), ("0", "no quantizer for the weights of Embedding")]
    assert [site.name for site in network.sites] == ["0.out", "2.weight", "2.out"]
    with torch.no_grad():
        assert torch.allclose(network(words), model(words), atol=0.1)


def test_what_torch_has_quantized_already_is_told() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(18, 3)).eval()
    with warnings.catch_warnings(action="ignore"):
        model = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    network = Network.of(model, torch.randn(1, 1, 5, 5))
    assert network.opaque == [("2", "Linear of torch.ao: its weights are packed or quantized")]


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_what_wraps_a_module_for_speed_is_taken_off(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model, x = built("add-relu")
    network = Network.of(nn.DataParallel(wrap(model)), x[:1])
    assert network.opaque == []
    assert [site.name for site in network.sites] == [site.name for site in Network.of(model, x[:1]).sites]


def test_a_clamp_above_another_leaves_its_own_bound() -> None:
    model = module(lambda self, x: self.first(x).clamp(max=0.2).clamp(min=0.3) + x, first=nn.Linear(4, 4))
    x = torch.randn(5, 4)
    assert torch.allclose(Network.of(model, x[:1]).real_plan()(x), model(x))


def test_a_constant_that_is_added_or_multiplied_is_no_opaque_weight() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.first(x * self.scale + self.shift[None])

    model = module(forward, first=nn.Linear(4, 4), scale=torch.rand(4), shift=torch.rand(3, 4))
    x = torch.randn(5, 3, 4)
    network = calibrated(model, x)
    assert network.opaque == []
    assert [s.name for s in network.sites] == ["input", "mul.out", "add.out", "first.weight", "first.out"]
    assert_equals_fake_quantization(network, x)


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: F.linear(x.mean((2, 3)), self.weight, x.mean((0, 1, 2, 3)).expand(5)),
        lambda self, x: F.conv2d(x, self.kernel, None, 1, (x.shape[2] // 6, 1)).mean((2, 3)),
        lambda self, x: F.conv2d(x, self.kernel, None, 1, x.shape[2] // 6).mean((2, 3)),
    ],
    ids=["a bias from the images", "a padding from a length", "all of the padding"],
)
def test_a_call_whose_bias_or_padding_the_images_give_is_opaque(forward: Callable[..., Any]) -> None:
    model = module(forward, weight=torch.rand(5, 3), kernel=torch.rand(5, 3, 3, 3))
    x = torch.randn(1, 3, 6, 6)
    network = Network.of(model, x)
    assert torch.allclose(network.real_plan()(x), model(x))
    assert [reason for _, reason in network.opaque] == ["functional call: its weights are not seen"]


def test_what_no_image_changes_is_computed_once() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.first(x) + (self.table[self.index] * 2).sum(0)

    model = module(forward, first=nn.Linear(4, 4), table=torch.rand(9, 4), index=torch.tensor([1, 3]))
    network = Network.of(model, torch.randn(1, 4))
    assert [op.kind for op in network.graph.ops].count("value") == 1


def test_a_module_made_in_forward_is_traced_through() -> None:
    model = module(lambda self, x: nn.Softmax(dim=1)(nn.ReLU()(self.first(x))), first=nn.Linear(4, 3))
    network = Network.of(model, torch.randn(1, 4))
    assert [(op.name, op.kind) for op in network.graph.ops][1:3] == [("first", "linear"), ("relu", "clamp")]


def test_a_function_that_happens_to_do_nothing_on_the_example_is_still_a_function() -> None:
    model = module(lambda self, x: self.first(F.elu(x)), first=nn.Linear(4, 3))
    network = Network.of(model, torch.rand(1, 4))
    assert "elu.out" in [site.name for site in network.sites]


# --- inputs and types -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_float_type_are_taken_as_float32(dtype: torch.dtype) -> None:
    model, x = built("add-relu")
    expected = Network.of(model, x[:1])(x)
    network = calibrated(model.to(dtype), x.to(dtype))
    assert all(layer.weight.dtype == torch.float32 for layer in network.layers.values())
    assert next(model.parameters()).dtype == dtype
    assert torch.allclose(network(x.to(dtype)), expected, atol=0.2)


def test_further_inputs_keep_the_defaults_of_the_code() -> None:
    def forward(
        self: Any, x: Tensor, mask: Tensor | None = None, scale: float = 2.0, *rest: int, **more: int
    ) -> Tensor:
        return self.first(x if mask is None else x * mask) * scale

    network = Network.of(module(forward, first=nn.Linear(4, 3)), torch.randn(1, 4))
    assert [op.name for op in network.graph.ops] == ["input", "first", "mul"]


def test_pruned_and_parametrized_layers_are_captured_with_their_present_weights() -> None:
    pruned, normed = nn.Linear(6, 5), parametrizations.weight_norm(nn.Linear(5, 3))
    prune.l1_unstructured(pruned, "weight", 0.5)
    model = nn.Sequential(pruned, nn.ReLU(), normed).eval()
    model(torch.randn(2, 6))
    network, x = Network.of(model, torch.randn(1, 6)), torch.randn(4, 6)
    with torch.no_grad():
        assert torch.allclose(network(x), model(x), atol=1e-6)
    assert int((network.layers["0"].weight == 0).sum()) == 15


def test_a_layer_of_the_users_own_making_is_not_taken_for_torchs() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, 2 * self.weight, self.bias)

    model, x = nn.Sequential(Doubled(4, 3)).eval(), torch.randn(5, 4)
    network = Network.of(model, x[:1])
    assert network.opaque == []
    assert torch.equal(network.layers["0.linear"].weight, 2 * model[0].weight)
    with torch.no_grad():
        assert torch.allclose(network(x), model(x), atol=1e-6)


def test_lazy_layers_and_masks_with_infinity_are_sound() -> None:
    mask = torch.zeros(3)
    mask[1] = -torch.inf
    model = module(lambda self, x: torch.softmax(self.first(x) + self.mask, 1), first=nn.LazyLinear(3), mask=mask)
    with warnings.catch_warnings(action="ignore"):
        network = Network.of(model, torch.randn(1, 4))
    assert network.layers["first"].weight.shape == (3, 4)


# --- one sentence each ----------------------------------------------------------------------------------------------


def _second_branch(self: Any, x: Tensor) -> Tensor:
    return self.first(x) if bool(x.sum() > 1e9) else self.first(x * 2)


def _kept(self: Any, x: Tensor) -> Tensor:
    y = self.first(x)
    seen = y
    y += x
    return y * seen


def _nan(self: Any, x: Tensor) -> Tensor:
    return self.first(x) / 0 * 0


linear = nn.Linear(4, 4)
REFUSED: dict[str, tuple[nn.Module, str]] = {
    "branch": (
        module(_second_branch, first=linear),
        "cannot be traced .*control flow.*: move what torch.fx cannot follow .* into a submodule",
    ),
    "length": (module(lambda self, x: self.first(x) * len(x), first=linear), "cannot be traced .*len.*: move"),
    "loop": (
        module(lambda self, x: torch.stack([self.first(r) for r in x]), first=linear),
        "cannot be traced .*iterat",
    ),
    "tuple": (
        module(lambda self, x: (self.first(x), x), first=linear),
        r"returns a tuple of 2, not one tensor of logits: wrap it .* returns one of them, such as model\(x\)\[0\]",
    ),
    "dict": (
        module(lambda self, x: {"out": self.first(x), "aux": x}, first=linear),
        r"returns a dict with the keys 'out', 'aux', not one tensor of logits: wrap it .* model\(x\)\['out'\]",
    ),
    "nothing": (module(lambda self, x: None, first=linear), "returns nothing, not one tensor of logits: wrap it"),
    "two inputs": (
        module(lambda self, x, y: self.first(x) + y, first=linear),
        r"needs 2 inputs \(x, y\) and is given one: wrap it in a module whose forward takes the images alone",
    ),
    "batch of 1": (
        module(lambda self, x: self.first(x.view(1, -1, 2).view(1, 4)), first=linear),
        r"does not run on a batch of 2 as it does on one image .*: write shapes with -1",
    ),
    "chance": (module(lambda self, x: F.dropout(self.first(x)), first=linear), "disagree .* or on chance"),
    "in place": (module(_kept, first=linear), r"disagree .* in place \(as by \+=\) and read again"),
    "nan logits": (module(_nan, first=linear), "returns NaN on its example"),
    "shape": (nn.Linear(7, 3), r"does not run on its example of shape \(1, 4\)"),
    "frozen norm": (
        nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        "does not run on its example.*more than 1 value",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_captured_is_refused_in_one_sentence(name: str) -> None:
    model, sentence = REFUSED[name]
    with pytest.raises(CaptureError, match=sentence) as caught:
        Network.of(model.eval(), torch.randn(1, 4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(value: float) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model[0].weight.data[1, 1] = value
    with pytest.raises(CaptureError, match=r"NaN|'0\.weight'"):
        Network.of(model, torch.randn(1, 4))
    quiet = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    quiet[1].running_mean[2] = torch.nan
    with pytest.raises(CaptureError, match=r"NaN"):
        Network.of(quiet, torch.randn(1, 4))


def test_a_hook_that_changes_a_result_is_not_lost_in_silence() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    model[0].register_forward_hook(lambda module, args, output: output + 5)
    with pytest.raises(CaptureError, match="a hook changes a result"):
        Network.of(model, torch.randn(1, 4))


def test_an_example_without_images_is_refused_and_of_more_than_one_the_first_is_used() -> None:
    with pytest.raises(CaptureError, match=r"shape \(0, 4\): give one input"):
        Network.of(nn.Linear(4, 4), torch.randn(0, 4))
    network = Network.of(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.randn(5, 1, 8, 8))
    assert network.site("0.out").numel == 72


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    model.lock = __import__("threading").Lock()
    with pytest.raises(CaptureError, match="cannot be copied"):
        Network.of(model, torch.randn(1, 4))


def test_a_batch_norm_without_statistics_is_computed_from_the_batch_as_the_model_does() -> None:
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model, x = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten()).eval(), torch.randn(6, 1, 5, 5)
    network = Network.of(model, x[:1])
    with torch.no_grad():
        assert torch.allclose(network(x), model(x), atol=1e-5)
    assert "1.out" in [site.name for site in network.sites]
    assert network.opaque == [("1", OF_THE_BATCH)]


def test_statistics_of_the_batch_are_named_where_they_are_taken_by_a_call() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = F.batch_norm(self.first(x), None, None, training=True)
        return F.batch_norm(x, self.mean, self.var)

    model = module(forward, first=nn.Conv2d(1, 4, 3), mean=torch.zeros(4), var=torch.ones(4))
    network, x = Network.of(model, torch.randn(1, 1, 5, 5)), torch.randn(6, 1, 5, 5)
    assert network.opaque == [("batch_norm", OF_THE_BATCH)]
    with torch.no_grad():
        assert torch.allclose(network(x), model(x), atol=1e-5)


@pytest.mark.parametrize(("takes", "have"), [(3, 1), (1, 3)])
def test_images_with_other_channels_than_the_network_takes_are_named(takes: int, have: int) -> None:
    model = nn.Sequential(nn.Conv2d(takes, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(
        CaptureError, match=rf"takes {takes} channels?, the images have {have}: give images with {takes}"
    ):
        Network.of(model, torch.randn(1, have, 8, 8))


def test_arguments_that_torch_fx_cannot_pass_make_the_caller_opaque_and_do_not_loop_for_ever() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Branches()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner.forward(x) if isinstance(x, fx_proxy) else self.inner(x)

    fx_proxy = torch.fx.Proxy
    model = nn.Sequential(nn.Conv2d(1, 8, 1), Odd(), nn.Flatten()).eval()
    assert [name for name, _ in Network.of(model, torch.randn(1, 1, 4, 4)).opaque] == ["1"]

    class Unpassable(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner((x, object()))[0]

    model = nn.Sequential(nn.Linear(4, 4), Unpassable())
    assert [name for name, _ in Network.of(model, torch.randn(1, 4)).opaque] == ["1"]


def test_a_task_is_refused_in_the_same_words() -> None:
    part = (torch.randn(4, 4), torch.randint(0, 4, (4,)))
    task = qx.Task(model=module(_second_branch, first=linear), data=qx.Data(calibration=part, evaluation=part))
    with pytest.raises(CaptureError, match="cannot be traced"):
        qx.run(task, "w8a8")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_task_takes_weights_of_another_precision_as_float32_and_leaves_the_users_model_alone(
    dtype: torch.dtype,
) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)).to(dtype)
    before = snapshot(model.eval())
    part = (torch.randn(24, 1, 6, 6), torch.randint(0, 3, (24,)))
    result = qx.run(qx.Task(model=model, data=qx.Data(calibration=part, evaluation=part)), "w8a8")
    assert abs(result.accuracy.value - result.fp32_accuracy.value) <= 2 / 24
    assert snapshot(model) == before
