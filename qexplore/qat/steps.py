"""The step that trains a quantized network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qexplore.errors import QexploreError
from qexplore.network import Network, Own
from qexplore.numerics import checked_bits
from qexplore.ptq import STEPS, Calibration
from qexplore.ptq.batchnorm import foldable
from qexplore.ptq.steps import takes
from qexplore.qat.loop import fine_tune
from qexplore.qat.norms import (
    DOUBLE,
    FROZEN,
    KEEP,
    STATIC,
    check_alone,
    check_batch,
    check_gains,
    check_untied,
    fold_statically,
    make_gains_positive,
    norms_of,
)
from qexplore.qat.oscillation import Oscillation
from qexplore.qat.quantizers import Quantizer, check_grids, quantizers_of
from qexplore.qat.settings import Settings, defaults_of
from qexplore.qat.sparsity import Sparse
from qexplore.qat.training import Actors
from qexplore.report import Report


def _checked(settings: Mapping[str, Any]) -> Settings:
    """The settings of a training; QexploreError for impossible ones, or impossible bits."""
    bits = {name: value for name, value in settings.items() if name in ("weight_bits", "activation_bits")}
    for value in bits.values():
        if value:  # 0 keeps them
            checked_bits(value)
    return Settings(**{name: value for name, value in settings.items() if name not in bits})


@STEPS.register("qat")
@takes(defaults_of(Settings), _checked)
def qat(
    network: Network,
    calibration: Calibration,
    report: Report,
    *,
    weight_bits: int = 0,
    activation_bits: int = 0,
    **settings: Any,
) -> Network:
    """Quantization-aware training: straight-through estimator, learned ranges (white paper §4; LSQ, LSQ+).

    The sites that are quantized by now are trained on their grids, which comes after 'weight-ranges' and
    'activation-ranges'. weight_bits, activation_bits: other bits from here on, with ranges found anew; 0 keeps them.
    settings: of qexplore.qat.settings.Settings.
    """
    plan = Settings(**settings)
    _change_bits(network, "weight", weight_bits)
    _change_bits(network, "activation", activation_bits)
    actors: Actors = [Oscillation(plan.damping, plan.freezing)]
    return train_quantized(network, calibration, report, plan, actors, name="qat")


def train_quantized(
    network: Network,
    calibration: Calibration,
    report: Report,
    settings: Settings,
    actors: Actors,
    *,
    name: str,
    budget: dict[str, float] | None = None,
) -> Network:
    """What all steps that train a quantized network share: batch norms made ready, quantizers made, the loop."""
    make_ready(network, calibration, report, settings, name=name, budget=budget)
    if settings.batch_norm != STATIC and not foldable(network.graph):
        text = f"{name}: no batch norm is left (they are folded, or there is none), so that batch_norm: "
        report.event("log", text=f"{text}{settings.batch_norm} changes nothing.")
    with_folds = _folded_fits(network) if settings.batch_norm == DOUBLE else {}
    quantizers = {**quantizers_of(network, learn=settings.learn), **_quantizers(network, with_folds, settings)}
    actors = [*actors, Sparse()] if network.masks else actors
    return fine_tune(network, calibration, report, settings, quantizers, actors, name=name, budget=budget)


def make_ready(
    network: Network,
    calibration: Calibration,
    report: Report,
    settings: Settings,
    *,
    name: str,
    budget: Mapping[str, float] | None = None,
) -> None:
    """Corrections made part of the biases, of which the training starts; batch norms folded where they are static, and
    of positive gains where they are not; QexploreError, before anything is computed, where these cannot be trained or
    folded afterwards, where no site is quantized, or on a grid that cannot be trained. Rounding that was learned
    (AdaRound) and is lost by that is told.
    """
    rounded = _rounded(network)
    network.settle_corrections()
    if settings.batch_norm == STATIC:
        fold_statically(network, calibration)
    _check_norms(network, settings, budget)
    if not network.bits:
        raise QexploreError(
            f"The step {name!r} trains quantized sites and there are none: put the steps 'weight-ranges' and "
            "'activation-ranges' before it."
        )
    check_grids(network, learn=settings.learn)
    if settings.batch_norm != STATIC:
        make_gains_positive(network)
    with_norms = [layer.name for layer, _ in foldable(network.graph)] if settings.batch_norm == DOUBLE else []
    lost = len(rounded - (_rounded(network) - {f"{layer}.weight" for layer in with_norms}))
    if lost:
        text = f"{name}: {lost} of {len(rounded)} weights lose their learned rounding, as batch norms change them: put "
        report.event("log", text=f"{text}the step 'fold-bn' before 'adaround'.")


def _rounded(network: Network) -> set[str]:
    """The sites of weights that are rounded otherwise than to nearest."""
    return {name for name in network.bits if network.learned_weight(name) is not None}


def _change_bits(network: Network, kind: str, bits: int) -> None:
    """Other bits for all sites of a kind that are quantized and have no bits of their own; their ranges are found
    anew.
    """
    if not bits:
        return
    for site in network.sites:
        own = network.own.get(site.name, Own())
        if site.kind == kind and own.bits is None and network.bits.get(site.name, bits) != bits:
            network.set_own(site.name, replace(own, range=None))
            network.set_bits({site.name: bits})


def _check_norms(network: Network, settings: Settings, budget: Mapping[str, float] | None) -> None:
    """QexploreError for batch norms that could not be trained, or folded into the quantized network afterwards."""
    if settings.batch_norm == STATIC:
        return
    check_gains(network)
    check_batch(network, settings.batch_norm, settings.batch)
    check_alone(network)
    if budget:
        check_untied(network, "set batch_norm to static, or put the step 'fold-bn' first")
    scaled = [f"{layer.name}.weight" for layer, _ in foldable(network.graph)]
    if settings.batch_norm not in (KEEP, FROZEN) or not any(name in network.bits for name in scaled):
        return
    if network.specs["weight"].granularity != "channel":
        raise QexploreError(
            "Batch norms that are kept or frozen scale each channel, so that weights need one range a channel: set "
            "weights.granularity to channel, or batch_norm to static."
        )


def _folded_fits(network: Network) -> dict[str, Any]:
    """Quantizers of the weights as they are with their batch norms folded in."""
    found: dict[str, Any] = {}
    for norm in norms_of(network).values():
        name = f"{norm.layer}.weight"
        if name not in network.bits:
            continue
        layer = network.layers[norm.layer]
        weight, bias = layer.weight, layer.bias
        gain = (norm.gain.detach() / norm.deviation()).view(-1, *[1] * (weight.dim() - 1))
        network.set_layer(norm.layer, weight * gain, bias)
        found[name] = network.fitted(network.site(name), network.bits[name])
        network.set_layer(norm.layer, weight, bias)
    return found


def _quantizers(network: Network, fits: Mapping[str, Any], settings: Settings) -> dict[str, Quantizer]:
    return {
        name: Quantizer.of(network.site(name), fitted, learn=settings.learn, one_sided=False)
        for name, fitted in fits.items()
    }
