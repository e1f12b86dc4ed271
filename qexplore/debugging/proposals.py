"""What could repair each cause, after the white paper's figure 9: changes of the recipe, the gentlest first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qexplore.debugging import edits
from qexplore.debugging.causes import Case
from qexplore.debugging.edits import Edit
from qexplore.debugging.finding import Finding
from qexplore.debugging.remedies import OPTIONS
from qexplore.network import Network
from qexplore.numerics import MAX_BITS, RANGES
from qexplore.ptq import STEPS
from qexplore.ptq.equalization import scalable_pairs
from qexplore.recipes import Recipe, StepSetting
from qexplore.recipes.carry_out import BITS
from qexplore.recipes.schema import NO_MACS
from qexplore.recipes.sites import aliases_of
from qexplore.registry import Registry, key_of

RANGE_KEYS = ("range", "method")
POSSIBLE = ("possible_lo", "possible_hi")  # ends between which images can lie, in the evidence of a finding
HIGH = 8  # bits that are called high


@dataclass(frozen=True, eq=False)
class Trouble:
    """A finding, with the recipe and the network in which it was found; case: of a single site alone."""

    finding: Finding
    recipe: Recipe
    network: Network
    case: Case | None = None

    @property
    def site(self) -> str:
        """The name under which the recipe sets the site."""
        return edits.own_of(self.recipe, self.finding.site, aliases_of(self.network))[0]

    @property
    def own(self) -> dict[str, Any]:
        """What the recipe sets for the site."""
        return dict(edits.own_of(self.recipe, self.finding.site, aliases_of(self.network))[1])

    def has(self, step: str) -> bool:
        return key_of(step) in {key_of(one.name) for one in self.recipe.steps}

    @property
    def set_bits(self) -> dict[str, int]:
        """The bits that the recipe gives to sites in a step of their own, by their names in the network."""
        return edits.set_of(self.recipe)

    @property
    def can_be_equalized(self) -> bool:
        """Whether the channels of the site are those between the layers of a pair; sums and logits are in none."""
        pairs = scalable_pairs(self.network)
        return self.network.site(self.finding.site).layer in {name for p in pairs for name in (p.first, p.function)}

    @property
    def weights_share_a_grid(self) -> bool:
        return self.network.specs["weight"].granularity != "channel"


Proposal = Callable[[Trouble], list[Edit]]
PROPOSALS: Registry[Proposal] = Registry("cause with a fix")


def propose(trouble: Trouble) -> list[Edit]:
    """What could repair the trouble; nothing for a cause that no recipe can repair."""
    return PROPOSALS.get(trouble.finding.cause)(trouble)


@PROPOSALS.register("too-few-bits")
def more_bits(trouble: Trouble) -> list[Edit]:
    """The bits of the others, whether the site's few are its own or those of a group."""
    name = trouble.finding.site
    if "bits" in trouble.own or name in trouble.set_bits:
        return [edits.site_like_others(trouble.site, ["bits"], name)]
    shared = "bits" in trouble.recipe.sites.get(NO_MACS, {})
    return [edits.site_bits(trouble.site, int(trouble.finding.evidence["usual_bits"]), name)] if shared else []


@PROPOSALS.register("sensitive-site")
def high_bits(trouble: Trouble) -> list[Edit]:
    """Twice the bits, at least eight."""
    name = trouble.finding.site
    bits = min(max(HIGH, 2 * trouble.network.bits[name]), MAX_BITS)
    return [edits.site_bits(trouble.site, bits, name)]


@PROPOSALS.register("clipped-range")
@PROPOSALS.register("wide-range")
@PROPOSALS.register("outlier-values")
def other_range(trouble: Trouble) -> list[Edit]:
    """The recipe's own estimator where the site has a range of its own; else those that were best when tried alone."""
    assert trouble.case is not None
    given, name = [key for key in trouble.own if key in RANGE_KEYS], trouble.finding.site
    like = [edits.site_like_others(trouble.site, [key for key in trouble.own if key != "bits"], name)] if given else []
    tried = trouble.case.tried
    good = sorted((name for name in tried if name in RANGES), key=lambda name: tried[name].divergence)
    helping = [name for name in good if trouble.case.cured(name)]
    return [*like, *(edits.site_method(trouble.site, name, OPTIONS.get(name, {})) for name in helping[:2])]


@PROPOSALS.register("biased-error")
def bias_or_rounding(trouble: Trouble) -> list[Edit]:
    """Bias correction or learned rounding, whichever the recipe does not have."""
    return [*_correction(trouble), *_rounding(trouble)]


@PROPOSALS.register("outlier-channel")
@PROPOSALS.register("unbalanced-channels")
def balance(trouble: Trouble) -> list[Edit]:
    """Cross-layer equalization where it scales these channels, then a grid for each channel of the weights, then more
    bits for the site.
    """
    found = []
    if not trouble.has("equalize") and trouble.can_be_equalized:
        found.append(_equalization(trouble))
    if trouble.network.site(trouble.finding.site).kind == "weight" and trouble.weights_share_a_grid:
        found.append(_finer())
    return found or high_bits(trouble)


@PROPOSALS.register("network-changed")
def gentler_step(trouble: Trouble) -> list[Edit]:
    """Without the step that changed the function; high biases absorbed by what the images show."""
    step, recipe = trouble.finding.step, trouble.recipe
    if key_of(step) not in {key_of(name) for name in recipe.optional}:
        return []
    absorbs = STEPS.canonical(step) == "absorb-high-bias"
    other = [edits.settings("biases absorbed as the calibration images allow", {f"{step}.method": "empirical"})]
    return [*(other if absorbs else []), edits.without(step)]


@PROPOSALS.register("unlike-images")
def no_images(trouble: Trouble) -> list[Edit]:
    """Activation ranges without these images: from the batch norms, where it is known between which ends images lie
    without a look at those in use, or anew for every image.
    """
    name = next((s.name for s in trouble.recipe.steps if key_of(s.name) == key_of("activation-ranges")), None)
    if name is None:
        return []
    ends = [trouble.finding.evidence[end] for end in POSSIBLE if end in trouble.finding.evidence]
    no_logits = '""'  # strings are read as YAML
    norms = {"method": "batch-norm", "input": ends, "logits": no_logits}
    anew = {f"{name}.dynamic": True, f"{name}.logits": no_logits}
    return [
        *([edits.step_method("activation ranges from the batch norms", name, norms)] if ends else []),
        edits.settings("activation ranges anew for every image", anew),
    ]


@PROPOSALS.register("bits-everywhere")
def everywhere(trouble: Trouble) -> list[Edit]:
    """Learned rounding, corrected biases and finer grids where weights are to blame; then more bits for the worse
    kind.
    """
    weights, activations = (trouble.finding.evidence[kind] for kind in ("weights", "activations"))
    kind = "weight" if weights >= activations else "activation"
    bits, network = trouble.network.specs[kind].bits, trouble.network
    fewer = [name for name, few in trouble.set_bits.items() if network.site(name).kind == kind and few < HIGH]
    more = [edits.kind_bits(kind, max(HIGH, bits), fewer)] if bits < HIGH or fewer else []
    if kind == "activation":
        return more
    finer = [_finer()] if trouble.weights_share_a_grid else []
    return [*_rounding(trouble), *finer, *_correction(trouble), *more]


def _equalization(trouble: Trouble) -> Edit:
    bounded = any(op.kind == "clamp" and op.upper is not None for op in trouble.network.graph.ops)
    names = ["replace-relu6", "equalize"] if bounded else ["equalize"]
    label = "ReLU6 replaced and channels equalized" if bounded else "channels equalized"
    return edits.inserted(label, [StepSetting(name) for name in names], ["fold-bn"])


def _finer() -> Edit:
    return edits.settings("one grid a channel for the weights", {"weights.granularity": "channel"})


def _correction(trouble: Trouble) -> list[Edit]:
    if trouble.has("correct-bias") or not trouble.has("weight-ranges"):
        return []
    after = ["weight-ranges", *BITS, "adaround"]
    return [edits.inserted("biases corrected", [StepSetting("correct-bias")], after)]


def _rounding(trouble: Trouble) -> list[Edit]:
    if trouble.has("adaround") or not trouble.has("weight-ranges"):
        return []
    after = ["weight-ranges", *BITS]
    return [edits.inserted("rounding learned (AdaRound)", [StepSetting("adaround")], after)]
