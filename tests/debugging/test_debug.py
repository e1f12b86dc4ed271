"""What a diagnosis measures is what its words say, and its fixes do repair."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch import nn
from torchvision.models import SwinTransformer

import qexplore as qx
from qexplore.debugging import edits
from qexplore.debugging.checks import QUANTIZED, REAL
from qexplore.debugging.evidence import channel_axis, gather
from qexplore.debugging.finding import Finding
from qexplore.debugging.harm import HARM
from qexplore.debugging.proposals import Trouble, propose
from qexplore.debugging.remedies import try_all
from qexplore.network import Network
from qexplore.network.divergence import divergence
from qexplore.ptq import Calibration
from qexplore.recipes import Recipe, StepSetting
from qexplore.recipes.carry_out import BITS, check, prepare
from qexplore.report import Report
from tests.debugging import plants
from tests.debugging.plants import MOBILENET, RESNET, TWIN


@pytest.fixture(scope="module")
def broken() -> qx.Diagnosis:
    """A diagnosis of a network whose channels are unbalanced."""
    return qx.debug(TWIN, "w8a8-per-tensor")


def kl(real: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Another way to the same figure, image by image."""
    p, q = real.double().softmax(-1), other.double().softmax(-1)
    return (p * (p / q).log()).sum(-1)


def test_divergence_is_that_of_the_softmax() -> None:
    real, other = torch.randn(7, 5), torch.randn(7, 5)
    torch.testing.assert_close(divergence(real, other), kl(real, other))
    assert float(divergence(real, real + 3).abs().max()) < 1e-12  # a constant on all logits says nothing


@pytest.mark.parametrize("recipe", ["w4a8", "w4a8-per-tensor"])
def test_a_site_alone_is_what_a_network_with_only_that_site_gives(recipe: str) -> None:
    task = qx.Task(RESNET)
    sites = qx.debug(task, recipe, measure_fixes=False).sites.set_index("site")
    network = prepare(task, Recipe.load(recipe))
    x, _ = task.data.tensors("calibration")
    with network.using(network.uniform(None, None)):
        real = network(x)
    for site in ("stem.conv.weight", "blocks.1.first.conv.out", "classifier.out"):
        with network.using({**network.uniform(None, None), site: network.bits[site]}):
            apart = float(kl(real, network(x)).mean())
        assert sites.loc[site, "divergence"] == pytest.approx(apart, rel=1e-3)
    assert float(sites["share"].sum()) == pytest.approx(1)


def test_the_checks_are_those_of_the_evaluation_images(broken: qx.Diagnosis) -> None:
    checks = broken.checks.set_index("name")
    result = qx.run(TWIN, "w8a8-per-tensor")
    assert checks.loc[QUANTIZED, "accuracy"] == result.accuracy.value
    assert checks.loc["fp32", "accuracy"] == result.fp32_accuracy.value
    assert checks.loc["weights only", "accuracy"] < checks.loc["activations only", "accuracy"]


@pytest.mark.parametrize("recipe", ["w4a8-per-tensor", "corrected-w8a8-per-tensor"])
def test_each_side_alone_is_that_of_the_ablation(recipe: str) -> None:
    """Also behind weights that are broken: the ranges of activations alone are those that real weights give."""
    checks = qx.debug(TWIN, recipe, measure_fixes=False).checks.set_index("name")
    table = qx.ablate(TWIN, recipe)
    sides = table[table["group"] == "side"].set_index("name")
    assert list(sides.index) == ["weights only", "activations only"]
    for name, row in sides.iterrows():
        assert checks.loc[name, "accuracy"] == row["accuracy"]


def test_the_measured_accuracy_of_a_fix_is_that_of_its_recipe(broken: qx.Diagnosis) -> None:
    for fix in broken.fixes:
        assert fix.accuracy == qx.run(TWIN, fix.recipe).accuracy.to_document()


def test_a_fix_is_compared_image_by_image_with_the_recipe_as_it_was(broken: qx.Diagnosis) -> None:
    task = qx.Task(TWIN)
    x, labels = task.data.tensors("evaluation")
    right = [
        prepare(task, qx.Recipe.load(one))(x).argmax(dim=1) == labels
        for one in ("w8a8-per-tensor", broken.fixes[0].recipe)
    ]
    fix = broken.fixes[0]
    assert (fix.gained, fix.lost) == (int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum()))
    assert fix.p == pytest.approx(binomtest(fix.gained, fix.gained + fix.lost).pvalue)


@pytest.mark.parametrize(
    "plant",
    [
        lambda: plants.few_bits(MOBILENET, "blocks.2.add.out"),
        lambda: plants.scaled_range(RESNET, "blocks.0.add.out", 0.1),
        lambda: plants.scaled_range(MOBILENET, "classifier.out", 0.2),
        lambda: plants.outlier_channel(0, 5, 256),
        lambda: plants.lying_moments(1, 5.0),
        lambda: plants.unlike_images(RESNET, 0.3),
    ],
)
def test_the_best_fix_leaves_nothing_to_be_found(plant) -> None:
    planted = plant()
    found = qx.debug(planted.task, planted.recipe)
    best = found.fixes[0]
    assert best.divergence < 0.1 * found.checks.set_index("name").loc[QUANTIZED, "divergence"]
    again = qx.debug(planted.task, best.recipe, measure_fixes=False)
    assert again.healthy, [(one.cause, one.site) for one in again.findings]


def test_corrected_biases_are_no_change_of_the_network() -> None:
    plant = plants.biased_error(RESNET, "blocks.1.first.conv", "blocks.1.first.bn", bits=3)
    steps = ["fold-bn", {"weight-ranges": {"method": "min-max"}}, "correct-bias", "activation-ranges"]
    recipe = Recipe.from_document({**plant.recipe.to_document(), "steps": steps})
    network = prepare(plant.task, recipe)
    x, _ = plant.task.data.tensors("evaluation")
    weights = network.uniform_activations(None)
    with torch.inference_mode(), network.using(weights):
        corrected = network(x)
        network.forget_corrections()
        assert float(kl(corrected, network(x)).mean()) > 0.01  # they do matter
    without, found = (
        qx.debug(plant.task, one, measure_fixes=False) for one in (recipe.without(["correct-bias"]), recipe)
    )
    assert found.checks.set_index("name").loc[REAL, "divergence"] < 1e-9
    before, after = (one.sites.set_index("site").loc[plant.site, "divergence"] for one in (without, found))
    assert after < 0.1 * before  # the weight alone comes with the bias that was corrected for it
    assert "network-changed" not in {one.cause for one in found.findings}


def test_another_weight_in_its_place_is_tried_without_the_correction_of_the_present_one() -> None:
    plant = plants.few_bits(MOBILENET, "blocks.1.project.conv.weight")
    found = []
    for correction in ([], ["correct-bias"]):
        steps = ["fold-bn", "weight-ranges", *correction, "activation-ranges"]
        network = prepare(plant.task, Recipe.from_document({**plant.recipe.to_document(), "steps": steps}))
        calibration = Calibration(plant.task.data)
        suspects = gather(network, calibration, [(network.site(plant.site), 1.0, 1.0)], Report())
        found += try_all(network, calibration, suspects, Report())
    for name in ("bits", "min-max"):
        assert found[1][name].divergence == pytest.approx(found[0][name].divergence, rel=1e-4), name


def test_too_few_bits_are_found_behind_a_corrected_bias() -> None:
    site = "blocks.1.project.conv.weight"
    recipe = Recipe.load("corrected-w8a8-per-tensor").with_settings({f"sites.{site}.bits": 2})
    found = qx.debug(MOBILENET, recipe, measure_fixes=False)
    assert ("too-few-bits", site) in {(one.cause, one.site) for one in found.findings}
    assert not found.unexplained


def test_a_training_on_grids_changes_the_network_on_purpose() -> None:
    steps = ["fold-bn", "weight-ranges", "activation-ranges", {"qat": {"epochs": 2, "rate": 0.02}}]
    found = qx.debug(few_images(), {"weights": {"bits": 2}, "steps": steps}, measure_fixes=False)
    assert found.checks.set_index("name").loc[REAL, "divergence"] > HARM
    assert "network-changed" not in {one.cause for one in found.findings}


def test_what_pruning_costs_is_not_the_fault_of_bits() -> None:
    steps = [{"prune": {"sparsity": 0.9, "epochs": 1}}, "fold-bn", "weight-ranges", "activation-ranges"]
    found = qx.debug(few_images(), {"steps": steps}, measure_fixes=False)
    assert found.checks.set_index("name").loc[REAL, "divergence"] > HARM
    assert found.healthy, [one.cause for one in found.findings]


def few_images() -> qx.Task:
    """The ResNet with so few images that it trains in a second."""
    task = qx.Task(RESNET)
    parts = ("train", "calibration", "evaluation")
    images = {part: tuple(tensor[:256] for tensor in task.data.tensors(part)) for part in parts}
    return qx.Task(model=task.model, data=qx.Data(**images))


def test_a_layer_without_a_bias_can_be_the_culprit() -> None:
    site = "stem.conv.weight"  # behind it is a batch norm, which is not folded here
    steps = ["weight-ranges", "activation-ranges"]
    found = qx.debug(RESNET, {"name": "unfolded", "steps": steps, "sites": {site: {"bits": 2}}}, measure_fixes=False)
    assert [(one.cause, one.site) for one in found.findings] == [("too-few-bits", site)]


@pytest.mark.parametrize(("layers", "usual", "cause"), [(1, 2, "sensitive-site"), (2, 8, "too-few-bits")])
def test_one_of_a_few_sites_can_be_the_culprit(layers: int, usual: int, cause: str) -> None:
    torch.manual_seed(0)
    inner = [module for _ in range(layers - 1) for module in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Flatten(), *inner, nn.Linear(64, 10)).eval()
    site = f"{len(model) - 1}.weight"
    with torch.no_grad():
        model[-1].weight.mul_(20)
    x, _ = qx.Task(RESNET).data.tensors("calibration")
    images = x, model(x).argmax(dim=1)
    task = qx.Task(model=model, data=qx.Data(calibration=images, evaluation=images))
    recipe = {"weights": {"bits": usual, "granularity": "tensor"}, "steps": ["weight-ranges"]}
    found = qx.debug(task, {**recipe, "sites": {site: {"bits": 2}}}, measure_fixes=False)
    assert len(found.sites) == layers
    assert [(one.cause, one.site) for one in found.findings] == [(cause, site)]


def test_two_faults_have_one_repair_together() -> None:
    first, second = "blocks.1.project.conv.weight", "blocks.2.add.out"
    recipe = plants.few_bits(MOBILENET, first).recipe.with_settings({f"sites.{second}.bits": 2})
    found = qx.debug(MOBILENET, recipe)
    assert {(one.cause, one.site) for one in found.findings} == {("too-few-bits", first), ("too-few-bits", second)}
    assert found.fixes[0].label.startswith("all together: ")
    assert "sites" not in found.fixes[0].recipe
    assert found.fixes[0].divergence < min(fix.divergence for fix in found.fixes[1:])


@pytest.mark.parametrize("alias", ["first", "last", "no-macs"])
def test_too_few_bits_that_were_given_under_another_name_are_mended(alias: str) -> None:
    recipe = qx.Recipe.load("w8a8").with_settings({f"sites.{alias}.bits": 2})
    found = qx.debug(MOBILENET, recipe)
    assert {one.cause for one in found.findings} == {"too-few-bits"}
    assert found.fixes[0].divergence < 0.01 * found.checks.set_index("name").loc["quantized", "divergence"]


@pytest.mark.parametrize("weights", [8, 2])
def test_few_bits_that_a_step_has_set_are_mended(weights: int) -> None:
    site = "stem.conv.weight"
    recipe = qx.Recipe.load("w8a8").with_settings({"weights.bits": weights})
    others = [one.name for one in plants.prepared(RESNET).sites if one.kind == "weight" and one.name != site]
    found = qx.debug(RESNET, recipe.with_bits({**dict.fromkeys(others, 8), site: 2}))
    (finding,) = found.findings
    assert (finding.cause, finding.site) == ("too-few-bits" if weights == 8 else "sensitive-site", site)
    assert finding.fixes[0].divergence < 0.5 * found.checks.set_index("name").loc[QUANTIZED, "divergence"]


def test_biases_and_roundings_are_mended_behind_the_last_bits() -> None:
    plant = plants.biased_error(RESNET, "blocks.1.first.conv", "blocks.1.first.bn")
    found = qx.debug(plant.task, plant.recipe.with_bits({"classifier.weight": 8}), measure_fixes=False)
    (finding,) = found.findings
    steps = {fix.label: [one.name for one in qx.Recipe.load(fix.recipe).steps] for fix in finding.fixes}
    assert steps["biases corrected"][-2:] == ["set-bits", "correct-bias"]
    assert steps["rounding learned (AdaRound)"][-2:] == ["set-bits", "adaround"]


def test_roundings_are_learned_before_the_biases_of_an_allocation_are_corrected() -> None:
    bits = {"classifier.weight": 4, "classifier.out": 4}
    recipe = Recipe.load("corrected-w8a8-per-tensor").with_bits(bits)
    edit = edits.inserted("", [StepSetting("adaround")], ["weight-ranges", *BITS])
    check(edit.apply(recipe))


def test_more_bits_for_all_take_the_place_of_few_that_a_step_has_set() -> None:
    recipe = Recipe.load("w4a4-per-tensor").with_settings({"weights.bits": 3})
    weights = [site.name for site in plants.prepared(MOBILENET).sites if site.kind == "weight"]
    few = recipe.with_bits({**dict.fromkeys(weights, 3), "classifier.out": 4})
    (finding,) = qx.debug(MOBILENET, few, measure_fixes=False).findings
    (more,) = (fix.recipe for fix in finding.fixes if fix.label == "8 bits for all weights")
    assert more["weights"]["bits"] == 8
    assert more["steps"][-1] == {"set-bits": {"classifier.out": 4}}


def test_ranges_from_the_batch_norms_take_the_place_of_any_others() -> None:
    plant = plants.unlike_images(RESNET, 0.3)
    percentile = {"activation-ranges.method": "percentile", "activation-ranges.percent": 99.9}
    recipe = plant.recipe.with_settings(percentile)
    (finding,) = qx.debug(plant.task, recipe, measure_fixes=False).findings
    fixes = {fix.label: qx.Recipe.load(fix.recipe) for fix in finding.fixes}
    (ranges,) = (s for s in fixes["activation ranges from the batch norms"].steps if s.name == "activation-ranges")
    assert (ranges.settings["method"], "percent" in ranges.settings) == ("batch-norm", False)


@pytest.mark.parametrize("known", ["interval", "train", "nothing"])
def test_no_image_that_a_repair_is_measured_on_gives_it_a_range(known: str) -> None:
    opened = qx.Task(RESNET)
    x, y = opened.data.tensors("calibration")
    used, labels = opened.data.tensors("evaluation")
    used = used.clone()
    used[7, 0, 0, 0] = 1.7  # one odd pixel of an image in use
    more: dict[str, Any] = {"interval": {"interval": (-0.1, 1.2)}, "train": {"train": (x - 0.25, y)}}.get(known, {})
    data = qx.Data(calibration=(0.3 * x, y), evaluation=(used, labels), **more)
    task = qx.Task(model=opened.model, data=data, example=x[:1])
    (finding,) = qx.debug(task, "w8a8", measure_fixes=False).findings
    assert finding.cause == "unlike-images"
    steps = [step for fix in finding.fixes for step in qx.Recipe.load(fix.recipe).steps]
    told = [step.settings["input"] for step in steps if "input" in step.settings]
    assert told == {"interval": [[-0.1, 1.2]], "train": [[-0.25, 0.75]], "nothing": []}[known]
    assert "activation ranges anew for every image" in {fix.label for fix in finding.fixes}


def test_the_report_says_that_the_best_of_several_fixes_is_flattered() -> None:
    found = qx.debug(plants.unlike_images(RESNET, 0.3).task, "w8a8")
    assert len([fix for fix in found.fixes if fix.accuracy]) > 1
    assert "picked on the same evaluation images" in found.to_markdown()


@pytest.mark.parametrize(
    ("site", "label"),
    [
        ("blocks.1.expand.conv.out", "ReLU6 replaced and channels equalized"),
        ("blocks.2.add.out", "16 bits for blocks.2.add.out"),
        ("classifier.out", "16 bits for classifier.out"),
    ],
)
def test_channels_are_equalized_only_between_the_layers_of_a_pair(site: str, label: str) -> None:
    found = Finding("unbalanced-channels", site, "", 1.0)
    (edit,) = propose(Trouble(found, Recipe.load("w8a8"), plants.prepared(TWIN)))
    assert edit.label == label


@pytest.mark.parametrize(
    ("site", "axis"),
    [
        ("features.0.0.out", 1),  # the convolution that makes the patches, behind which channels go last
        ("features.1.0.norm1.out", 3),
        ("features.1.0.attn.proj.out", 3),
        ("features.1.0.add.out", 3),
        ("features.1.0.mlp.1.out", 3),
    ],
)
def test_channels_lie_last_where_linear_layers_read_them(site: str, axis: int) -> None:
    model = SwinTransformer([4, 4], 24, [2], [2], [4, 4], num_classes=5)
    network = Network.of(model.eval(), torch.zeros(1, 3, 32, 32))
    known: dict[str, torch.Tensor] = {}
    network.real_plan().watch(torch.zeros(2, 3, 32, 32), known.__setitem__)
    one = network.site(site)
    assert known[one.at].dim() == 4
    assert channel_axis(network, one, known[one.at]) == axis


def test_three_dimensions_are_not_always_tokens() -> None:
    class Signals(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.last = nn.Conv1d(3, 8, 3), nn.Conv1d(8, 8, 3, padding=1), nn.Linear(8, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            return self.last((x + self.second(x)).mean(-1))

    network = Network.of(Signals().eval(), torch.zeros(1, 3, 20))
    assert channel_axis(network, network.site("add.out"), torch.zeros(2, 8, 18)) == 1


def test_the_same_words_again(broken: qx.Diagnosis) -> None:
    assert qx.debug(TWIN, "w8a8-per-tensor").to_markdown() == broken.to_markdown()


def test_the_document_is_plain_json(broken: qx.Diagnosis) -> None:
    document = json.loads(json.dumps(broken.to_document(), allow_nan=False))
    assert document["healthy"] is False
    assert [row["name"] for row in document["checks"]] == [
        "fp32",
        "all sites real",
        "weights only",
        "activations only",
        "quantized",
    ]
    assert document["findings"][0]["site"] == broken.findings[0].site
    assert document["accuracy"]["value"] == document["checks"][-1]["accuracy"]


def test_the_report_names_places_causes_and_repairs(broken: qx.Diagnosis) -> None:
    report = broken.to_markdown()
    assert all(one.site in report and one.text in report for one in broken.findings)
    assert all(f"| {fix.label} | " in report for fix in broken.fixes)


def test_whoever_listens_can_stop_it_at_any_event() -> None:
    class Stop(Exception):
        pass

    plant = plants.outlier_channel(1, 3, 128)
    events: list[dict] = []
    qx.debug(plant.task, plant.recipe, on_event=events.append)
    texts = [event["text"] for event in events if event["event"] == "progress"]
    wanted = ["weights or activations?", "site by site", "looking for causes", "channels equalized"]
    assert set(wanted) <= set(texts)
    assert all(0 <= one["done"] <= one["total"] for one in events if one["event"] == "progress")
    for last in wanted:
        seen: list[str] = []

        def listen(event: dict, last: str = last, seen: list[str] = seen) -> None:
            seen.append(event.get("text", ""))
            if event.get("text") == last:
                raise Stop

        with pytest.raises(Stop):
            qx.debug(plant.task, plant.recipe, on_event=listen)
        assert seen.count(last) == 1


def test_a_recipe_that_quantizes_nothing_is_healthy() -> None:
    found = qx.debug(RESNET, Recipe.from_document({"name": "float", "steps": ["fold-bn"]}))
    assert found.healthy
    assert found.sites.empty
    assert "Healthy" in found.to_markdown()
