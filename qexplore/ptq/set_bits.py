"""Bits given to sites by hand, after their ranges have been found at the recipe's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qexplore.errors import QexploreError
from qexplore.network import Network, Own
from qexplore.numerics import checked_bits
from qexplore.ptq.shared import for_all_that_share
from qexplore.ptq.steps import STEPS, Calibration, takes
from qexplore.report import Report


def _check(settings: Mapping[str, Any]) -> None:
    if not settings:
        raise QexploreError("The step 'set-bits' is told the bits of sites by name, such as 'set-bits: {input: 8}'.")
    for bits in settings.values():
        checked_bits(bits)


@STEPS.register("set-bits")
@takes(None, _check)
def set_bits(network: Network, calibration: Calibration, report: Report, **bits: int) -> Network:
    """Gives the named sites other bits than the recipe's (project's own choice: how an allocation becomes a recipe).

    Ranges follow by the estimator of each site from what calibration has seen, which was with weights at the recipe's
    bits; the key `sites` of a recipe changes bits before the calibration. Layers that share a weight get the bits of
    the one that is named. Raises UnknownName for a site that the network does not have, QexploreError for one that is
    not quantized yet, or for different bits of a weight that layers share.
    """
    for name in bits:
        if network.site(name).name not in network.bits:
            raise QexploreError(
                f"The step 'set-bits' changes the bits of {name!r}, which is not quantized: put the steps "
                "'weight-ranges' and 'activation-ranges' before it."
            )
    found = for_all_that_share(network, {name: Own(bits=wanted) for name, wanted in bits.items()})
    network.set_bits({name: own.bits for name, own in found.items()})
    return network
