"""Dynamic activations: every image finds its own ranges while the network runs, whoever is in its batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import qexplore as qx
from qexplore.network import Network, Own
from qexplore.network.dynamic import each_image
from qexplore.network.table import site_table
from qexplore.numerics import Range, Spec, estimate_range, quantize
from qexplore.recipes import BadRecipe, Recipe
from qexplore.recipes.carry_out import check, prepare
from tests.network.nets import NETS, built
from tests.network.reference import TIE, calibrated, real_result, stored

# What such a network computes of one image depends on the others without any quantizer.
OF_THE_BATCH = {"scalar-of-the-data"}


def by_image(x: Tensor, spec: Spec) -> Tensor:
    """Fake quantization as numerics has it, each image a slice with a range of its own."""
    slices = Spec(spec.bits, spec.symmetric, spec.signed, "channel", spec.power_of_two)
    return quantize(x, slices, estimate_range(x, slices, "min-max"))


def dynamic(model: nn.Module, x: Tensor, bits: int = 4, weight_bits: int | None = 5, **specs: Spec) -> Network:
    network = calibrated(model, x, bits, weight_bits, **specs)
    network.set_dynamic(True)
    return network


@pytest.mark.parametrize("name", NETS)
def test_every_operation_gives_what_plain_fake_quantization_of_each_image_gives(name: str) -> None:
    model, x = built(name)
    network = dynamic(model, x)
    found, reference = stored(network, x), {}
    for op in network.graph.ops:
        value = x.double() if op.kind == "input" else real_result(network, op, reference)
        at = network.placement.at.get(op.name)
        again = network.placement.grid[op.name] if op.kind in ("avg-pool", "clamp") else ""
        if at is not None or again:
            site = at or network.site(again)
            first = (each.movedim(axis_of_images(value, op.shape), 0) for each in (value, found[op.name]))
            assert_on_own_grids(*first, network.fitted(site, network.bits[site.name]).spec)
            value = found[op.name].double()
        reference[op.name] = value
    output = reference[network.graph.output]
    assert torch.allclose(network(x).double(), output, rtol=1e-4, atol=1e-5 * float(output.abs().max() + 1e-9))


def axis_of_images(x: Tensor, one: tuple[int, ...]) -> int:
    """Along which dimension a batch differs from one image."""
    return next((d for d, (many, few) in enumerate(zip(x.shape, one, strict=True)) if many != few), 0)


def assert_on_own_grids(value: Tensor, found: Tensor, spec: Spec) -> None:
    """`found` is `value` rounded image by image, ties apart."""
    expected, rows = by_image(value.float(), spec).double(), value.reshape(value.shape[0] if value.dim() else 1, -1)
    width = rows.amax(dim=1).clamp(min=0) - rows.amin(dim=1).clamp(max=0)
    step = (width / (2**spec.bits - 1)).clamp(min=1e-30).view(-1, *[1] * (value.dim() - 1))
    off = (found.double() - expected).abs() / step
    tie = ((value / step - (value / step).floor()) - 0.5).abs() < TIE
    assert bool((off < 1e-2).logical_or(tie & (off < 1.01)).all())


@pytest.mark.parametrize("name", sorted(NETS.keys() - OF_THE_BATCH))
def test_a_batch_gives_the_logits_that_its_images_give_one_by_one(name: str) -> None:
    model, x = built(name)
    x = x * torch.logspace(-1.5, 0.5, len(x)).view(-1, *[1] * (x.dim() - 1))
    network = dynamic(model, x, bits=8)
    together, alone = network(x), torch.cat([network(image[None]) for image in x])
    assert_close_but_for_ties(together, alone)
    assert_close_but_for_ties(network(x.flip(0)).flip(0), together)
    static = calibrated(model, x)
    assert not torch.equal(static(x), together) or name == "a-single-layer"


def assert_close_but_for_ties(one: Tensor, other: Tensor) -> None:
    """A sum in another order can tip a value at the middle between two codes: then logits differ by steps of 8 bits."""
    assert bool(((one - other).abs().amax(dim=1) <= 0.03 * other.abs().amax(dim=1)).all())


@pytest.mark.parametrize("layout", ["tokens first", "windows with the images", "images in turns"])
def test_images_that_do_not_stand_along_the_first_dimension_alone_have_their_own_ranges_too(layout: str) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            if layout == "tokens first":
                return self.head(F.relu(self.second(x.permute(1, 0, 2))).mean(0))
            if layout == "images in turns":
                turns = F.relu(self.second(x.permute(1, 0, 2).reshape(-1, 6)))
                return self.head(turns.reshape(4, -1, 6).mean(0))
            windows = F.relu(self.second(x.reshape(-1, 2, 6)))
            return self.head(windows.reshape(-1, 4, 6).mean(1))

    torch.manual_seed(0)
    model, x = Turned().eval(), torch.randn(6, 4, 4) * torch.logspace(-1, 1, 6).view(-1, 1, 1)
    network = dynamic(model, x, 4, None)
    spec = Spec(4, symmetric=False)
    with torch.no_grad():
        tokens = by_image(F.relu(model.second(by_image(model.first(by_image(x, spec)), spec))), spec)
        logits = by_image(model.head(by_image(tokens.mean(1), spec)), spec)
    assert torch.allclose(network(x), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


class Frames(nn.Module):
    """Frames [images, time, height, width] as a batch of pictures, in the order that `order` gives time and images."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.order, self.first, self.head = order, nn.Conv2d(1, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        places = {"blocks": (0, 1, 2), "turns": (1, 2, 0), "places": (1, 0, 2)}[self.order]
        frames = x.reshape(-1, 2, 2, 6, 6).permute(*places, 3, 4).reshape(-1, 1, 6, 6)
        sizes = [(x.shape[0], 2, 2)[place] for place in places]
        found = F.relu(self.first(frames)).mean((2, 3)).reshape(*sizes, 4)
        return self.head(found.mean([dim for dim, place in enumerate(places) if place != 0]))


@pytest.mark.parametrize("example", [torch.randn(1, 4, 6, 6), torch.zeros(1, 4, 6, 6)], ids=["noise", "zeros"])
@pytest.mark.parametrize("order", ["blocks", "turns", "places"])
def test_where_frames_of_images_lie_is_seen_and_their_ranges_hang_on_no_other_image(
    order: str, example: Tensor
) -> None:
    torch.manual_seed(0)
    model, x = Frames(order).eval(), torch.randn(6, 4, 6, 6) * torch.tensor([0.01, 100.0]).repeat(3).view(-1, 1, 1, 1)
    network = Network.of(model, example)
    assert network.graph.by_name["first"].order == order
    network.set_samples({site.name: torch.randn(8) for site in network.sites if site.kind == "activation"})
    network.set_bits(network.uniform_activations(8))
    network.set_dynamic(True)
    assert_close_but_for_ties(network(x), torch.cat([network(image[None]) for image in x]))
    assert_close_but_for_ties(network(x), model(x).detach())


def test_where_the_words_of_whole_numbers_lie_is_seen_too() -> None:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.first, self.head = nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(self.table(x).transpose(0, 1).reshape(-1, 4)).reshape(6, -1, 4).mean(0))

    torch.manual_seed(0)
    network = Network.of(Words().eval(), torch.tensor([[4, 1, 0, 2, 3, 1]]))
    assert network.graph.by_name["first"].order == "turns"


@pytest.mark.parametrize("images", [1, 2, 3])
@pytest.mark.parametrize("side", [6, 8, 11, 16])
def test_pictures_of_another_size_than_the_examples_have_one_range_each(side: int, images: int) -> None:
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    model = nn.Sequential(*layers).eval()
    network = dynamic(model, torch.randn(5, 3, 8, 8), 2, None)
    x = torch.randn(images, 3, side, side) * torch.linspace(0.2, 3, images * side).view(images, 1, side, 1)
    spec = Spec(2, symmetric=False)
    with torch.no_grad():
        pooled = by_image(by_image(F.relu(layers[0](by_image(x, spec))), spec).mean((2, 3)), spec)
        logits = by_image(layers[-1](pooled), spec)
    assert torch.allclose(network(x), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("tokens", [2, 4, 10])
def test_windows_of_more_or_fewer_tokens_than_the_examples_belong_to_their_image(tokens: int, images: int) -> None:
    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            windows = F.relu(self.first(x.reshape(-1, 2, 4)))
            return self.head(windows.reshape(x.shape[0], -1, 6).mean(1))

    torch.manual_seed(0)
    model, spec = Windows().eval(), Spec(4, symmetric=False)
    network = dynamic(model, torch.randn(6, 4, 4), 4, None)
    x = torch.randn(images, tokens, 4) * torch.logspace(-1, 1, images * tokens).view(images, tokens, 1)
    with torch.no_grad():
        means = by_image(by_image(F.relu(model.first(by_image(x, spec))), spec).mean(1), spec)
        logits = by_image(model.head(means), spec)
    assert torch.allclose(network(x), logits, rtol=1e-3, atol=1e-3 * float(logits.abs().max()))


@pytest.mark.parametrize("bits", [8, 3])
def test_a_network_equals_its_forward_written_by_hand(bits: int) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu6(9 * self.stem(x))
            y = F.relu(self.inner(x) + x)
            return self.head(F.avg_pool2d(torch.cat([x, y], 1), 2).mean((2, 3)))

    torch.manual_seed(0)
    model, x = Branches().eval(), torch.randn(16, 1, 6, 6) * torch.logspace(-1, 1, 16).view(-1, 1, 1, 1)
    network = dynamic(model, x, bits, None)
    spec = Spec(bits, symmetric=False)

    def q(value: Tensor) -> Tensor:
        return by_image(value, spec)

    with torch.no_grad():
        first = q(F.relu6(q(9 * q(model.stem(q(x))))))
        total = q(F.relu(q(model.inner(first)) + first))
        both = q(torch.cat([first, total], 1))
        logits = q(model.head(q(q(F.avg_pool2d(both, 2)).mean((2, 3)))))
    # Grids of one image have steps in ratios such as 2:3, so that means of codes lie in the middle between two codes of
    # the next grid, where the order of a sum decides, and the processor the order.
    apart = (network(x) - logits).abs().amax(dim=1) / logits.abs().max()
    assert int((apart < 1e-3).sum()) >= 12
    assert float(apart.max()) < 0.3


@pytest.mark.parametrize("spec", [Spec(4), Spec(4, symmetric=False), Spec(8, power_of_two=True), Spec(3, signed=False)])
@pytest.mark.parametrize("shape", [(5, 3, 4, 4), (5, 7), (1, 2, 3), (4,), (0, 3, 4, 4)])
def test_each_image_lies_on_the_grid_over_its_own_range(spec: Spec, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    for order in (x, x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x):
        found = each_image(spec)(order, len(x))
        assert torch.equal(found, by_image(x, spec) if x.numel() else x)
    assert torch.equal(x, before)


def test_an_image_of_zeros_stays_zero() -> None:
    x = torch.cat([torch.zeros(1, 3, 2, 2), torch.randn(1, 3, 2, 2)])
    assert not each_image(Spec(4, symmetric=False))(x, 2)[0].any()


# --- as a setting of a recipe -----------------------------------------------------------------------------------------


def recipe(bits: int = 8, **settings: Any) -> Recipe:
    steps = ["fold-bn", "weight-ranges", {"activation-ranges": {"dynamic": True, **settings}}]
    return Recipe.from_document({"steps": steps, "weights": {"bits": bits}, "activations": {"bits": bits}})


@pytest.mark.parametrize("name", ["mobilenet-digits", "resnet-digits"])
def test_eight_bits_lose_at_most_half_a_point(name: str) -> None:
    result = qx.run(name, recipe())
    assert abs(result.fp32_accuracy.value - result.accuracy.value) <= 0.005


def test_static_ranges_stand_in_where_one_range_is_asked_for() -> None:
    static, moving = (qx.run("resnet-digits", recipe(dynamic=flag)) for flag in (False, True))
    assert static.sites.equals(moving.sites)
    with moving.network.static():
        x, _ = qx.Task("resnet-digits").data.tensors("evaluation", limit=20)
        assert torch.equal(moving.network(x), static.network(x))
    assert not torch.equal(moving.network(x), static.network(x))


@pytest.mark.parametrize("metric", ["fisher", "fit", "divergence", "loss", "sqnr"])
def test_sensitivities_are_those_of_the_static_ranges(metric: str) -> None:
    static, moving = (
        qx.sensitivity("resnet-digits", metric, (2, 8), recipe=recipe(dynamic=flag)) for flag in (False, True)
    )
    assert static.equals(moving)


def test_a_site_with_a_range_or_an_estimator_of_its_own_is_static() -> None:
    model, x = built("add-relu")
    network = dynamic(model, x, 4, None)
    site = network.logits
    assert site is not None
    images = torch.cat([x, 3 * x])
    moving = network(images)
    network.set_own(site.name, Own(range=Range(torch.tensor([-0.01]), torch.tensor([0.01]))))
    assert float(network(images).abs().max()) < 0.011
    network.set_own(site.name, Own(estimator=("min-max", {})))
    grid = network.fitted(site, 4).grid
    codes = network(images) / grid.scale
    assert torch.allclose(codes, codes.round(), atol=1e-4)
    network.set_own(site.name, Own(bits=4))
    assert torch.equal(network(images), moving)
    with network.fixing({site.name: Range(torch.tensor([-0.01]), torch.tensor([0.01]))}):
        assert float(network(images).abs().max()) < 0.011


@pytest.mark.parametrize("scale", [0.02, 50.0])
def test_images_of_another_size_than_the_calibrations_are_what_dynamic_ranges_are_for(scale: float) -> None:
    """A linear network scales with its images; a static grid does not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 12, bias=False), nn.ReLU(), nn.Linear(12, 4, bias=False)).eval()
    x = torch.randn(40, 1, 4, 4)
    for network, faithful in ((dynamic(model, x, 8, None), True), (calibrated(model, x, 8, None), False)):
        with torch.no_grad():
            expected = model(scale * x)
        error = (network(scale * x) - expected).abs().max() / expected.abs().max()
        assert (float(error) < 0.03) is faithful


def test_a_network_without_samples_runs_with_dynamic_ranges_too() -> None:
    task = qx.Task("mobilenet-digits")
    network = prepare(task, recipe(method="batch-norm"))
    assert site_table(network)["sqnr_db"].isna().any()
    x, y = task.data.tensors("evaluation", limit=100)
    assert float((network(x).argmax(dim=1) == y).float().mean()) > 0.95


def test_the_setting_is_true_or_false() -> None:
    with pytest.raises(BadRecipe, match="true or false"):
        check(recipe(dynamic="often"))
