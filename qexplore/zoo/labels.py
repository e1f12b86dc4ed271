"""Class folders and the outputs of a network: which folder means which output."""

from __future__ import annotations

from qexplore.errors import QexploreError
from qexplore.zoo.data import Data
from qexplore.zoo.networks import Opened


def matched(data: Data, opened: Opened, outputs: int) -> Data:
    """The data with labels that are the network's own class numbers."""
    if data.classes is not None and len(data.classes) > outputs:
        raise QexploreError(
            f"The images are of {len(data.classes)} classes and {opened.source} tells only {outputs} apart: "
            "give weights of a network with as many outputs, or fewer folders."
        )
    return data
