"""What a recipe sets for single sites, checked and given to the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from qexplore.errors import QexploreError, UnknownName
from qexplore.network import Network, Own
from qexplore.numerics import RANGES, Range, checked_bits
from qexplore.recipes.schema import ALIASES, FIRST, LAST, LOGITS, NO_MACS, BadRecipe
from qexplore.recipes.settings import check_kinds, defaults_of

PLAIN = ("bits", "range", "method")


def check_site(name: str, own: Mapping[str, Any]) -> None:
    """Raises UnknownName for a method or an option that does not exist, BadSpec for impossible bits, BadRecipe for
    a method or an option of the wrong kind.
    """
    if "bits" in own:
        checked_bits(own["bits"])
    if "method" in own and not isinstance(own["method"], str):
        raise BadRecipe(f"The method of the site {name!r} is the name of a range estimator; not {own['method']!r}.")
    if name == NO_MACS and "range" in own:
        raise BadRecipe(f"{NO_MACS!r} are many sites, of ranges of their own: give them bits, or a method.")
    known = defaults_of(RANGES.get(own["method"])) if "method" in own else {}
    check_kinds(f"the site {name!r}", own, {**dict.fromkeys(PLAIN), **known})


def apply_sites(network: Network, sites: Mapping[str, Mapping[str, Any]]) -> None:
    """Gives the network what holds at single sites; UnknownName for a site that it does not have."""
    for name, own in own_of(network, sites).items():
        network.set_own(name, own)


def own_of(network: Network, sites: Mapping[str, Mapping[str, Any]]) -> dict[str, Own]:
    """What holds at single sites, by their own names; UnknownName for a site that the network does not have, BadRecipe
    for one that is named twice. What is set for a site itself comes before what is set for all of NO_MACS.
    """
    single = [name for name in sites if name != NO_MACS]
    names = [_name(network, name) for name in single]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        alias = next(said for said, name in zip(single, names, strict=True) if name == twice and said != name)
        raise BadRecipe(f"{alias!r} is the site {twice!r} of this network: set what holds there under one name.")
    shared = dict.fromkeys(_without_macs(network), sites[NO_MACS]) if NO_MACS in sites else {}
    own = {name: sites[said] for said, name in zip(single, names, strict=True)}
    return {name: _own(_joined(shared.get(name, {}), own.get(name, {}))) for name in {**shared, **own}}


def _without_macs(network: Network) -> list[str]:
    """The activations that enter no multiply-accumulate of a quantized layer, but for the logits; there may be none."""
    logits = network.logits.name if network.logits is not None else ""
    return [s.name for s in network.sites if s.kind == "activation" and s.macs == 0 and s.name != logits]


def _joined(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """What is set for a site itself upon what is set for many; a range or a method of its own takes the place of
    theirs.
    """
    if "range" in own or "method" in own:
        shared = {key: value for key, value in shared.items() if key == "bits"}
    return {**shared, **own}


def aliases_of(network: Network) -> dict[str, str]:
    """The sites that FIRST, LAST and LOGITS mean in this network, as far as it has them."""
    weights = [site.name for site in network.sites if site.kind == "weight"]
    ends = {FIRST: weights[0], LAST: weights[-1]} if weights else {}
    return ends if network.logits is None else {**ends, LOGITS: network.logits.name}


def _name(network: Network, name: str) -> str:
    """The name of the site that is meant; a site that is called so itself comes first."""
    names = [site.name for site in network.sites]
    if name in names:
        return name
    if name not in ALIASES:
        raise UnknownName("site", name, [*names, *ALIASES])
    found = aliases_of(network).get(name)
    if found is None and name == LOGITS:
        raise QexploreError("The output of this network lies on no grid: name a site of its own instead of 'logits'.")
    if found is None:
        raise QexploreError(f"This network has no quantized weights, and so no {name!r} ones: leave them out.")
    return found


def _own(own: Mapping[str, Any]) -> Own:
    ends, method = own.get("range"), own.get("method")
    options = {key: value for key, value in own.items() if key not in PLAIN}
    return Own(
        own.get("bits"),
        None if ends is None else Range(*(torch.tensor([float(end)]) for end in ends)),
        None if method is None else (method, options),
    )
